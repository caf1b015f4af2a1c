import asyncio

import pytest
from structlog.testing import capture_logs

from runtime.tasks import TaskSet, running_loop, wait_until

BOUND_S = 30.0


async def forever() -> None:
    await asyncio.Event().wait()


async def failing() -> None:
    raise ValueError("secret words")


async def test_a_task_has_its_name_and_is_kept_until_it_ends() -> None:
    tasks = TaskSet()
    done = asyncio.Event()
    task = tasks.spawn(done.wait(), name="waiter")
    assert (task.get_name(), len(tasks)) == ("waiter", 1)
    done.set()
    await task
    await asyncio.sleep(0)
    assert len(tasks) == 0


async def test_a_task_that_fails_is_reported_once() -> None:
    tasks = TaskSet()
    with capture_logs() as logs:
        task = tasks.spawn(failing(), name="bad")
        with pytest.raises(ValueError, match="secret words"):
            await task
        await asyncio.sleep(0)
    assert [(line["event"], line["task"]) for line in logs] == [("task_failed", "bad")]
    assert len(tasks) == 0


async def test_draining_waits_for_what_ends_and_cancels_the_rest() -> None:
    tasks = TaskSet()
    may_end = asyncio.Event()
    ends = tasks.spawn(may_end.wait(), name="ends")
    stays = tasks.spawn(forever(), name="stays")
    may_end.set()
    assert await tasks.drain(0.01) == 1
    assert not ends.cancelled()
    assert stays.cancelled()


async def test_draining_is_over_when_all_have_ended() -> None:
    tasks = TaskSet()
    tasks.spawn(asyncio.sleep(0), name="short")
    assert await tasks.drain(BOUND_S) == 0
    assert await tasks.drain(BOUND_S) == 0


async def test_cancelling_waits_until_all_have_cleaned_up() -> None:
    cleaned = []

    async def tidy(n: int) -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            cleaned.append(n)

    tasks = TaskSet()
    for n in range(3):
        tasks.spawn(tidy(n), name=f"tidy-{n}")
    await asyncio.sleep(0)
    with capture_logs() as logs:
        assert await tasks.cancel() == 3
    assert sorted(cleaned) == [0, 1, 2]
    assert logs == []


@pytest.mark.parametrize("outcome", [None, ValueError("x"), "cancelled"])
async def test_waiting_ends_with_what_is_waited_for_whatever_came_of_it(outcome: Exception | str | None) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        elif outcome is None:
            future.set_result(None)
        else:
            future.cancel()

    loop.call_soon(end)
    assert await wait_until(future, loop.time() + 30)
    assert await wait_until(future, loop.time() - 1)  # done already
    assert future.cancelled() or future.exception() is outcome


async def test_waiting_ends_at_its_time_and_what_is_waited_for_goes_on() -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[int] = loop.create_future()
    assert not await wait_until(future, loop.time() - 1)
    future.set_result(5)
    assert await future == 5


async def test_who_waits_may_leave() -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[int] = loop.create_future()
    tasks = TaskSet()
    waiting = tasks.spawn(wait_until(future, loop.time() + 30), name="waiting")
    await asyncio.sleep(0)
    await tasks.cancel()
    assert waiting.cancelled() and not future.done()
    future.set_result(5)
    await asyncio.sleep(0)


def test_the_loop_that_runs_is_found_in_each_thread_and_after_another_has_run() -> None:
    async def is_found() -> bool:
        return running_loop() is running_loop() is asyncio.get_running_loop()

    def elsewhere() -> bool:
        return asyncio.run(is_found())

    async def beside() -> bool:
        return await is_found() and await asyncio.to_thread(elsewhere) and await is_found()

    assert asyncio.run(beside())
    assert asyncio.run(beside())
    with pytest.raises(RuntimeError):
        running_loop()
