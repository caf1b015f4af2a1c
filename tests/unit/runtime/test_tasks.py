import asyncio

import pytest
from structlog.testing import capture_logs

from runtime.tasks import TaskSet

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
