"""Which leases are renewed when, and what becomes of them while Redis fails; the script is played."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, cast
from uuid import UUID

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from ledger.redis_schema import holds_key, key_state_key, wallet_key
from metering.leases import LEASE_MS, RENEW_MS, Lease, Leases
from runtime.coalesce import Overloaded
from runtime.tasks import TaskSet
from tests.support.waiting import until

KEY_ID, WALLET_ID = UUID(int=2), UUID(int=4)
MOST_IN_A_CALL = 16
_FIELDS = 4


@dataclass
class Renew:
    """A client whose one script answers as told; it waits for `may_answer` where there is one."""

    answer: Callable[[int, int], int] = lambda held, more: held + more
    error: BaseException | None = None
    may_answer: asyncio.Event | None = None
    calls: list[tuple[list[str], list[Any]]] = field(default_factory=list)

    def register_script(self, source: str) -> Callable[[list[str], list[Any]], Awaitable[list[int]]]:
        assert "local function renew(" in source
        return self._renew

    async def _renew(self, names: list[str], args: list[Any]) -> list[int]:
        self.calls.append((list(names), list(args)))
        if self.may_answer is not None:
            await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return [self.answer(held, more) for held, more in zip(args[2::_FIELDS], args[3::_FIELDS], strict=True)]

    @property
    def asked(self) -> list[list[int]]:
        """The requests of each call, by number."""
        return [[int.from_bytes(request) for request in args[1::_FIELDS]] for _, args in self.calls]


@dataclass
class Loader:
    error: Exception | None = None
    asked: list[UUID] = field(default_factory=list)

    async def push_wallets(self, ids: Sequence[UUID]) -> None:
        self.asked += ids
        if self.error is not None:
            raise self.error


class Rig:
    def __init__(self, shards: int = 1) -> None:
        self.now_ms = 0
        self.script, self.loader, self.answers, self.tasks = Renew(), Loader(), list[bool](), TaskSet()
        redis, clock = cast(Redis, self.script), lambda: self.now_ms
        self.leases = Leases(redis, self.loader, shards=shards, clock_ms=clock, on_answer=self._note)

    def _note(self, shard: int, has_answered: bool) -> None:
        self.answers.append(has_answered)

    def open(self, number: int = 1, held: int = 10, wallet: UUID = WALLET_ID, checkpoint: bytes = b"{}") -> Lease:
        lease = Lease(UUID(int=number), KEY_ID, wallet, held, lambda: checkpoint)
        self.leases.open(lease)
        return lease

    async def renew_at(self, now_ms: int) -> list[list[int]]:
        """Who is asked about then, call by call."""
        self.now_ms = now_ms
        before = len(self.script.calls)
        await self.leases.renew_due()
        return self.script.asked[before:]


def is_waiting(task: "asyncio.Future[Any] | None") -> bool:
    return task is not None and not task.done()


async def test_a_lease_is_due_a_renewal_after_the_one_before() -> None:
    rig = Rig()
    rig.open(1)
    rig.now_ms = 300
    rig.open(2)
    assert await rig.renew_at(RENEW_MS - 1) == []
    assert await rig.renew_at(RENEW_MS) == [[1]]
    assert await rig.renew_at(RENEW_MS + 300) == [[2]]
    assert await rig.renew_at(2 * RENEW_MS) == [[1]]
    assert len(rig.leases) == 2


async def test_what_a_renewal_tells_redis() -> None:
    rig = Rig()
    rig.open(7, held=60, checkpoint=b'{"so":"far"}')
    await rig.renew_at(RENEW_MS)
    assert rig.script.calls == [
        (
            [holds_key(0), key_state_key(0, KEY_ID), wallet_key(0, WALLET_ID)],
            [LEASE_MS, UUID(int=7).bytes, 60, 0, b'{"so":"far"}'],
        )
    ]
    assert rig.answers == [True]


async def test_one_that_has_something_to_tell_does_not_wait() -> None:
    rig = Rig()
    rig.open(1)
    rig.open(2).is_due = True
    assert await rig.renew_at(1) == [[2]]
    assert await rig.renew_at(2) == [], "told"


async def test_what_is_new_while_it_is_told_is_told_next() -> None:
    rig = Rig()
    lease = rig.open()
    rig.script.may_answer = asyncio.Event()
    renewing = rig.tasks.spawn(rig.renew_at(RENEW_MS), name="renew")
    await until(lambda: bool(rig.script.calls))
    lease.is_due = True  # its answer begins
    rig.script.may_answer.set()
    await renewing
    assert await rig.renew_at(RENEW_MS + 1) == [[1]]


async def test_many_travel_together_and_too_many_in_parts() -> None:
    rig = Rig()
    many = 2 * MOST_IN_A_CALL + 6
    for number in range(1, many + 1):
        rig.open(number)
    assert [len(call) for call in await rig.renew_at(RENEW_MS)] == [MOST_IN_A_CALL, MOST_IN_A_CALL, 6]
    assert sorted(chain.from_iterable(rig.script.asked)) == list(range(1, many + 1))


async def test_each_shard_is_asked_by_itself() -> None:
    rig = Rig(shards=2)
    rig.open(1, wallet=UUID(int=10))
    rig.open(2, wallet=UUID(int=11))
    assert await rig.renew_at(RENEW_MS) == [[1], [2]]
    assert [names[0] for names, _ in rig.script.calls] == [holds_key(0), holds_key(1)]


async def test_a_lease_that_was_closed_is_not_renewed() -> None:
    rig = Rig()
    rig.open(1)
    assert rig.leases.close(UUID(int=1)) is None
    assert rig.leases.close(UUID(int=1)) is None, "nor is it known"
    assert await rig.renew_at(RENEW_MS) == [] and len(rig.leases) == 0


async def test_who_closes_a_lease_is_told_of_the_renewal_under_way() -> None:
    rig = Rig()
    rig.open(1)
    rig.script.may_answer = asyncio.Event()
    renewing = rig.tasks.spawn(rig.renew_at(RENEW_MS), name="renew")
    await until(lambda: bool(rig.script.calls))
    renewal = rig.leases.close(UUID(int=1))
    assert renewal is not None and is_waiting(renewal)
    rig.script.may_answer.set()
    await asyncio.wait([renewal])
    await renewing
    rig.open(1)
    await rig.renew_at(2 * RENEW_MS)
    assert rig.leases.close(UUID(int=1)) is None, "it is over"


async def test_one_renewal_at_a_time_is_under_way() -> None:
    rig = Rig()
    rig.open(1)
    rig.script.may_answer = asyncio.Event()
    renewing = rig.tasks.spawn(rig.renew_at(RENEW_MS), name="renew")
    await until(lambda: bool(rig.script.calls))
    rig.open(2)
    assert await rig.renew_at(RENEW_MS) == []
    rig.now_ms = 3 * RENEW_MS
    second = rig.tasks.spawn(rig.leases.renew_due(), name="renew-again")
    await until(lambda: len(rig.script.calls) == 2)
    assert rig.script.asked == [[1], [2]]
    rig.script.may_answer.set()
    await asyncio.gather(renewing, second)


async def test_what_is_closed_while_others_are_renewed_is_left_out() -> None:
    rig = Rig()
    for number in range(1, MOST_IN_A_CALL + 2):
        rig.open(number)
    rig.script.may_answer = asyncio.Event()
    renewing = rig.tasks.spawn(rig.renew_at(RENEW_MS), name="renew")
    await until(lambda: bool(rig.script.calls))
    rig.leases.close(UUID(int=MOST_IN_A_CALL + 1))
    rig.script.may_answer.set()
    await renewing
    assert len(rig.script.asked) == 1, "it was all of the second part"


async def test_more_is_held_at_once() -> None:
    rig = Rig()
    lease = rig.open(held=10)
    assert await rig.leases.extend(lease, 5) == lease.held_nanos == 15
    assert rig.script.calls[0][1][2:4] == [10, 5]
    rig.script.answer = lambda held, more: held
    assert await rig.leases.extend(lease, 5) == lease.held_nanos == 15, "nothing more was to be had"


async def test_an_extension_renews_the_lease_too() -> None:
    rig = Rig()
    lease = rig.open()
    rig.now_ms = 700
    await rig.leases.extend(lease, 5)
    assert await rig.renew_at(RENEW_MS) == []
    assert await rig.renew_at(700 + RENEW_MS) == [[1]]


async def test_extensions_asked_for_at_once_travel_together() -> None:
    rig = Rig()
    leases = [rig.open(number) for number in (1, 2, 3)]
    assert await asyncio.gather(*(rig.leases.extend(lease, 1) for lease in leases)) == [11, 11, 11]
    assert rig.script.asked == [[1, 2, 3]]


async def test_an_extension_waits_for_the_renewal_under_way() -> None:
    """Two at once would each believe the other's hold away, or count it twice."""
    rig = Rig()
    lease = rig.open()
    rig.script.may_answer = asyncio.Event()
    renewing = rig.tasks.spawn(rig.renew_at(RENEW_MS), name="renew")
    await until(lambda: bool(rig.script.calls))
    extending = rig.tasks.spawn(rig.leases.extend(lease, 5), name="extend")
    await asyncio.sleep(0)
    assert len(rig.script.calls) == 1 and not extending.done()
    rig.script.may_answer.set()
    assert await extending == 15
    await renewing
    assert rig.script.asked == [[1], [1]]


