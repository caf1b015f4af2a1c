"""What everybody's books say after a schedule: Postgres', Redis', the LLM server's."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.audit import audit
from ledger.redis_schema import holds_key, usage_stream
from tests.support.chaos.bounds import Applied
from tests.support.chaos.clients import Receipt
from tests.support.chaos.customers import Account
from tests.support.chaos.rig import Rig
from tests.support.office import nanos, usage_row

_ROWS = "SELECT * FROM ai_usage_logs WHERE wallet_id = ANY($1) ORDER BY id"
_DEBITS = """
SELECT coalesce(request_id, corrects) AS request_id, wallet_id, amount FROM ai_transactions
WHERE wallet_id = ANY($1) AND type = 'usage' ORDER BY seq"""

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Purse:
    """One wallet, in Postgres and in Redis, nano-dollars."""

    account: Account
    balance: int
    held: int
    unposted: int


@dataclass(frozen=True, slots=True)
class Facts:
    """`rows` and `books` by request id, `rows_of` by the visit's name; `paid` is the sum of a request's debits."""

    receipts: Sequence[Receipt]
    applied: Sequence[Applied]
    rows_of: Mapping[str, Sequence[Record]]
    books: Mapping[str, Record]
    paid: Mapping[str, int]
    purses: Sequence[Purse]
    open_holds: int = 0
    on_stream: int = 0
    broken_rules: Sequence[str] = ()
    ended_by_themselves: Sequence[str] = ()


async def gather_facts(
    rig: Rig,
    accounts: Sequence[Account],
    receipts: Sequence[Receipt],
    applied: Sequence[Applied],
    old_holds: frozenset[bytes],
    ended: Sequence[str],
) -> Facts:
    """As they stand now. `old_holds` were there before the schedule, and are not its fault."""
    wallets = list({account.customer.wallet_id: account for account in accounts}.values())
    ids = [account.customer.wallet_id for account in wallets]
    holds = await holds_now(rig)
    report = await audit(rig.office.pool)
    return Facts(
        receipts=receipts,
        applied=applied,
        rows_of=await _rows_by_visit(rig, ids),
        books=await _books(rig),
        paid=await _paid(rig, ids),
        purses=[await _purse(rig, account) for account in wallets],
        open_holds=len(holds - old_holds),
        on_stream=await rig.office.redis.xlen(usage_stream(0)),
        broken_rules=[f"{each.rule}: {each.detail} ({each.request_id})" for each in report.violations],
        ended_by_themselves=ended,
    )


async def holds_now(rig: Rig) -> frozenset[bytes]:
    names: list[Any] = await rig.office.redis.hkeys(holds_key(0))
    return frozenset(names)


async def _rows_by_visit(rig: Rig, wallet_ids: Sequence[Any]) -> dict[str, list[Record]]:
    found: defaultdict[str, list[Record]] = defaultdict(list)
    for record in await rig.office.pool.fetch(_ROWS, wallet_ids):
        row = usage_row(record)
        found[str(row["metadata"].get("client_request_id"))].append(row)
    return found


async def _books(rig: Rig) -> dict[str, Record]:
    """A request that was asked twice, because its first connection failed, was emitted twice."""
    found: dict[str, Record] = {}
    for record in await rig.books():
        if before := found.get(record["request_id"]):
            record = record | {"completion_tokens": before["completion_tokens"] + record["completion_tokens"]}
        found[record["request_id"]] = record
    return found


async def _paid(rig: Rig, wallet_ids: Sequence[Any]) -> dict[str, int]:
    paid: defaultdict[str, int] = defaultdict(int)
    for row in await rig.office.pool.fetch(_DEBITS, wallet_ids):
        paid[str(row["request_id"])] -= nanos(row["amount"])
    return paid


async def _purse(rig: Rig, account: Account) -> Purse:
    cached = await rig.office.cached(account.customer)
    balance = await rig.office.balance_nanos(account.customer)
    return Purse(account, balance, cached["held"], cached["unposted"])
