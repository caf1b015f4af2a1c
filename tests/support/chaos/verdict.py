"""What clients saw, what the LLM server emitted, what the books say: what deviates from the promises, what was lost.

Pure: facts in, deviations and losses out. A deviation may only mean that something is still under way; who asks waits
until there is none, or for as long as it may take.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.chaos.bounds import ESTIMATE_PERCENT, cause_of, killer_of, may_lose_tokens
from tests.support.chaos.clients import Receipt
from tests.support.chaos.customers import RATE
from tests.support.chaos.facts import Facts, Purse
from tests.support.chaos.visits import PROMPT_TOKENS

RECOVERED = "recovered"
# Refused before anything was held or sent.
NOT_ADMITTED = frozenset(
    {
        "insufficient_balance",
        "budget_exceeded",
        "rate_limit_exceeded",
        "limits_unavailable",
        "accounts_unavailable",
        "invalid_api_key",
        "key_frozen",
        "wallet_frozen",
    }
)


FOR_GOOD = frozenset({"no process ends by itself", "bytes are untouched", "a request has one row"})


@dataclass(frozen=True, slots=True)
class Deviation:
    """A promise that was not kept; `about`: the request it was broken to, if one."""

    rule: str
    detail: str
    about: Receipt | None = None


@dataclass(frozen=True, slots=True)
class Loss:
    """What was emitted and not billed, within the bound, and what it was put down to. `seconds`: of that stream."""

    cause: str
    tokens: int
    nanos: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    deviations: Sequence[Deviation]
    losses: Sequence[Loss]
    uncollected_nanos: int

    @property
    def holds(self) -> bool:
        return not self.deviations

    @property
    def is_final(self) -> bool:
        """Is there something that no waiting makes good?"""
        return any(deviation.rule in FOR_GOOD for deviation in self.deviations)


def judge(facts: Facts) -> Verdict:
    deviations = [*_of_the_whole(facts)]
    for purse in facts.purses:
        deviations += _of_purse(purse, facts)
    losses: list[Loss] = []
    uncollected = 0
    for receipt in facts.receipts:
        found = list(_of_visit(receipt, facts))
        deviations += [Deviation(rule, detail, receipt) for rule, detail in found]
        losses += _losses(receipt, facts) if not found else []
        uncollected += sum(row["uncollected"] for row in facts.rows_of.get(receipt.visit.name, ()))
    return Verdict(deviations, losses, uncollected)


def billed_tokens(row: Mapping[str, Any]) -> int:
    return int(row["output_tokens"]) + int(row["reasoning_tokens"])


Found = Iterator[tuple[str, str]]


def _of_the_whole(facts: Facts) -> Iterator[Deviation]:
    for broken in facts.broken_rules:
        yield Deviation("the audit holds", broken)
    if facts.open_holds:
        yield Deviation("no hold is open", f"{facts.open_holds} are")
    if facts.on_stream:
        yield Deviation("all that was settled is posted", f"{facts.on_stream} events are on the stream")
    for ended in facts.ended_by_themselves:
        yield Deviation("no process ends by itself", ended)


def _of_purse(purse: Purse, facts: Facts) -> Iterator[Deviation]:
    name = f"wallet {purse.account.customer.wallet_id} ({purse.account.label})"
    if (purse.held, purse.unposted) != (0, 0):
        yield Deviation("nothing is held or unposted", f"{name}: held {purse.held}, unposted {purse.unposted}")
    if purse.balance < -purse.account.overdraft_nanos:
        yield Deviation("no balance is below its overdraft", f"{name}: {purse.balance}")
    rows = [row for rows in facts.rows_of.values() for row in rows]
    own = [str(row["id"]) for row in rows if row["wallet_id"] == purse.account.customer.wallet_id]
    spent = sum(facts.paid.get(request_id, 0) for request_id in own)
    if purse.account.customer.start_nanos - spent != purse.balance:
        start = purse.account.customer.start_nanos
        yield Deviation("a balance is its start less its requests", f"{name}: {start} - {spent} is not {purse.balance}")


def _of_visit(receipt: Receipt, facts: Facts) -> Found:
    rows = facts.rows_of.get(receipt.visit.name, ())
    if len(rows) > 1:
        yield "a request has one row", f"{len(rows)} rows: {[str(row['id']) for row in rows]}"
        return
    yield from _of_bytes(receipt)
    if rows:
        yield from _of_row(receipt, rows[0], facts)
    elif receipt.is_good and not _may_go_unbilled(receipt, facts):
        yield "what was delivered has a row", f"{receipt.tokens} tokens were delivered, and there is no row"


def _may_go_unbilled(receipt: Receipt, facts: Facts) -> bool:
    """Its proxy died before the first checkpoint."""
    was_killed = killer_of(receipt, facts.applied) is not None
    return was_killed and _emitted(receipt, facts) <= may_lose_tokens(receipt, facts.applied)


def _of_bytes(receipt: Receipt) -> Found:
    expected = "".join(f"w{number} " for number in range(receipt.visit.tokens))
    if not expected.startswith(receipt.text):
        yield "bytes are untouched", f"received {receipt.text!r}"


def _of_row(receipt: Receipt, row: Mapping[str, Any], facts: Facts) -> Found:
    yield from _of_money(row, facts)
    if receipt.code in NOT_ADMITTED and receipt.status != 200:
        yield "a refused request has no row", f"refused with {receipt.code}"
    elif receipt.status not in (200, None) and row["cost"]:
        yield "an error costs nothing", f"answered with {receipt.status} {receipt.code}, and cost {row['cost']}"
    record = facts.books.get(str(row["id"]))
    if record is None:
        if row["cost"]:
            yield "nobody pays for nothing", f"the LLM server never saw it, and it cost {row['cost']}"
        return
    if record["state"] == "running":
        yield "the LLM server is told of the end", "it still works on it"
    is_exact = receipt.is_complete and killer_of(receipt, facts.applied) is None
    yield from (_of_whole(receipt, row, record) if is_exact else _of_cut(receipt, row, record, facts))


def _of_money(row: Mapping[str, Any], facts: Facts) -> Found:
    cost = 0 if row["usage_source"] == "none" else RATE.cost(row["input_tokens"], billed_tokens(row))
    if row["cost"] != cost:
        yield "the cost is the tokens at the price", f"it is {row['cost']}, and should be {cost}"
    paid = facts.paid.get(str(row["id"]), 0)
    if paid != row["cost"] - row["uncollected"]:
        yield "the cost is paid, or uncollected", f"{paid} of {row['cost']} paid, {row['uncollected']} uncollected"


def _of_whole(receipt: Receipt, row: Mapping[str, Any], record: Mapping[str, Any]) -> Found:
    """A response that was received to its end. Of a server that was killed meanwhile, the client knows better."""
    billed = billed_tokens(row)
    emitted = receipt.tokens if record["state"] == "killed" else record["completion_tokens"]
    if row["usage_source"] in ("reported", "partial"):
        if (row["input_tokens"], billed) != (PROMPT_TOKENS, emitted):
            told = f"billed {row['input_tokens']}+{billed}, emitted {PROMPT_TOKENS}+{emitted}"
            yield "a whole response is billed exactly", told
    elif 100 * abs(billed - emitted) > ESTIMATE_PERCENT * emitted:
        yield "an estimate is near", f"billed {billed}, emitted {emitted}"


def _of_cut(receipt: Receipt, row: Mapping[str, Any], record: Mapping[str, Any], facts: Facts) -> Found:
    """A response that was cut, by whomever."""
    billed, may_lose = billed_tokens(row), may_lose_tokens(receipt, facts.applied)
    most = receipt.visit.tokens if record["state"] == "killed" else record["completion_tokens"]
    least = record["completion_tokens"] - may_lose
    if billed > most:
        yield "no more is billed than was emitted", f"billed {billed}, emitted {most}"
    if row["cost"] and billed < least:
        yield "a cut response is billed to within a second", f"billed {billed}, emitted {most}, may lose {may_lose}"
    if not row["cost"] and receipt.is_good and receipt.tokens > may_lose:
        yield "what was delivered is billed", f"delivered {receipt.tokens}, may lose {may_lose}, and it was free"
    is_recovered = row["end_reason"] == RECOVERED
    if is_recovered and killer_of(receipt, facts.applied) is None:
        yield "a proxy that lives settles what it recovered", "nobody killed its proxy, and it stayed recovered"
    if not is_recovered and receipt.is_good and billed < receipt.tokens:
        yield "what was delivered is billed", f"delivered {receipt.tokens}, billed {billed}"


def _emitted(receipt: Receipt, facts: Facts) -> int:
    """As far as anybody knows."""
    record = facts.books.get(receipt.request_id or "")
    return max(receipt.tokens, 0 if record is None else int(record["completion_tokens"]))


def _losses(receipt: Receipt, facts: Facts) -> Iterator[Loss]:
    rows = facts.rows_of.get(receipt.visit.name, ())
    if not receipt.is_good or (receipt.is_complete and killer_of(receipt, facts.applied) is None):
        return
    lost = _emitted(receipt, facts) - sum(map(billed_tokens, rows))
    if lost > 0:
        nanos = RATE.cost(0, lost) - RATE.fee
        yield Loss(cause_of(receipt, facts.applied), lost, nanos, lost / receipt.visit.tokens_per_s)
