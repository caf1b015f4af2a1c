"""What the requests of an interval used, as they were billed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ledger.entries import UsageSource
from runtime.postgres import Pool
from runtime.sql import load_queries

_QUERIES = load_queries("ledger", "sql/billed.sql")
# A month of rows is read.
QUERY_TIMEOUT_S = 1800.0
# No request runs for longer: what began before that had ended when the interval begins.
LONGEST_REQUEST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """A moment that is known as well as this: not before `begun_ms`, not after `ended_ms` (Unix time)."""

    begun_ms: int
    ended_ms: int

    def widened(self, by_ms: int) -> "Window":
        return Window(self.begun_ms - by_ms, self.ended_ms + by_ms)


@dataclass(frozen=True, slots=True)
class Billed:
    """Requests alike. `input` are all tokens in, `cached` those of them that came out of a cache, `output` all out.

    `is_inside`: they ran between the two moments for certain; else one of the moments fell into them.
    """

    model: str
    end_reason: str
    usage_source: UsageSource
    is_inside: bool
    has_output: bool
    requests: int
    input: int
    cached: int
    output: int


async def billed_between(pool: Pool, upstream: str, first: Window, second: Window) -> list[Billed]:
    """By model. Raises runtime.postgres.UNAVAILABLE."""
    moments = [_moment(ms) for ms in (first.begun_ms, first.ended_ms, second.begun_ms, second.ended_ms)]
    rows = await pool.fetch(_QUERIES["between"], *moments, upstream, LONGEST_REQUEST, timeout=QUERY_TIMEOUT_S)
    return [Billed(**dict(row)) for row in rows]


def _moment(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