async def test_what_ended_meanwhile_is_not_extended() -> None:
    rig = Rig()
    lease = rig.open()
    rig.script.may_answer = asyncio.Event()
    renewing = rig.tasks.spawn(rig.renew_at(RENEW_MS), name="renew")
    await until(lambda: bool(rig.script.calls))
    extending = rig.tasks.spawn(rig.leases.extend(lease, 5), name="extend")
    await asyncio.sleep(0)
    rig.leases.close(lease.request_id)
    rig.script.may_answer.set()
    assert await extending == 10
    await renewing
    assert len(rig.script.calls) == 1


async def test_a_wallet_that_redis_lost_is_loaded_and_the_hold_placed_with_the_next_renewal() -> None:
    rig = Rig()
    for number in (1, 2):
        rig.open(number).is_due = True
    rig.script.answer = lambda held, more: -1
    await rig.renew_at(1)
    assert rig.loader.asked == [WALLET_ID], "once"
    rig.script.answer = lambda held, more: held - 3
    assert await rig.renew_at(2) == [[1, 2]], "at once, and not a second later"
    assert rig.script.calls[1][1][2] == 10, "what it takes itself to hold is asked for again"


async def test_of_a_wallet_that_redis_lost_nobody_knows_what_can_be_held() -> None:
    rig = Rig()
    lease = rig.open()
    rig.script.answer = lambda held, more: -1
    assert await rig.leases.extend(lease, 5) is None
    assert (lease.held_nanos, rig.loader.asked) == (10, [WALLET_ID])


