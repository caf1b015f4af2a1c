import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import pytest

from ledger.lanes import LANES, MAX_GIVEN, MAX_PART, Lanes, lane_of
from ledger.redis_schema import shard_of
from runtime.tasks import TaskSet


class Played:
    """Posts and finishes a part when it is told to, by the first thing in it; notes what began and ended."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.sizes: list[int] = []
        self.may_post: dict[str, asyncio.Event] = {}
        self.may_finish: dict[str, asyncio.Event] = {}
        self.lanes: Lanes[str, str] = Lanes(self.post, self.finish)

    async def post(self, items: Sequence[str]) -> str | None:
        self.said.append(f"post {' '.join(items[:3])}")
        self.sizes.append(len(items))
        await self.may_post.setdefault(items[0], asyncio.Event()).wait()
        if items[0] == "bad":
            raise ZeroDivisionError
        return None if items[0] == "left" else items[0].upper()

    async def finish(self, items: Sequence[str], result: str) -> None:
        self.said.append(f"finish {' '.join(items[:3])} as {result}")
        await self.may_finish.setdefault(items[0], asyncio.Event()).wait()

    def let(self, *items: str) -> None:
        for item in items:
            self.may_post.setdefault(item, asyncio.Event()).set()
            self.may_finish.setdefault(item, asyncio.Event()).set()


async def settle_down() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_lane_posts_one_part_at_a_time_in_order_and_finishes_the_one_before_meanwhile() -> None:
    played = Played()
    for item in ("a", "b"):
        await played.lanes.give(0, [item])
        await settle_down()
    assert played.said == ["post a"]
    played.may_post["a"].set()
    await settle_down()
    assert played.said == ["post a", "finish a as A", "post b"]
    played.let("a", "b")
    await played.lanes.all_done()
    assert played.said == ["post a", "finish a as A", "post b", "finish b as B"]


async def test_what_waits_is_posted_together() -> None:
    played = Played()
    for item in ("a", "b", "c", "d"):
        await played.lanes.give(0, [item])
        await settle_down()
    played.let("a", "b")
    await played.lanes.all_done()
    assert played.said == ["post a", "finish a as A", "post b c d", "finish b c d as B"]


async def test_a_part_is_bounded_and_what_is_beyond_it_is_the_next() -> None:
    played = Played()
    most = [str(number) for number in range(MAX_PART)]
    for items in (["first"], ["second"], most, most):
        await played.lanes.give(0, items)
        await settle_down()
    played.let("first", "second", most[-1])
    await played.lanes.all_done()
    assert played.sizes == [1, MAX_PART, MAX_PART, 1]
    assert played.said[-1] == f"finish {most[-1]} as {most[-1]}"


async def test_lanes_do_not_wait_for_each_other() -> None:
    played = Played()
    for lane in range(LANES):
        await played.lanes.give(lane, [str(lane)])
    await settle_down()
    assert played.said == [f"post {lane}" for lane in range(LANES)]
    await played.lanes.cancel()


async def test_what_is_in_hand_is_bounded() -> None:
    played, tasks = Played(), TaskSet()
    for number in range(MAX_GIVEN):
        await played.lanes.give(0, [str(number)])
        await settle_down()
    one_more = tasks.spawn(played.lanes.give(0, ["one more"]), name="give")
    await settle_down()
    assert not one_more.done()
    played.let("0")
    await one_more
    played.let("1")
    played.let("one more")
    await played.lanes.all_done()
    assert played.sizes[0] == 1
    assert sum(played.sizes) == MAX_GIVEN + 1


async def test_what_was_not_posted_is_not_finished() -> None:
    played = Played()
    played.let("left")
    await played.lanes.give(0, ["left"])
    await played.lanes.all_done()
    assert played.said == ["post left"]


async def test_an_unexpected_error_is_raised_to_who_gives_or_waits() -> None:
    played = Played()
    played.let("bad")
    await played.lanes.give(0, ["bad"])
    with pytest.raises(ZeroDivisionError):
        await played.lanes.all_done()
    with pytest.raises(ZeroDivisionError):
        await played.lanes.give(1, ["next"])


@pytest.mark.parametrize("shards", [1, 2, 3, 4, 6, 7, 8, 16])
def test_the_wallets_of_each_shard_use_all_lanes(shards: int) -> None:
    some = random.Random(shards)
    wallets = [UUID(int=some.getrandbits(128), version=4) for _ in range(600 * shards)]
    used = Counter(lane_of(wallet) for wallet in wallets if shard_of(wallet, shards) == 0)
    assert used.keys() == set(range(LANES))
    assert max(used.values()) < 2 * min(used.values())
