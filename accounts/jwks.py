"""An identity provider's public keys, kept fresh beside the requests.

They are fetched at the start and every ten minutes. A token that names a key we do not know makes the callers wait
for one fetch, shared by all of them, at most twice a minute: a rotated key works at once, and nobody can make us
hammer the provider. While the provider is away the keys stay as they are.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from accounts.jwk_set import JwksError, JwkSet, PublicKey, parse_jwk_set
from runtime.clock import ClockMs, monotonic_ms
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.jwks")

Fetch = Callable[[], Awaitable[bytes]]
Sleep = Callable[[float], Awaitable[object]]

REFRESH_S = 600.0
# After a failure, and between the fetches that unknown key names may cause.
RETRY_S = 30.0


class Jwks:
    """The keys as they are now; `start` fetches them, `close` stops fetching."""

    def __init__(self, fetch: Fetch, *, clock_ms: ClockMs = monotonic_ms, sleep: Sleep = asyncio.sleep) -> None:
        self._fetch = fetch
        self._clock_ms = clock_ms
        self._sleep = sleep
        self._keys = JwkSet()
        self._is_fresh = False
        self._asked_ms: int | None = None
        self._loading: asyncio.Task[None] | None = None
        self._tasks = TaskSet()

    async def start(self) -> None:
        """Returns when the first fetch has ended, well or not: without the provider we start all the same."""
        await self._joined_load()
        self._tasks.spawn(self._keep_fresh(), name="jwks refresh")

    async def close(self) -> None:
        await self._tasks.cancel()

    async def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key a token names, for its algorithm; waits for a fetch only if we do not know the name."""
        if self._keys.may_be_old(kid, algorithm) and self._may_ask():
            await self._joined_load()
        return self._keys.find(kid, algorithm)

    def _may_ask(self) -> bool:
        if self._is_loading():
            return True
        now_ms = self._clock_ms()
        if self._asked_ms is not None and now_ms - self._asked_ms < RETRY_S * 1000:
            return False
        self._asked_ms = now_ms
        return True

    async def _keep_fresh(self) -> None:
        while True:
            await self._sleep(REFRESH_S if self._is_fresh else RETRY_S)
            await self._joined_load()

    async def _joined_load(self) -> None:
        if not self._is_loading():
            self._loading = self._tasks.spawn(self._load(), name="jwks fetch")
        assert self._loading is not None
        # `wait`: a caller that leaves ends its own waiting, not the fetch of the others
        await asyncio.wait([self._loading])

    def _is_loading(self) -> bool:
        return self._loading is not None and not self._loading.done()

    async def _load(self) -> None:
        self._is_fresh = False
        try:
            keys = parse_jwk_set(await self._fetch())
        except JwksError as error:
            log.warning("jwks_not_loaded", reason=error.reason, count=len(self._keys.keys))
        else:
            self._is_fresh = True
            self._take(keys)

    def _take(self, keys: JwkSet) -> None:
        if not keys.keys:
            log.warning("jwks_without_usable_keys")
        elif keys != self._keys:
            log.info("jwks_changed", count=len(keys.keys))
        self._keys = keys
