"""The proxy's way to Redis: short timeouts and no retry behind our back.

redis-py would by default repeat a call that timed out. An admission that ran twice would hold twice; who may try
again, and when, is decided by the callers.

Scripts, which every request runs twice, go over one connection of their own (`runtime/redis_pipe.py`), and so do
look-ups of keys, which a flood of wrong ones consists of.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisGone
from redis.maint_notifications import MaintNotificationsConfig

from runtime.lua import Script
from runtime.redis_cluster import RedisCluster
from runtime.redis_pipe import RedisPipe
from runtime.redis_slots import Address

# Calls are coalesced: a handful of connections carries any load. Waiting for one counts as Redis being slow.
_MAX_CONNECTIONS = 16
_BY_THE_PIPE = frozenset(("EVALSHA", "MGET"))
_DEFAULT_PORT = 6379


def connect(url: str, timeout_s: float, *, waiting: int = 0) -> Redis:
    """A client of one server, which makes its connections when they are needed.

    `waiting`: how many connections more it may need for commands that wait for something to happen.
    """
    return _client(dict(parse_url(url)), timeout_s, waiting)


def connect_cluster(url: str, nodes: Sequence[Address], timeout_s: float, *, waiting: int = 0) -> RedisCluster:
    """The same of a cluster, as many connections to each of its nodes.

    The URL names one node and says how all are reached: user, password, TLS. `nodes` are more to begin with. The
    others are heard of from those.
    """
    options: dict[str, Any] = dict(parse_url(url))
    first = (str(options.get("host", "localhost")), int(options.get("port", _DEFAULT_PORT)))

    def client_of(node: Address) -> Redis:
        return _client({**options, "host": node[0], "port": node[1]}, timeout_s, waiting)

    return RedisCluster((first, *nodes), client_of, timeout_s)


def _client(options: dict[str, Any], timeout_s: float, waiting: int) -> Redis:
    ours: dict[str, Any] = {
        "max_connections": _MAX_CONNECTIONS + waiting,
        "timeout": timeout_s,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        # Switched on, as it is by default, a connection that the server has closed is handed out all the same.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    pool = BlockingConnectionPool(**(ours | options))  # what the URL says counts
    pool.connection_class = _TELLING[pool.connection_class]
    return _Piped.from_pool(pool)


class _Piped(Redis):
    """The rest goes through the pool."""

    def __init__(self, *, connection_pool: BlockingConnectionPool) -> None:
        super().__init__(connection_pool=connection_pool)
        make: Callable[[], Any] = connection_pool.make_connection
        self._pipe = RedisPipe(make, connection_pool.connection_kwargs["socket_timeout"])
        self._through_the_pool: Callable[..., Awaitable[Any]] = super().execute_command

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] in _BY_THE_PIPE:
            return await self._pipe.call(*args)
        return await self._through_the_pool(*args, **options)

    def register_script(self, script: Any) -> Any:
        return Script(self, script)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await self._pipe.aclose()
        await super().aclose(close_connection_pool)


class _Telling(AbstractConnection):
    """Says ConnectionError where uvloop says RuntimeError: for a socket that the server has closed a moment ago.

    redis-py passes that on as it is, and nobody would take it for Redis being away: a settlement would be lost.
    """

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise RedisGone(f"the connection is closed ({error})") from error

    async def hand_over(self, protocol: asyncio.Protocol) -> asyncio.WriteTransport:
        """Connects, and leaves all that comes from then on to `protocol`. Raises RedisError."""
        connect: Callable[[], Awaitable[None]] = self.connect
        await connect()
        reader, writer = self._reader, self._writer
        if reader is None or writer is None or reader.at_eof():
            raise RedisGone("Connection closed by server")
        writer.transport.set_protocol(protocol)
        return writer.transport

    def forget(self) -> None:
        """Closes what is open. Kept until then, because its writer closes the transport when it is not."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.transport.abort()


class _TellingConnection(_Telling, Connection):
    pass


class _TellingSslConnection(_Telling, SSLConnection):
    pass


class _TellingUnixConnection(_Telling, UnixDomainSocketConnection):
    pass


_TELLING: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _TellingConnection,
    SSLConnection: _TellingSslConnection,
    UnixDomainSocketConnection: _TellingUnixConnection,
}
