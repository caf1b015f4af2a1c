"""Hears what Postgres announces (NOTIFY), over one connection of its own that is made again whenever it ends.

Announcements are a shortcut, never the only way: what is announced while nobody listens is lost, and behind a pooler
that shares sessions nothing is ever heard. Whoever listens also looks by itself from time to time.
"""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from runtime.backoff import Backoff, pause
from runtime.postgres import CONNECT_TIMEOUT_S, FAILED
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.listener")

# Called with channel and payload, between two steps of the loop: it may neither wait nor raise.
Hear = Callable[[str, str], None]
# What there is to do: once when listening has begun, then after announcements, and at the latest after the seconds
# that it returned.
Work = Callable[[], Awaitable[float]]


class Listener:
    """`begin` is called each time that listening has begun: what was announced before then was missed.

    When `work` raises one of `failures`, the connection is made again, and `begin` is called again.
    """

    def __init__(
        self,
        url: str,
        channels: tuple[str, ...],
        *,
        hear: Hear,
        begin: Callable[[], None],
        work: Work,
        failures: tuple[type[BaseException], ...] = FAILED,
        application_name: str,
    ) -> None:
        self._url = url
        self._channels = channels
        self._hear = hear
        self._begin = begin
        self._work = work
        self._failures = failures
        self._application_name = application_name
        self._wake = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; what fails is tried again, after a growing wait."""
        tasks = TaskSet()
        tasks.spawn(self._wake_at(stop), name="listener-wake-at-stop")
        backoff = Backoff()
        try:
            while not stop.is_set():
                try:
                    await self._listen(stop, backoff)
                except self._failures as error:
                    log.warning("listener_failed", task=self._application_name, error=type(error).__name__)
                    await pause(stop, backoff.next_s())
        finally:
            await tasks.cancel()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _listen(self, stop: asyncio.Event, backoff: Backoff) -> None:
        """One connection's life: returns when told to stop, raises when the connection or the work fails."""
        connection = await asyncpg.connect(
            self._url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=CONNECT_TIMEOUT_S,
            server_settings={"application_name": self._application_name},
        )
        try:
            connection.add_termination_listener(lambda _: self._wake.set())
            for channel in self._channels:
                await connection.add_listener(channel, self._on_announcement)
            self._begin()
            while not stop.is_set():
                await connection.execute("SELECT 1")  # a connection that went silently hears nothing
                due_s = await self._work()
                backoff.reset()
                await pause(self._wake, due_s)
                self._wake.clear()
        finally:
            connection.terminate()  # close() would wait for the goodbye of a server that may be gone

    def _on_announcement(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        self._hear(channel, str(payload))
        self._wake.set()
