"""A transaction in which Postgres shows one user's rows and no others: where the account API acts for a user.

The role and the user's id are set for the transaction only, so the connection goes back to the pool as it came,
however the transaction ends. This protects against a query of ours that forgets its WHERE. It does not protect
against whoever writes SQL: they could set another id or reset the role. So queries are ours, and what users send
is only ever a parameter.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from uuid import UUID

from runtime.postgres import Connection, Pool

USER_ROLE = "farebox_user"
# A page of an account that takes longer is not worth waiting for. Exports are read page by page too.
STATEMENT_TIMEOUT_MS = 5_000
# Custom plans: a filter that is not given, and a user with a million rows beside one with ten, need plans of their own.
_BECOME = """
SELECT set_config('role', $1, true), set_config('farebox.user_id', $2, true), set_config('statement_timeout', $3, true),
    set_config('plan_cache_mode', 'force_custom_plan', true)"""


@asynccontextmanager
async def as_user(pool: Pool, user_id: UUID, *, snapshot: bool = False) -> AsyncIterator[Connection]:
    """One transaction as `user_id`; with `snapshot` it only reads, and all its queries see the same moment.

    Raises runtime.postgres.UNAVAILABLE while Postgres is away or a statement takes longer than STATEMENT_TIMEOUT_MS.
    """
    isolation: Literal["repeatable_read", "read_committed"] = "repeatable_read" if snapshot else "read_committed"
    async with pool.acquire() as connection, connection.transaction(isolation=isolation, readonly=snapshot):
        await connection.execute(_BECOME, USER_ROLE, str(user_id), str(STATEMENT_TIMEOUT_MS))
        yield connection
