import asyncio

import pytest

from runtime.periodic import every


class Away(Exception):
    pass


async def test_work_is_done_until_the_stop() -> None:
    stop, rounds = asyncio.Event(), 0

    async def work() -> float | None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            stop.set()
        return 0.0

    await every(3600.0, work, name="work", failures=())(stop)
    assert rounds == 3


async def test_a_server_that_is_away_does_not_end_it() -> None:
    stop, rounds = asyncio.Event(), 0

    async def work() -> float | None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise Away
        stop.set()
        return None

    await every(0.001, work, name="work", failures=(Away,))(stop)
    assert rounds == 2


async def test_a_mistake_of_ours_does() -> None:
    async def work() -> float | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await every(0.001, work, name="work", failures=(Away,))(asyncio.Event())


async def test_a_stop_cuts_the_wait_short() -> None:
    stop = asyncio.Event()

    async def work() -> float | None:
        asyncio.get_running_loop().call_soon(stop.set)
        return None

    async with asyncio.timeout(5):
        await every(3600.0, work, name="work", failures=())(stop)
