import asyncio
from collections.abc import Callable, Sequence

import pytest

from runtime.coalesce import Coalescer, Overloaded

BOUND_S = 30.0


class Server:
    """Answers each item with its tenfold, when allowed to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.running = 0
        self.most_running = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error: Exception | None = None

    async def call(self, batch: list[int]) -> Sequence[int]:
        self.batches.append(batch)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(0)
            await self.may_answer.wait()
        finally:
            self.running -= 1
        if self.error is not None:
            raise self.error
        return [10 * item for item in batch]


def joined(
    server: Server,
    *,
    max_batch: int = 4,
    max_in_flight: int = 2,
    max_waiting: int = 100,
    pause_s: float = 0.0,
    abandoned: Callable[[int, int | None], None] | None = None,
) -> Coalescer[int, int]:
    return Coalescer(
        server.call,
        name="test",
        max_batch=max_batch,
        max_in_flight=max_in_flight,
        max_waiting=max_waiting,
        pause_s=pause_s,
        abandoned=abandoned,
    )


async def a_few_ticks() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_asked_within_one_tick_travels_together_and_everyone_gets_their_own_answer() -> None:
    server = Server()
    coalescer = joined(server)
    assert await asyncio.gather(*(coalescer.submit(n) for n in range(4))) == [0, 10, 20, 30]
    assert server.batches == [[0, 1, 2, 3]]


@pytest.mark.parametrize("max_in_flight", [1, 2, 3])
async def test_everybody_is_answered_in_order_by_batches_within_the_bounds(max_in_flight: int) -> None:
    server = Server()
    coalescer = joined(server, max_batch=3, max_in_flight=max_in_flight)
    async with asyncio.timeout(BOUND_S):
        answers = await asyncio.gather(*(coalescer.submit(n) for n in range(20)))
    assert answers == [10 * n for n in range(20)]
    assert [item for batch in server.batches for item in batch] == list(range(20))
    assert max(map(len, server.batches)) == 3
    assert server.most_running == max_in_flight


async def test_while_calls_are_under_way_the_next_batch_grows() -> None:
    server = Server()
    server.may_answer.clear()
    coalescer = joined(server, max_in_flight=1)
    futures = [coalescer.submit(0)]
    for n in range(1, 4):
        await a_few_ticks()
        futures.append(coalescer.submit(n))
    assert len(coalescer) == 3
    server.may_answer.set()
    await asyncio.gather(*futures)
    assert server.batches == [[0], [1, 2, 3]]


async def test_between_two_calls_there_is_a_pause_in_which_the_next_batch_grows() -> None:
    server, loop = Server(), asyncio.get_running_loop()
    coalescer = joined(server, pause_s=0.02)
    begin_s = loop.time()
    assert await coalescer.submit(0) == 0
    futures = [coalescer.submit(1)]
    await a_few_ticks()
    futures.append(coalescer.submit(2))
    assert await asyncio.gather(*futures) == [10, 20]
    assert server.batches == [[0], [1, 2]]
    assert loop.time() - begin_s >= 0.02
    await asyncio.sleep(0.02)
    coalescer.submit(3)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert server.batches[2:] == [[3]], "after a longer rest at once"


async def test_draining_waits_for_what_is_asked_after_the_pause() -> None:
    server = Server()
    coalescer = joined(server, pause_s=0.02)
    futures = [coalescer.submit(0)]
    await a_few_ticks()
    futures.append(coalescer.submit(1))
    assert await coalescer.drain(BOUND_S) == 0
    assert [future.result() for future in futures] == [0, 10]


async def test_an_error_goes_to_everyone_in_the_batch_and_to_no_one_else() -> None:
    server = Server()
    server.error = ConnectionError("away")
    coalescer = joined(server, max_batch=2)
    results = await asyncio.gather(*(coalescer.submit(n) for n in range(2)), return_exceptions=True)
    assert results == [server.error, server.error]
    server.error = None
    assert await coalescer.submit(7) == 70


async def test_too_few_answers_are_an_error_and_not_somebody_elses_answer() -> None:
    async def call(batch: list[int]) -> list[int]:
        return batch[1:]

    coalescer = Coalescer(call, name="test", max_batch=4, max_in_flight=1, max_waiting=10)
    results = await asyncio.gather(*(coalescer.submit(n) for n in range(3)), return_exceptions=True)
    assert [str(result) for result in results] == ["test: 2 answers to 3 items"] * 3


async def test_more_than_may_wait_is_refused_at_once() -> None:
    server = Server()
    coalescer = joined(server, max_waiting=3)
    futures = [coalescer.submit(n) for n in range(3)]
    with pytest.raises(Overloaded):
        coalescer.submit(3)
    assert await asyncio.gather(*futures) == [0, 10, 20]


async def test_a_caller_that_left_takes_nobody_with_it() -> None:
    server = Server()
    server.may_answer.clear()
    coalescer = joined(server)
    futures = [coalescer.submit(n) for n in range(3)]
    await a_few_ticks()
    futures[1].cancel()
    server.may_answer.set()
    assert (await futures[0], await futures[2]) == (0, 20)


async def test_a_caller_that_left_before_an_error_causes_no_other() -> None:
    server = Server()
    server.may_answer.clear()
    server.error = ConnectionError("away")
    coalescer = joined(server)
    futures = [coalescer.submit(n) for n in range(2)]
    await a_few_ticks()
    futures[0].cancel()
    server.may_answer.set()
    with pytest.raises(ConnectionError):
        await futures[1]


@pytest.mark.parametrize("is_sent", [True, False])
@pytest.mark.parametrize("fails", [True, False])
async def test_what_callers_asked_who_left_is_asked_all_the_same_and_told_of_with_its_answer(
    is_sent: bool, fails: bool
) -> None:
    server, told = Server(), list[tuple[int, int | None]]()
    server.may_answer.clear()
    server.error = ConnectionError("away") if fails else None
    coalescer = joined(server, abandoned=lambda item, answer: told.append((item, answer)))
    futures = [coalescer.submit(n) for n in range(3)]
    if is_sent:
        await a_few_ticks()
    futures[1].cancel()
    await a_few_ticks()
    assert told == [], "nobody knows yet"
    server.may_answer.set()
    await asyncio.gather(futures[0], futures[2], return_exceptions=True)
    assert (server.batches, told) == ([[0, 1, 2]], [(1, None if fails else 10)])


async def test_what_is_cut_off_by_the_end_of_draining_is_told_of_too() -> None:
    server, told = Server(), list[tuple[int, int | None]]()
    server.may_answer.clear()
    coalescer = joined(server, max_batch=2, max_in_flight=1, abandoned=lambda *item: told.append(item))
    futures = [coalescer.submit(n) for n in range(5)]
    assert await coalescer.drain(0.01) == 5
    assert all(future.cancelled() for future in futures)
    assert sorted(told) == [(n, None) for n in range(5)]


async def test_draining_waits_for_all_that_was_submitted() -> None:
    server = Server()
    coalescer = joined(server, max_batch=1)
    futures = [coalescer.submit(n) for n in range(10)]
    assert await coalescer.drain(BOUND_S) == 0
    assert [future.result() for future in futures] == [10 * n for n in range(10)]


async def test_draining_with_nothing_under_way_is_done_at_once() -> None:
    assert await joined(Server()).drain(BOUND_S) == 0


async def test_what_is_left_when_draining_ends_is_counted_and_cancelled_and_nothing_more_is_sent() -> None:
    server = Server()
    server.may_answer.clear()
    coalescer = joined(server, max_batch=2, max_in_flight=1)
    futures = [coalescer.submit(n) for n in range(5)]
    assert await coalescer.drain(0.01) == 5
    await a_few_ticks()
    assert all(future.cancelled() for future in futures)
    assert (server.batches, server.running, len(coalescer)) == ([[0, 1]], 0, 0)
    with pytest.raises(Overloaded):
        coalescer.submit(9)
    assert await coalescer.drain(BOUND_S) == 0
