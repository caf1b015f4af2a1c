"""A failure in words, and the table of a long run. Pure: whoever reads it may never have seen the rig."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.chaos.bounds import Applied
from tests.support.chaos.facts import Facts
from tests.support.chaos.schedule import Fault, Schedule
from tests.support.chaos.verdict import Deviation, Verdict

# Of a schedule in which everything went wrong, the beginning says it all.
MOST_SHOWN = 12
_OF_ROW = (
    "id",
    "end_reason",
    "usage_source",
    "status_code",
    "input_tokens",
    "output_tokens",
    "cost",
    "uncollected",
    "error_message",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One schedule that was played, on a rig with these logs."""

    schedule: Schedule
    facts: Facts
    verdict: Verdict
    logs: str


def failure(outcome: Outcome, command: str) -> str:
    """Which promises were broken, to whom, and how to see it again."""
    deviations = outcome.verdict.deviations
    lines = [f"{len(deviations)} deviations; play it again with: {command}", str(outcome.schedule), "as it was played:"]
    lines += [f"  {_applied(each)}" for each in outcome.facts.applied]
    for number, deviation in enumerate(deviations[:MOST_SHOWN], start=1):
        lines += _told(number, deviation, outcome.facts)
    if len(deviations) > MOST_SHOWN:
        rules = Counter(deviation.rule for deviation in deviations)
        lines.append(f"... and more; by rule: {dict(rules)}")
    return "\n".join([*lines, "the end of each process's log:", outcome.logs])


def _applied(each: Applied) -> str:
    return f"{each.from_s:6.2f} to {each.to_s:6.2f} s  {each.fault.kind} {each.fault.part}"


def _told(number: int, deviation: Deviation, facts: Facts) -> list[str]:
    lines = [f"{number}. NOT KEPT: {deviation.rule}: {deviation.detail}"]
    receipt = deviation.about
    if receipt is None:
        return lines
    rows = facts.rows_of.get(receipt.visit.name, ())
    ids = [str(row["id"]) for row in rows] or [str(receipt.request_id)]
    label = next((p.account.label for p in facts.purses if any(_is_of(p, row) for row in rows)), "?")
    return [
        *lines,
        f"   asked:   {receipt.visit} (wallet: {label})",
        f"   client:  {receipt.began_s:.2f} to {receipt.ended_s:.2f} s, status {receipt.status}, code {receipt.code}, "
        f"{receipt.tokens} tokens in {receipt.size_bytes} bytes, {receipt.how}",
        *(f"   row:     {_short(row, _OF_ROW)}, paid {facts.paid.get(str(row['id']), 0)}" for row in rows),
        *(f"   emitted: {_book(facts.books.get(request_id))}" for request_id in ids),
    ]


def _is_of(purse: Any, row: Mapping[str, Any]) -> bool:
    return bool(purse.account.customer.wallet_id == row["wallet_id"])


def _short(record: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {record[name]}" for name in names if record.get(name) is not None)


def _book(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return "the LLM server never saw it"
    return _short(record, ("state", "prompt_tokens", "completion_tokens"))


def summary(outcomes: Sequence[Outcome]) -> str:
    """The table of a long run: what was done, by kind of fault, and what was lost by it."""
    faults = Counter(fault.name for outcome in outcomes for fault in outcome.schedule.faults)
    losses = [loss for outcome in outcomes for loss in outcome.verdict.losses]
    failed = [outcome.schedule.seed for outcome in outcomes if not outcome.verdict.holds]
    receipts = [receipt for outcome in outcomes for receipt in outcome.facts.receipts]
    lines = [
        f"schedules: {len(outcomes)}, of which failed: {len(failed)}{' ' + str(failed) if failed else ''}",
        f"faults: {sum(faults.values())}; requests: {len(receipts)}, of which answered with tokens: "
        f"{sum(receipt.is_good for receipt in receipts)}, complete: {sum(receipt.is_complete for receipt in receipts)}",
        f"uncollected: {sum(outcome.verdict.uncollected_nanos for outcome in outcomes)} nano-dollars",
        "",
        "| cause | faults | requests that lost | tokens lost | nano-dollars lost | most tokens | worst, s of stream |",
        "|---|---|---|---|---|---|---|",
    ]
    for cause in sorted({*faults, *(loss.cause for loss in losses)}):
        own = [loss for loss in losses if loss.cause == cause]
        tokens, nanos = sum(loss.tokens for loss in own), sum(loss.nanos for loss in own)
        most, worst = max((loss.tokens for loss in own), default=0), max((loss.seconds for loss in own), default=0.0)
        lines.append(f"| {cause} | {faults[cause]} | {len(own)} | {tokens} | {nanos} | {most} | {worst:.2f} |")
    return "\n".join(lines)


def begun(fault: Fault, now_s: float) -> str:
    """A line while it is played."""
    return f"{now_s:6.2f} s  {fault.kind} {fault.part} for {fault.duration_ms} ms"
