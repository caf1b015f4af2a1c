"""Connections to Postgres, every wait bounded."""

import asyncio
from typing import TypeAlias

import asyncpg

from runtime.metrics.common import POSTGRES_CONNECTIONS, POSTGRES_FAILURES, POSTGRES_QUERIES
from runtime.metrics.series import MICROSECONDS

# As texts: asyncpg's classes take a type argument in their stubs only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 3.0
IDLE_CONNECTION_LIFETIME_S = 60.0
# A process that is stopped in the middle of a transaction (SIGSTOP, a frozen node) must not keep wallets locked.
IDLE_IN_TRANSACTION_MS = 15_000

# What may pass by itself: worth trying again, and never the fault of the data sent.
UNAVAILABLE: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a server that is being made the primary
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)
# Also what Postgres says for good, such as that a column is missing halfway through an upgrade: for loops that keep
# what they have until someone has put it right.
FAILED: tuple[type[BaseException], ...] = (*UNAVAILABLE, asyncpg.PostgresError)


async def create_pool(
    url: str,
    *,
    min_size: int = 0,
    max_size: int = 4,
    command_timeout_s: float = COMMAND_TIMEOUT_S,
    application_name: str = "farebox",
) -> Pool:
    """A pool that opens connections when they are needed and closes idle ones.

    With `min_size` 0 it can be made while Postgres is down; the first query then fails with one of UNAVAILABLE.
    """
    return await asyncpg.create_pool(
        url,
        min_size=min_size,
        max_size=max_size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=command_timeout_s,
        max_inactive_connection_lifetime=IDLE_CONNECTION_LIFETIME_S,
        init=_measure,
        server_settings={
            "application_name": application_name,
            "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
        },
    )


async def _measure(connection: Connection) -> None:
    connection.add_query_logger(_note_query)


def _note_query(query: "asyncpg.connection.LoggedQuery") -> None:
    POSTGRES_QUERIES.observe((), int(query.elapsed * MICROSECONDS))
    if query.exception is not None:
        POSTGRES_FAILURES.add(())


def pool_look(pool: Pool) -> None:
    """Puts what the pool has open."""
    idle = pool.get_idle_size()
    POSTGRES_CONNECTIONS.put(idle, ("idle",))
    POSTGRES_CONNECTIONS.put(pool.get_size() - idle, ("busy",))


async def close_pool(pool: Pool) -> None:
    """Says goodbye on every connection; to a server that does not answer any more, not for long."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await pool.close()
    except TimeoutError:
        pool.terminate()
