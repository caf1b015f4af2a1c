"""Pages of a user's rows, newest first, each read in a short transaction of its own as that user.

Exports page too, instead of keeping a cursor open in Postgres: a slow reader would hold a connection of the pool for
as long as it liked, and a handful of them would be the end of the account API. One page is all that is in memory.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from accounts.as_user import as_user
from accounts.csv_lines import Cell, csv_bytes
from accounts.cursors import Listing, Position, decode_cursor, encode_cursor
from accounts.filters import Filter, check_limit
from runtime.postgres import Connection, Pool

DEFAULT_LIMIT = 50
EXPORT_PAGE = 2000


RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class Page(Generic[RowT]):
    """`next_cursor` None: there is nothing older."""

    rows: tuple[RowT, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Paged(Generic[RowT]):
    """One list: its query (see sql/account_view.sql for the parameters), its rows, its columns as CSV."""

    listing: Listing
    query: str
    row: Callable[[Any], RowT]
    columns: Sequence[str]
    cells: Callable[[RowT], Sequence[Cell]]
    place: Callable[[RowT], Position]
    tie: Callable[[int], Any]  # a position's tie as the query wants it

    async def page(self, pool: Pool, user_id: UUID, wanted: Filter, limit: int, cursor: str | None) -> Page[RowT]:
        """Raises InvalidRequest for a limit or cursor that is none, UNAVAILABLE while Postgres is away."""
        check_limit(limit)
        after = None if cursor is None else decode_cursor(self.listing, user_id, cursor)
        async with as_user(pool, user_id) as connection:  # one row more than asked for tells whether there are more
            rows = await self.read(connection, user_id, wanted, limit + 1, after=after)
        shown = rows[:limit]
        more = encode_cursor(self.listing, user_id, self.place(shown[-1])) if len(rows) > limit else None
        return Page(tuple(shown), more)

    async def export(self, pool: Pool, user_id: UUID, wanted: Filter) -> AsyncIterator[bytes]:
        """A line with the columns' names, then all rows, page by page. Raises UNAVAILABLE, also on the way."""
        yield csv_bytes([self.columns])
        after: Position | None = None
        while True:
            async with as_user(pool, user_id) as connection:
                rows = await self.read(connection, user_id, wanted, EXPORT_PAGE, after=after)
            if not rows:
                return
            yield csv_bytes(map(self.cells, rows))
            after = self.place(rows[-1])

    async def read(
        self,
        connection: Connection,
        user_id: UUID,
        wanted: Filter,
        limit: int,
        *,
        after: Position | None = None,
        offset: int = 0,
    ) -> list[RowT]:
        """The newest rows that are older than `after`, without the first `offset` of them."""
        place = (None, None) if after is None else (after.created_at, self.tie(after.tie))
        found = await connection.fetch(
            self.query, user_id, wanted.start, wanted.end, wanted.model, wanted.key_id, *place, limit, offset
        )
        return [self.row(row) for row in found]
