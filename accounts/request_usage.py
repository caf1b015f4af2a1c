"""What one request was counted and charged, by our id or by the client's own."""

from dataclasses import dataclass
from uuid import UUID

from accounts.usage import UsageRow, usage_row
from runtime.postgres import Pool
from runtime.sql import load_queries

_QUERIES = load_queries("accounts", "sql/request_usage.sql")


@dataclass(frozen=True, slots=True)
class RequestUsage:
    row: UsageRow
    client_request_id: str | None


class RequestUsages:
    """Both methods find requests of this user only, and raise runtime.postgres.UNAVAILABLE."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def by_request_id(self, user_id: UUID, request_id: UUID) -> RequestUsage | None:
        return await self._find("by_request_id", user_id, request_id)

    async def by_client_request_id(self, user_id: UUID, client_request_id: str) -> RequestUsage | None:
        """The newest of that id. Neither NUL nor half a surrogate pair may be in it."""
        return await self._find("by_client_request_id", user_id, client_request_id)

    async def _find(self, query: str, user_id: UUID, wanted: UUID | str) -> RequestUsage | None:
        found = await self._pool.fetchrow(_QUERIES[query], user_id, wanted)
        if found is None:
            return None
        fields = dict(found)
        client_request_id = fields.pop("client_request_id")
        return RequestUsage(usage_row(fields), client_request_id)
