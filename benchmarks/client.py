"""One connection of a load: raw, on uvloop, one request at a time."""

import asyncio
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

import httptools


class Client(asyncio.Protocol):
    """Notes when each piece of the answer came. Anything but a whole 200 is an error, unless `refusals_too`: then
    `status` tells what it was."""

    transport: asyncio.Transport
    refusals_too = False
    status = 0

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.times: list[float] = []
        self.now = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its type

    async def ask(self, asked: bytes) -> list[float]:
        """When each piece of the body came, as `perf_counter` has it."""
        self.done = asyncio.get_running_loop().create_future()
        self.times = []
        self.transport.write(asked)
        await self.done
        return self.times

    def data_received(self, data: bytes) -> None:
        self.now = perf_counter()
        self.parser.feed_data(data)

    def on_body(self, _: bytes) -> None:
        self.times.append(self.now)

    def on_message_complete(self) -> None:
        if self.done.done():
            return
        self.status = self.parser.get_status_code()
        if self.status == 200 or self.refusals_too:
            self.done.set_result(None)
        else:
            self.done.set_exception(RuntimeError(f"answered {self.status}"))

    def connection_lost(self, _: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("closed before the end"))


async def connect(url: str, count: int) -> list[Client]:
    at, loop = urlsplit(url), asyncio.get_running_loop()
    return [(await loop.create_connection(Client, at.hostname or "", at.port or 80))[1] for _ in range(count)]
