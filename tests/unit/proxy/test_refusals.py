"""What other parts report, worded for the client: nothing of the upstream's, amounts exact."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.money import MAX_NANOS, to_decimal
from metering.admission import Decision, LimitsUnavailable
from metering.bucket import DAY_MS, MINUTE_MS, Bucket
from metering.policy import Refused
from metering.verdict import Outcome
from proxy import refusals
from proxy.failures import invalid_api_key
from proxy.upstream.errors import (
    Phase,
    UpstreamBusy,
    UpstreamClosed,
    UpstreamConnectError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
)

SECRET = "10.1.2.3:8000"


def decision(outcome: Outcome, *, minute_level: int = 0, day_level: int = 0, available_nanos: int = 0) -> Decision:
    minute, day = Bucket(60, MINUTE_MS, minute_level), Bucket(1000, DAY_MS, day_level)
    tokens = Bucket(600, MINUTE_MS, 0)
    return Decision(outcome, minute, day, available_nanos, tokens, 3, Refused.MODEL)


@given(st.integers(0, MAX_NANOS), st.integers(0, MAX_NANOS))
def test_amounts_in_the_details_are_exact_json_numbers(available: int, hold: int) -> None:
    failure = refusals.of_decision(decision(Outcome.NO_FUNDS, available_nanos=available), hold)
    error = json.loads(failure.body(), parse_float=Decimal, parse_int=Decimal)["error"]
    assert error["details"] == {"balance": to_decimal(available), "required": to_decimal(hold)}


def test_no_funds() -> None:
    failure = refusals.of_decision(decision(Outcome.NO_FUNDS, available_nanos=1), 2_500_000_000)
    assert (failure.status, failure.code) == (402, "insufficient_balance")
    assert "$2.5" in failure.message and "$0.000000001" in failure.message
    assert failure.headers == {"x-should-retry": "false"}


def test_an_overdrawn_wallet_has_nothing_available() -> None:
    failure = refusals.of_decision(decision(Outcome.NO_FUNDS, available_nanos=-5), 7)
    assert b'"balance":0,' in failure.body()


def test_a_hold_that_was_cut_at_the_largest_amount_is_not_quoted_as_the_price() -> None:
    failure = refusals.of_decision(decision(Outcome.NO_FUNDS), MAX_NANOS)
    assert "more than a wallet can hold" in failure.message


@pytest.mark.parametrize(
    ("outcome", "words", "wait_ms"),
    [(Outcome.OVER_MINUTE, "60 requests per minute", 1_000), (Outcome.OVER_DAY, "1000 requests per day", 86_400)],
)
def test_over_a_limit_says_which_and_when_to_come_back(outcome: Outcome, words: str, wait_ms: int) -> None:
    failure = refusals.of_decision(decision(outcome), 0)
    assert (failure.status, failure.code) == (429, "rate_limit_exceeded")
    assert words in failure.message
    assert failure.headers["retry-after-ms"] == str(wait_ms)


@pytest.mark.parametrize(("tokens", "wait_ms"), [(60, 6_000), (600, 60_000), (10_000, 60_000)])
def test_too_many_tokens_wait_until_the_bucket_has_them_or_is_full(tokens: int, wait_ms: int) -> None:
    failure = refusals.of_decision(decision(Outcome.OVER_TOKENS), 0, tokens)
    assert (failure.status, failure.code) == (429, "rate_limit_exceeded")
    assert "600 tokens per minute" in failure.message
    assert failure.headers["retry-after-ms"] == str(wait_ms)


def test_too_many_at_once_say_how_many_may_be() -> None:
    failure = refusals.of_decision(decision(Outcome.TOO_MANY_OPEN), 0)
    assert (failure.status, failure.code) == (429, "rate_limit_exceeded")
    assert "3 requests at the same time" in failure.message
    assert failure.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("outcome", "which"),
    [
        (Outcome.OVER_BUDGET_DAY, "daily"),
        (Outcome.OVER_BUDGET_MONTH, "monthly"),
        (Outcome.OVER_BUDGET_TOTAL, "total"),
    ],
)
def test_an_empty_budget_says_which_and_that_waiting_for_seconds_will_not_do(outcome: Outcome, which: str) -> None:
    failure = refusals.of_decision(decision(outcome, available_nanos=-7), 2_500_000_000)
    assert (failure.status, failure.code) == (429, "budget_exceeded")
    assert f"{which} budget" in failure.message and "$2.5" in failure.message
    assert failure.headers == {"x-should-retry": "false"}
    assert json.loads(failure.body())["error"]["details"] == {"budget": which, "left": 0, "required": 2.5}


@pytest.mark.parametrize(
    ("refused", "code"),
    [
        (Refused.IP, "ip_not_allowed"),
        (Refused.ROUTE, "route_not_allowed"),
        (Refused.MODEL, "model_not_allowed"),
    ],
)
def test_what_the_keys_lists_do_not_have(refused: Refused, code: str) -> None:
    failure = refusals.of_decision(replace(decision(Outcome.POLICY_REFUSED), refused=refused), 0)
    assert (failure.status, failure.code) == (403, code)


@pytest.mark.parametrize(
    ("outcome", "code"), [(Outcome.KEY_FROZEN, "key_frozen"), (Outcome.WALLET_FROZEN, "wallet_frozen")]
)
def test_what_an_operator_froze(outcome: Outcome, code: str) -> None:
    failure = refusals.of_decision(decision(outcome), 0)
    assert (failure.status, failure.code) == (403, code)


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN_KEY, Outcome.KEY_REFUSED, Outcome.UNKNOWN_WALLET])
def test_every_bad_key_gets_the_same_answer(outcome: Outcome) -> None:
    failure, expected = refusals.of_decision(decision(outcome), 0), invalid_api_key()
    assert (failure.status, failure.body(), failure.headers) == (expected.status, expected.body(), expected.headers)


def test_every_refusal_of_admission_is_worded() -> None:
    assert refusals.of_decision(decision(Outcome.BACKLOGGED), 0).status == 503
    for outcome in set(Outcome) - {Outcome.ADMITTED, Outcome.BACKLOGGED}:
        assert 400 <= refusals.of_decision(decision(outcome), 0).status < 500


def test_limits_away() -> None:
    failure = refusals.of_limits(LimitsUnavailable(SECRET, 1_500))
    assert (failure.status, failure.code) == (503, "limits_unavailable")
    assert failure.headers == {"retry-after": "2", "retry-after-ms": "1500"}
    assert SECRET not in failure.message


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (UpstreamConnectError(SECRET), 502, "upstream_error"),
        (UpstreamProtocolError(SECRET), 502, "upstream_error"),
        (UpstreamClosed(SECRET, headers_received=True), 502, "upstream_error"),
        (UpstreamTimeout(Phase.CONNECT, 5), 504, "upstream_timeout"),
        (UpstreamTimeout(Phase.IDLE, 5), 504, "upstream_timeout"),
        (UpstreamBusy(SECRET), 503, "overloaded"),
    ],
)
def test_upstream_errors(error: UpstreamError, status: int, code: str) -> None:
    failure = refusals.of_upstream(error)
    assert (failure.status, failure.code) == (status, code)
    assert SECRET not in failure.message, "the upstream's address is not the client's business"
    assert ("retry-after" in failure.headers) == (status == 503)


@given(st.integers(100, 599))
def test_only_what_concerns_the_client_is_passed_on(status: int) -> None:
    assert refusals.passes_on(status) == (400 <= status <= 499 and status not in (401, 407))


@pytest.mark.parametrize("status", [401, 407])
def test_a_refused_credential_is_ours_and_not_the_clients(status: int) -> None:
    failure = refusals.of_status(status)
    assert failure.status == 502 and "credential" in failure.message


@pytest.mark.parametrize("status", [301, 500, 503])
def test_any_other_answer_is_named_by_its_status(status: int) -> None:
    failure = refusals.of_status(status)
    assert (failure.status, failure.code) == (502, "upstream_error") and str(status) in failure.message


def test_nobody_to_ask_says_when_to_come_back() -> None:
    found = refusals.nobody_to_ask(4_200)
    assert (found.status, found.code, found.headers) == (
        502,
        "upstream_error",
        {"retry-after": "5", "retry-after-ms": "4200"},
    )
    assert refusals.nobody_to_ask(0).headers["retry-after"] == "1"
