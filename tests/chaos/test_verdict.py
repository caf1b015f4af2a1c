"""The verdict finds each broken promise, and nothing where all is well: a rig that sees nothing proves nothing."""

from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.chaos.bounds import Applied, cause_of, may_lose_tokens
from tests.support.chaos.clients import Receipt
from tests.support.chaos.customers import RATE, Account
from tests.support.chaos.facts import Facts, Purse
from tests.support.chaos.report import Outcome, failure, summary
from tests.support.chaos.schedule import Fault, Schedule
from tests.support.chaos.verdict import judge
from tests.support.chaos.visits import ALONG, PROMPT_TOKENS, Visit
from tests.support.office import Customer

START = 1_000_000_000
WALLET = UUID(int=1)
TOKENS = 90
# A hundred tokens a second: two seconds are more than the whole stream, so bounds are tested with slower ones.
VISIT = Visit("1-0-0", 0, 0, ALONG, True, TOKENS, 10, None)
SLOW = replace(VISIT, delay_ms=100)


def text(tokens: int) -> str:
    return "".join(f"w{number} " for number in range(tokens))


@dataclass
class Case:
    """One request and everything about it; by default all is well."""

    visit: Visit = VISIT
    seen: int = TOKENS
    emitted: int | None = TOKENS
    billed: int | None = TOKENS
    state: str = "finished"
    row: dict[str, Any] = field(default_factory=dict)
    receipt: dict[str, Any] = field(default_factory=dict)
    applied: list[Applied] = field(default_factory=list)
    copies: int = 1
    paid: int | None = None
    purse: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def all_of_it(self) -> Facts:
        receipt = Receipt(
            self.visit, 1.0, 2.0, status=200, request_id=str(uuid4()), size_bytes=100, text=text(self.seen)
        )
        receipt.is_complete = self.seen == self.visit.tokens
        for name, value in self.receipt.items():
            setattr(receipt, name, value)
        rows = [self._row(receipt) for _ in range(self.copies)] if self.billed is not None else []
        paid = {str(row["id"]): row["cost"] - row["uncollected"] for row in rows}
        if self.paid is not None:
            paid = dict.fromkeys(paid, self.paid)
        customer = Customer(uuid4(), WALLET, uuid4(), "a key", START)
        purse = Purse(Account("plenty", customer), START - sum(paid.values()), 0, 0)
        known: dict[str, Any] = {
            "receipts": [receipt],
            "applied": self.applied,
            "rows_of": {self.visit.name: rows} if rows else {},
            "books": self._books(receipt),
            "paid": paid,
            "purses": [replace(purse, **self.purse)],
        }
        return Facts(**known | self.facts)

    def _row(self, receipt: Receipt) -> dict[str, Any]:
        assert self.billed is not None and receipt.request_id is not None
        row = {
            "id": UUID(receipt.request_id),
            "wallet_id": WALLET,
            "input_tokens": PROMPT_TOKENS,
            "output_tokens": self.billed,
            "reasoning_tokens": 0,
            "cost": RATE.cost(PROMPT_TOKENS, self.billed),
            "uncollected": 0,
            "usage_source": "reported",
            "end_reason": "completed",
            "status_code": 200,
        }
        return row | self.row

    def _books(self, receipt: Receipt) -> dict[str, Any]:
        if self.emitted is None:
            return {}
        record = {"state": self.state, "prompt_tokens": PROMPT_TOKENS, "completion_tokens": self.emitted}
        return {str(receipt.request_id): record}


def killed(at_s: float = 1.5, proxy: int = 0) -> Applied:
    return Applied(Fault(500, f"proxy-{proxy}", "kill", 100), at_s, at_s + 0.1)


LEFT: dict[str, Any] = {"has_left": True}
CUT: dict[str, Any] = {"usage_source": "partial", "end_reason": "client_left"}
RECOVERED: dict[str, Any] = {"usage_source": "partial", "end_reason": "recovered"}
LOST_S = 21  # tokens of SLOW in two seconds and the tenth that the kill lasts

