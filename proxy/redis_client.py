"""The proxy's way to Redis: short timeouts and no retry behind our back.

redis-py would by default repeat a call that timed out. An admission that ran twice would hold twice; who may try
again, and when, is decided by the callers.
"""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

# Calls are coalesced: a handful of connections carries any load. Waiting for one counts as Redis being slow.
_MAX_CONNECTIONS = 16


def connect(url: str, timeout_s: float) -> Redis:
    """A client that makes its connections when they are needed."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_MAX_CONNECTIONS,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        # Switched on, as it is by default, a connection that the server has closed is handed out all the same.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    return Redis.from_pool(pool)
