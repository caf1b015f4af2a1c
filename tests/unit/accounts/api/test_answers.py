"""Answers: exact money, nothing cached, one shape of error."""

import json
from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from accounts.api.answers import dollars, error_answer, json_answer
from ledger.money import MAX_NANOS, to_decimal

SOME_ID = UUID("0b0b0b0b-0000-4000-8000-000000000002")


@given(st.integers(min_value=-MAX_NANOS, max_value=MAX_NANOS))
def test_money_is_a_number_exact_to_nine_decimals(nanos: int) -> None:
    body = json_answer(200, {"balance": dollars(nanos)}, "r").body
    assert Decimal(json.loads(body, parse_float=Decimal, parse_int=Decimal)["balance"]) == to_decimal(nanos)


def test_an_answer_is_not_for_caches_and_has_an_id() -> None:
    answer = json_answer(200, {"id": SOME_ID}, "request-1")
    assert (answer.status, answer.body) == (200, b'{"id":"%s"}' % str(SOME_ID).encode())
    assert {("cache-control", "no-store"), ("x-request-id", "request-1")} < set(answer.headers)


def test_an_error_says_what_and_why() -> None:
    answer = error_answer(404, "key_not_found", "there is no such key", "r")
    assert (answer.status, answer.body) == (404, b'{"error":"there is no such key","code":"key_not_found"}')
