"""A transaction that reads for an administrator: everybody's rows, so as the owner of the tables."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runtime.postgres import Connection, Pool

# Past this, asking for less is better than waiting. Longer than what a proxy waits for its own statements: adding up
# what everybody spent in a year takes seconds where there are millions of daily sums.
STATEMENT_TIMEOUT_MS = 15_000
# Postgres gives up first, and says so.
ANSWER_TIMEOUT_S = STATEMENT_TIMEOUT_MS / 1000 + 1
# Custom plans: a filter that is not given needs a plan of its own. Compiling costs more than these queries take.
_SETTINGS = """
SELECT set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('jit', 'off', true)"""


@asynccontextmanager
async def as_admin(pool: Pool) -> AsyncIterator[Connection]:
    """One transaction that only reads, all its queries at the same moment. Raises runtime.postgres.UNAVAILABLE."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(_SETTINGS, str(STATEMENT_TIMEOUT_MS))
        yield connection
