"""Postgres or Valkey of a test's own, that it may take away and give back."""

import os
import secrets
import signal
from pathlib import Path

from runtime.embedded.launch import EmbeddedServer
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.embedded.valkey import EmbeddedValkey

# These servers are killed, not their machine: what they were told to write may wait in the kernel, not in them.
NO_FSYNC = {"fsync": "off", "full_page_writes": "off"}


class Server:
    """One that can be stopped, killed and started again on the same port with the same data."""

    def __init__(self, kind: type[EmbeddedPostgres] | type[EmbeddedValkey], folder: Path) -> None:
        self._kind = kind
        self._folder = folder
        self._password = secrets.token_urlsafe()
        self._port = 0
        self._running: EmbeddedServer | None = None
        self.url = ""

    async def start(self) -> None:
        if self._kind is EmbeddedPostgres:
            postgres = await EmbeddedPostgres.start(self._folder, self._password, port=self._port, settings=NO_FSYNC)
            self._running, self.url = postgres, postgres.url
        else:
            valkey = await EmbeddedValkey.start(self._folder, self._password, port=self._port)
            self._running, self.url = valkey, valkey.url
        self._port = self._running.port

    async def stop(self, *, kill: bool = False) -> None:
        if self._running is not None:
            if kill:
                os.kill(self._running.pid, signal.SIGKILL)
            await self._running.stop()
            self._running = None
