"""A request's body: the parser collects it as it comes, the handler reads it when it wants it, or never does."""

import asyncio

from runtime.http.errors import BodyBroken, BodyError, BodyTooLarge


class RequestBody:
    """At most `max_bytes` are kept; `size_bytes` of them have come."""

    __slots__ = ("_error", "_parts", "_waiter", "is_complete", "max_bytes", "size_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self.is_complete = False
        self._parts: list[bytes] = []
        self._error: BodyError | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_over(self) -> bool:
        """Nothing more is expected: it is all there, or it will not be."""
        return self.is_complete or self._error is not None

    # the parser's side

    def add(self, data: bytes) -> None:
        if self._error is not None:
            return
        self.size_bytes += len(data)
        if self.size_bytes > self.max_bytes:
            self.fail(BodyTooLarge())
        else:
            self._parts.append(data)

    def end(self) -> None:
        self.is_complete = self._error is None
        if self._waiter is not None:
            self._wake()

    def fail(self, error: BodyError | None = None) -> None:
        if not self.is_over:
            self._error = error or BodyBroken("the body ended early or is badly encoded")
            self._parts.clear()
            self._wake()

    # the handler's side

    async def wait(self) -> None:
        """Until it is over. One waits at a time."""
        while not self.is_over:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def take(self) -> bytes:
        """All of it, once, when it is over; raises BodyTooLarge or BodyBroken."""
        assert self.is_over
        if self._error is not None:
            raise self._error
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
