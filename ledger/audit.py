"""The ledger's invariants, checked against what Postgres holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg

from runtime.postgres import Connection, Pool
from runtime.sql import load_queries

# A rule that is broken everywhere shall not fill the memory: so many are shown, all are counted.
SHOWN_PER_RULE = 100
# The audit reads whole tables.
QUERY_TIMEOUT_S = 1800.0
_RULES = load_queries("ledger", "sql/audit.sql")
# Before the snapshot is taken: a month that is dropped between two rules would be missing from one of them. Waiting for
# this lock, dropping gives up.
_NOTHING_IS_DROPPED = "LOCK TABLE ai_usage_logs IN ACCESS SHARE MODE"
_SHOWN = """
WITH broken AS MATERIALIZED ({rule})
SELECT wallet_id, request_id, detail, (SELECT count(*) FROM broken) AS total
FROM broken ORDER BY wallet_id, request_id, detail LIMIT $3"""


@dataclass(frozen=True, slots=True)
class Violation:
    """One wallet or request that breaks a rule, named as its query in sql/audit.sql."""

    rule: str
    wallet_id: UUID | None
    request_id: UUID | None
    detail: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """`broken` counts the violations of every rule that has any; `violations` shows the first of each."""

    rules: tuple[str, ...]
    broken: Mapping[str, int] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.broken


RULE_NAMES = tuple(_RULES)
OnRule = Callable[[str], None]


def _unwatched(_: str) -> None:
    """Nobody wants to know how far it is."""


async def audit(
    source: "Connection | Pool",
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    on_rule: OnRule = _unwatched,
) -> AuditReport:
    """Checks every rule over everything, or over what is from `since` and before `until`; may run while the writers do.

    Whole histories are checked for each wallet that was there before `until` and changed since `since`.
    `on_rule` is told of each rule when it has been checked. Raises runtime.postgres.UNAVAILABLE.
    """
    if isinstance(source, asyncpg.Pool):
        async with source.acquire() as connection:
            return await _audit_on(connection, since, until, on_rule)
    return await _audit_on(source, since, until, on_rule)


async def _audit_on(
    connection: Connection, since: datetime | None, until: datetime | None, on_rule: OnRule
) -> AuditReport:
    broken: dict[str, int] = {}
    violations: list[Violation] = []
    # One snapshot for all rules: a batch posted between two of them would look like a violation.
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(_NOTHING_IS_DROPPED)
        for rule, query in _RULES.items():
            shown = _SHOWN.format(rule=query)
            found = await connection.fetch(shown, since, until, SHOWN_PER_RULE, timeout=QUERY_TIMEOUT_S)
            if found:
                broken[rule] = found[0]["total"]
            violations += [Violation(rule, row["wallet_id"], row["request_id"], row["detail"]) for row in found]
            on_rule(rule)
    return AuditReport(tuple(_RULES), broken, tuple(violations))
