"""Codes and statuses are those of the HTTP contract; bodies have the OpenAI shape."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.failures import TABLE, Failure, invalid_api_key, invalid_request, retry_after

# The contract's own table of refusals, and what any HTTP server must be able to say beside it.
CONTRACT = {
    "missing_api_key": 401,
    "invalid_auth_format": 401,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "model_not_priced": 404,
    "invalid_request_error": 400,
    "request_too_large": 413,
    "insufficient_balance": 402,
    "rate_limit_exceeded": 429,
    "limits_unavailable": 503,
    "upstream_error": 502,
    "upstream_timeout": 504,
}
CODES = sorted(TABLE)


@pytest.mark.parametrize(("code", "status"), CONTRACT.items())
def test_the_contracts_codes_have_the_contracts_statuses(code: str, status: int) -> None:
    assert Failure(code, "words").status == status


@pytest.mark.parametrize("code", CODES)
def test_every_body_has_the_openai_shape(code: str) -> None:
    failure = Failure(code, "words", "model")
    status, kind = TABLE[code]
    assert orjson.loads(failure.body()) == {"error": {"message": "words", "type": kind, "param": "model", "code": code}}
    assert 400 <= status <= 599


@pytest.mark.parametrize("code", CODES)
def test_the_type_says_whose_fault_it_is(code: str) -> None:
    status, kind = TABLE[code]
    assert (kind == "server_error") == (status >= 500)


def test_param_is_null_where_no_parameter_is_at_fault() -> None:
    assert orjson.loads(Failure("not_found", "words").body())["error"]["param"] is None


def test_details_are_there_only_where_there_are_any() -> None:
    plain, detailed = Failure("not_found", "words"), Failure("not_found", "words", details={"balance": 0})
    assert "details" not in orjson.loads(plain.body())["error"]
    assert orjson.loads(detailed.body())["error"]["details"] == {"balance": 0}


def test_a_code_that_is_not_in_the_table_is_a_fault() -> None:
    with pytest.raises(AssertionError):
        Failure("no_such_code", "words")


@given(st.integers(-10_000, 10**9))
def test_retry_after_never_sends_a_client_back_too_early(wait_ms: int) -> None:
    headers = retry_after(wait_ms)
    seconds, milliseconds = int(headers["retry-after"]), int(headers["retry-after-ms"])
    assert milliseconds >= max(1, wait_ms)
    assert seconds >= 1 and 0 <= seconds * 1000 - max(1, wait_ms) < 1000


def test_an_invalid_request_names_its_parameter() -> None:
    failure = invalid_request("words", "n")
    assert (failure.code, failure.status, failure.param) == ("invalid_request_error", 400, "n")


def test_an_invalid_key_is_always_the_same_answer() -> None:
    one, other = invalid_api_key(), invalid_api_key()
    assert (one.status, one.body(), one.headers) == (other.status, other.body(), other.headers)
    assert one.headers == {"www-authenticate": "Bearer"}, "RFC 9110, section 15.5.2"


def test_in_a_log_it_says_its_code_and_its_words() -> None:
    assert str(Failure("not_found", "words")) == "not_found: words"
