"""What a query may ask, and what rows look like."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest

from accounts.api.history_shapes import (
    BreakdownAnswer,
    LineAnswer,
    PageQuery,
    UsageAnswer,
    shown_line,
    shown_sums,
    shown_totals,
    shown_usage,
)
from accounts.api.requests import parse_query
from accounts.errors import InvalidRequest
from accounts.filters import Filter
from accounts.statistics import Sums, UsageStatistics
from accounts.transactions import TransactionRow
from accounts.usage import UsageRow

NOW = datetime(2026, 11, 22, tzinfo=UTC)
KEY = UUID("0b0b0b0b-0000-4000-8000-000000000002")


def as_told(shown: Any) -> bytes:
    return orjson.dumps(shown, default=str)


def test_a_query_is_a_filter_and_a_place() -> None:
    asked = parse_query(
        PageQuery, [("startDate", "2026-11-21"), ("endDate", "2026-11-21"), ("keyId", str(KEY)), ("limit", "7")]
    )
    assert asked.filter() == Filter(datetime(2026, 11, 21, tzinfo=UTC), NOW, None, KEY)
    assert (asked.limit, asked.cursor) == (7, None)
    assert parse_query(PageQuery, [*{}.items()]).filter() == Filter()


@pytest.mark.parametrize("model", ["4711", "007", "0", "000", "gpt", "9" * 30])
def test_a_model_may_be_called_like_a_number(model: str) -> None:
    assert parse_query(PageQuery, [*{"model": model}.items()]).filter().model == model


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"}, {"limit": "1001"}, {"limit": "07"}, {"limit": "x"}, {"cursor": "x" * 129}, {"cursor": "7"},
        {"keyId": "x"}, {"keyId": KEY.hex}, {"model": ""}, {"model": "m" * 201}, {"model": "a\x00b"}, {"colour": "red"},
        {"startDate": "x"}, {"startDate": "2026-11-22", "endDate": "2026-11-20"},
    ],
)  # fmt: skip
def test_anything_else_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        parse_query(PageQuery, [*query.items()]).filter()


def test_rows_are_what_their_answers_say_and_amounts_are_exact() -> None:
    line = TransactionRow(KEY, 1, NOW, "usage", -1, "usage: tiny", 9_000_000_000_000_001, 9_000_000_000_000_000, KEY)
    told = as_told(shown_line(line))
    LineAnswer.model_validate_json(told)
    assert b'"amount":-0.000000001,' in told and b'"balance_before":9000000.000000001,' in told
    row = UsageRow(
        id=KEY, created_at=NOW, api_key_id=KEY, model="tiny", endpoint="/v1/chat/completions", input_tokens=1,
        cached_input_tokens=2, cache_write_tokens=3, output_tokens=4, reasoning_tokens=5, audio_input_tokens=6,
        audio_output_tokens=7, total_tokens=28, images=8, audio_ms=9, cost_nanos=1, uncollected_nanos=0,
        usage_source="reported", end_reason="completed", status_code=200, response_time_ms=10, error_message=None,
    )  # fmt: skip
    told = as_told(shown_usage(row))
    answer = UsageAnswer.model_validate_json(told)
    assert (answer.reasoning_tokens, answer.audio_ms, answer.id) == (5, 9, KEY) and b'"cost":0.000000001,' in told


def test_statistics_are_what_their_answer_says() -> None:
    used = UsageStatistics(3, 50, 700, (Sums("a", 1, 20, 300), Sums("b", 2, 30, 400)))
    groups = {"byKey": shown_sums([Sums(str(KEY), 3, 50, 700)]), "byDay": shown_sums([Sums("2026-11-22", 3, 50, 700)])}
    answer = BreakdownAnswer.model_validate_json(as_told(shown_totals(used) | groups))
    assert list(answer.byModel) == ["a", "b"] and answer.byDay[date(2026, 11, 22)].requests == 3
    assert answer.byKey[KEY].tokens == answer.totalTokens == 50