WELL = {
    "whole": Case(),
    "left": Case(seen=40, billed=42, emitted=45, state="client_left", row=CUT, receipt=LEFT),
    "recovered at the last checkpoint": Case(
        SLOW, seen=60, billed=60 - LOST_S, emitted=60, state="client_left", row=RECOVERED, applied=[killed()]
    ),
    "killed before the first checkpoint": Case(
        SLOW, seen=LOST_S, billed=None, emitted=LOST_S, state="client_left", applied=[killed()]
    ),
    "killed before the settlement": Case(SLOW, billed=TOKENS - 5, row=RECOVERED, applied=[killed(2.4)]),
    "uncollected": Case(row={"uncollected": 7}),
    "refused": Case(
        seen=0, billed=None, emitted=None, receipt={"status": 402, "code": "insufficient_balance", "size_bytes": 50}
    ),
    "upstream killed with its books": Case(seen=50, billed=50, emitted=40, state="killed", row=CUT),
    "whole, and the upstream killed a moment later": Case(emitted=TOKENS - 1, state="killed"),
    "estimated": Case(billed=TOKENS + 9, row={"usage_source": "estimated"}),
    "failed and free": Case(
        seen=0, billed=0, row={"cost": 0, "usage_source": "none"}, receipt={"status": 502}, emitted=None
    ),
}
BROKEN = {
    "the audit holds": Case(facts={"broken_rules": ["some rule"]}),
    "no hold is open": Case(facts={"open_holds": 1}),
    "all that was settled is posted": Case(facts={"on_stream": 1}),
    "no process ends by itself": Case(facts={"ended_by_themselves": ["ledger-0"]}),
    "nothing is held or unposted": Case(purse={"held": 1}),
    "no balance is below its overdraft": Case(purse={"balance": -1}),
    "a balance is its start less its requests": Case(purse={"balance": START}),
    "a request has one row": Case(copies=2),
    "what was delivered has a row": Case(billed=None),
    "bytes are untouched": Case(receipt={"text": "w0 w2 "}),
    "a refused request has no row": Case(seen=0, receipt={"status": 402, "code": "insufficient_balance"}),
    "an error costs nothing": Case(seen=0, receipt={"status": 502, "code": "upstream_error"}),
    "nobody pays for nothing": Case(emitted=None),
    "the LLM server is told of the end": Case(seen=40, billed=42, emitted=45, state="running", row=CUT, receipt=LEFT),
    "the cost is the tokens at the price": Case(row={"cost": 1}),
    "the cost is paid, or uncollected": Case(paid=1),
    "a whole response is billed exactly": Case(billed=TOKENS - 1),
    "an estimate is near": Case(billed=TOKENS // 2, row={"usage_source": "estimated"}),
    "no more is billed than was emitted": Case(seen=40, billed=46, emitted=45, row=CUT, receipt=LEFT),
    "a cut response is billed to within a second": Case(
        SLOW, seen=60, billed=60 - LOST_S - 1, emitted=60, row=RECOVERED, applied=[killed()]
    ),
    "what was delivered is billed": Case(seen=40, billed=39, emitted=45, row=CUT, receipt=LEFT),
    "a proxy that lives settles what it recovered": Case(seen=40, billed=40, emitted=45, row=RECOVERED, receipt=LEFT),
}
ALSO_BROKEN = {
    "no row, and another proxy was killed": Case(billed=None, applied=[killed(proxy=1)]),
    "no row, and its proxy was killed before it came": Case(billed=None, applied=[killed(0.5)]),
    "no row, and more was delivered than a second carries": Case(
        SLOW, seen=LOST_S + 1, billed=None, emitted=LOST_S + 1, applied=[killed()]
    ),
    "free, and more was delivered than a second carries": Case(
        SLOW, seen=50, billed=0, emitted=50, row=RECOVERED | {"cost": 0, "usage_source": "none"}, applied=[killed()]
    ),
    "unposted": Case(purse={"unposted": 3}),
    "prompt": Case(row={"input_tokens": 8, "cost": RATE.cost(8, TOKENS)}),
}


@pytest.mark.parametrize("case", WELL.values(), ids=WELL)
def test_what_is_well_is_found_well(case: Case) -> None:
    assert judge(case.all_of_it()).deviations == []


@pytest.mark.parametrize(("rule", "case"), BROKEN.items(), ids=BROKEN)
def test_a_broken_promise_is_named(rule: str, case: Case) -> None:
    assert rule in [deviation.rule for deviation in judge(case.all_of_it()).deviations]


@pytest.mark.parametrize("case", ALSO_BROKEN.values(), ids=ALSO_BROKEN)
def test_an_excuse_that_does_not_apply_is_none(case: Case) -> None:
    assert judge(case.all_of_it()).deviations


def test_what_was_lost_is_added_up_and_put_down_to_its_cause() -> None:
    (loss,) = judge(WELL["recovered at the last checkpoint"].all_of_it()).losses
    assert (loss.cause, loss.tokens) == ("proxy.kill", LOST_S)
    assert loss.nanos == RATE.cost(0, LOST_S) - RATE.fee
    (loss,) = judge(WELL["left"].all_of_it()).losses
    assert (loss.cause, loss.tokens) == ("client left", 3)
    assert judge(WELL["whole"].all_of_it()).losses == []


def test_a_loss_is_put_down_to_what_is_nearest_to_the_bytes() -> None:
    receipt = Receipt(VISIT, 1.0, 3.0)
    everywhere = [
        Applied(Fault(0, "valkey", "kill", 0), 0.0, 9.0),
        Applied(Fault(0, "proxy-0", "stop", 0), 1.0, 3.0),
        Applied(Fault(0, "proxy-0>upstream", "hang", 0), 2.0, 2.1),
        Applied(Fault(0, "proxy-1>upstream", "cut", 0), 0.0, 9.0),
        Applied(Fault(0, "proxy-0>upstream", "slow", 0), 4.0, 9.0),
    ]
    assert cause_of(receipt, everywhere) == "proxy>upstream.hang"
    assert cause_of(receipt, everywhere[:2]) == "proxy.stop"
    assert cause_of(receipt, everywhere[:1]) == "valkey.kill"
    assert cause_of(receipt, [*everywhere, killed()]) == "proxy.kill"
    assert cause_of(receipt, []) == "no fault"


def test_the_bound_grows_by_the_time_that_faults_lasted_and_counts_no_moment_twice() -> None:
    receipt = Receipt(SLOW, 1.0, 4.0)
    fault = Fault(0, "valkey", "stop", 0)
    assert may_lose_tokens(receipt, []) == 20
    assert may_lose_tokens(receipt, [Applied(fault, 2.0, 3.0)]) == 30
    assert may_lose_tokens(receipt, [Applied(fault, 2.0, 3.0), Applied(fault, 2.5, 3.5)]) == 35
    assert may_lose_tokens(receipt, [Applied(fault, 0.0, 0.5), Applied(fault, 5.5, 9.0)]) == 20


def test_a_failure_says_what_happened_to_whom_and_how_to_see_it_again() -> None:
    facts = BROKEN["a cut response is billed to within a second"].all_of_it()
    outcome = Outcome(Schedule(123, (killed().fault,)), facts, judge(facts), "what the proxy said last")
    told = failure(outcome, "play --seed 123")
    for words in (
        "play --seed 123",
        "kill      proxy-0",
        "NOT KEPT: a cut response is billed to within a second: billed 38, emitted 60, may lose 21",
        "60 tokens in 100 bytes",
        "end_reason recovered",
        "emitted: state finished, prompt_tokens 7, completion_tokens 60",
        "what the proxy said last",
    ):
        assert words in told, told


def test_the_table_of_a_long_run_adds_up() -> None:
    names = ("recovered at the last checkpoint", "left", "whole")
    every = [WELL[name].all_of_it() for name in names]
    outcomes = [Outcome(Schedule(1, (killed().fault,)), facts, judge(facts), "") for facts in every]
    told = summary(outcomes)
    assert "schedules: 3, of which failed: 0" in told
    assert f"| proxy.kill | 3 | 1 | {LOST_S} |" in told
    assert "| client left | 0 | 1 | 3 |" in told
