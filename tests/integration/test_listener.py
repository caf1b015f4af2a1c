"""What Postgres announces is heard, also after the connection was lost; and what cannot be heard is not waited for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import asyncpg
import pytest

from runtime.listener import Listener
from runtime.tasks import TaskSet
from tests.support.waiting import until

NEVER_S = 3600.0
CHANNELS = ("one", "two")
NAME = "farebox-test"
Office: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Trouble(Exception):
    pass


@dataclass
class Ear:
    """Notes what it is told. `troubles`: work that fails, so many times."""

    due_s: float = NEVER_S
    troubles: int = 0
    heard: list[tuple[str, str]] = field(default_factory=list)
    begun: int = 0
    worked: int = 0

    def hear(self, channel: str, payload: str) -> None:
        self.heard.append((channel, payload))

    def begin(self) -> None:
        self.begun += 1

    async def work(self) -> float:
        if self.troubles:
            self.troubles -= 1
            raise Trouble
        self.worked += 1
        return self.due_s

    @asynccontextmanager
    async def listening(self, url: str) -> AsyncIterator[asyncio.Task[None]]:
        failures = (Trouble, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
        listener = Listener(
            url, CHANNELS, hear=self.hear, begin=self.begin, work=self.work, failures=failures, application_name=NAME
        )
        stop, tasks = asyncio.Event(), TaskSet()
        running = tasks.spawn(listener.run(stop), name="listener")
        try:
            yield running
        finally:
            stop.set()
            await asyncio.wait_for(running, 30)


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_announcements_of_all_channels_are_heard_and_work_is_done_after_them(
    database_url: str, office: Office
) -> None:
    ear = Ear()
    async with ear.listening(database_url):
        await until(lambda: ear.worked >= 1)
        await office.execute("NOTIFY one, 'a'; NOTIFY two; NOTIFY three, 'not for us'; NOTIFY one, 'b'")
        await until(lambda: len(ear.heard) == 3 and ear.worked >= 2)
    assert ear.heard == [("one", "a"), ("two", ""), ("one", "b")]
    assert ear.begun == 1


async def test_work_is_done_when_it_is_due_without_any_announcement(database_url: str) -> None:
    ear = Ear(due_s=0.0)
    async with ear.listening(database_url):
        await until(lambda: ear.worked > 3)
    assert (ear.heard, ear.begun) == ([], 1)


async def test_a_lost_connection_is_made_again(database_url: str, office: Office) -> None:
    ear = Ear()
    async with ear.listening(database_url):
        await until(lambda: ear.worked >= 1)
        ended = await office.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = $1",
            NAME,
        )
        assert ended == 1
        await until(lambda: ear.begun == 2 and ear.worked >= 2)
        await office.execute("NOTIFY one, 'after'")
        await until(lambda: ear.heard == [("one", "after")])


async def test_work_that_fails_is_begun_again(database_url: str) -> None:
    ear = Ear(troubles=2)
    async with ear.listening(database_url):
        await until(lambda: ear.worked >= 1)
    assert ear.begun == 3


async def test_it_stops_while_there_is_no_postgres(closed_url: str) -> None:
    ear = Ear()
    async with ear.listening(closed_url) as running:
        await asyncio.sleep(0)
        assert not running.done()
    assert (running.result(), ear.begun, ear.worked) == (None, 0, 0)


@pytest.fixture
def closed_url() -> str:
    """Port 1 of this machine: nobody listens."""
    return "postgresql://nobody@127.0.0.1:1/nothing"


async def test_a_mistake_of_ours_is_not_tried_again(database_url: str) -> None:
    class Broken(Ear):
        async def work(self) -> float:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with Broken().listening(database_url) as running:
            await until(running.done)