@pytest.mark.parametrize("error", [OSError("away"), RedisConnectionError("away")])
async def test_a_wallet_that_cannot_be_loaded_is_asked_for_again(error: Exception) -> None:
    rig = Rig()
    rig.open()
    rig.script.answer, rig.loader.error = lambda held, more: -1, error
    await rig.renew_at(RENEW_MS)
    await rig.renew_at(RENEW_MS + 1)
    assert rig.loader.asked == [WALLET_ID] * 2


@pytest.mark.parametrize("error", [RedisConnectionError("away"), OSError("away"), TimeoutError()])
async def test_while_redis_is_away_leases_stay_open_and_are_tried_again(error: Exception) -> None:
    rig = Rig()
    lease = rig.open()
    rig.script.error = error
    await rig.renew_at(RENEW_MS)
    await rig.renew_at(RENEW_MS + 1)
    with pytest.raises(type(error)):
        await rig.leases.extend(lease, 5)
    assert (len(rig.leases), lease.held_nanos, rig.answers) == (1, 10, [False] * 3)
    rig.script.error = None
    assert await rig.renew_at(RENEW_MS + 2) == [[1]]
    assert rig.leases.close(lease.request_id) is None, "what failed is not waited for"


async def test_a_checkpoint_that_cannot_be_made_keeps_nobody_elses_lease_from_being_renewed() -> None:
    rig = Rig()

    def fail() -> bytes:
        raise ValueError("a fault of ours")

    rig.open(1)
    rig.leases.open(Lease(UUID(int=2), KEY_ID, WALLET_ID, 10, fail))
    assert await rig.renew_at(RENEW_MS) == [[1, 2]]
    assert rig.script.calls[0][1][4::_FIELDS] == [b"{}", b""]


async def test_renewing_goes_on_until_it_is_told_to_stop() -> None:
    rig = Rig()
    rig.open()
    stop = asyncio.Event()
    rig.now_ms = RENEW_MS
    running = rig.tasks.spawn(rig.leases.run(stop), name="leases")
    await until(lambda: bool(rig.script.calls))
    stop.set()
    await running


async def test_draining_lets_go_of_what_waits_to_be_extended() -> None:
    rig = Rig()
    lease = rig.open()
    rig.script.may_answer = asyncio.Event()
    extending = rig.tasks.spawn(rig.leases.extend(lease, 5), name="extend")
    await until(lambda: bool(rig.script.calls))
    await rig.leases.drain(0)
    await asyncio.wait([extending])
    assert extending.cancelled() and not is_waiting(rig.leases.close(lease.request_id))
    with pytest.raises(Overloaded):
        await rig.leases.extend(rig.open(2), 5)
