"""An ended call as the usage entry it is recorded as."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from ledger.entries import UsageEntry
from ledger.money import MAX_NANOS
from metering.tap import AnswerTap, StreamTap, Tap
from proxy.settlement import COMPLETED, Ending, charged_entry, free_entry
from tests.support.calls import IDENTITY, REQUEST_ID, admitted, price

USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 40,
    "total_tokens": 140,
    "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 15},
}
COMPLETE = Ending(COMPLETED, 200)
CUT = Ending("client_left", 499)


def answered(usage: dict[str, Any] | None) -> Tap:
    tap = AnswerTap()
    tap.feed(orjson.dumps({"choices": [{"message": {"content": "12345678"}}]} | ({"usage": usage} if usage else {})))
    tap.finish()
    return tap


def streamed(chunks: int) -> Tap:
    tap = StreamTap(remove_usage=False)
    tap.feed(b'data: {"choices": []}\n\n' * chunks)
    tap.finish()
    return tap


async def test_what_the_server_counted_at_the_price_of_admission() -> None:
    entry = charged_entry(admitted(), COMPLETE, answered(USAGE), 12)
    tokens = (entry.input_tokens, entry.cached_input_tokens, entry.cache_write_tokens)
    assert (*tokens, entry.output_tokens, entry.reasoning_tokens) == (60, 30, 10, 25, 15)
    assert entry.cost_nanos == 11 + (60 * 1 + 30 * 2 + 10 * 3 + 25 * 5 + 15 * 7) * 1_000
    assert (entry.usage_source, entry.end_reason, entry.status_code) == ("reported", "completed", 200)
    assert entry.pricing_id == price().pricing_id


async def test_who_it_was_and_what_was_asked() -> None:
    entry = charged_entry(admitted(), COMPLETE, answered(USAGE), 12)
    assert (entry.request_id, entry.api_key_id) == (REQUEST_ID, IDENTITY.key_id)
    assert (entry.user_id, entry.wallet_id) == (IDENTITY.user_id, IDENTITY.wallet_id)
    assert (entry.model, entry.endpoint, entry.response_time_ms) == ("tiny", "/v1/chat/completions", 12)
    assert entry.metadata == {"stream": False, "upstream": "default"}
    assert entry.error_message is None


async def test_a_reading_of_a_broken_answer_is_partial() -> None:
    assert charged_entry(admitted(), CUT, answered(USAGE), 1).usage_source == "partial"


async def test_what_nobody_counted_is_estimated_and_charged() -> None:
    entry = charged_entry(admitted(stream=True), CUT, streamed(chunks=11), 1)
    assert (entry.usage_source, entry.output_tokens) == ("estimated", 10)
    assert entry.cost_nanos > 10 * 5_000 and entry.input_tokens > 0
    assert entry.metadata["stream"] is True


async def test_where_nothing_was_seen_nothing_is_charged_not_even_the_fee() -> None:
    entry = charged_entry(admitted(), CUT, StreamTap(remove_usage=False), 1)
    assert (entry.cost_nanos, entry.usage_source) == (0, "none")


async def test_no_charge_is_larger_than_a_wallet() -> None:
    dear = replace(admitted(), price=price(output_nanos_per_1k=MAX_NANOS))
    usage = {"prompt_tokens": 0, "completion_tokens": 1_000_000}
    assert charged_entry(dear, COMPLETE, answered(usage), 1).cost_nanos == MAX_NANOS


async def test_what_was_not_delivered_is_recorded_and_free() -> None:
    entry = free_entry(admitted(), Ending("upstream_error", 502, "The upstream failed."), 7)
    assert (entry.cost_nanos, entry.usage_source, entry.input_tokens, entry.output_tokens) == (0, "none", 0, 0)
    assert (entry.end_reason, entry.status_code, entry.error_message) == ("upstream_error", 502, "The upstream failed.")


@pytest.mark.parametrize("own_id", [None, "job-17"])
async def test_the_clients_own_id_is_metadata_and_never_ours(own_id: str | None) -> None:
    entry = free_entry(admitted(own_id), CUT, 1)
    assert entry.metadata.get("client_request_id") == own_id
    assert entry.request_id == REQUEST_ID


async def test_an_entry_survives_the_stream_to_the_ledger() -> None:
    entry = charged_entry(admitted("ünï"), COMPLETE, answered(USAGE), 12)
    assert UsageEntry.from_json(entry.to_json()) == entry
