"""An ended call as the usage entry it is recorded as."""

import pytest
from msgspec.structs import replace

from ledger.entries import COMPLETED, DRAINED, RECOVERED, UsageEntry
from ledger.money import MAX_NANOS
from metering.answer_tap import AnswerTap
from metering.progress import Progress
from metering.reading import Reading
from metering.tap import StreamTap, Tap
from metering.usage import Usage
from proxy.settlement import Ending, charged_entry, checkpoint_entry, ended_how, free_entry
from tests.support.calls import IDENTITY, REQUEST_ID, admitted, price

COMPLETE = Ending(COMPLETED, 200)
CUT = Ending("client_left", 499)


USED = Usage(60, 30, 10, 25, 15)


async def test_what_was_used_at_the_price_of_admission() -> None:
    entry = charged_entry(admitted(), COMPLETE, USED, "reported", 12)
    tokens = (entry.input_tokens, entry.cached_input_tokens, entry.cache_write_tokens)
    assert (*tokens, entry.output_tokens, entry.reasoning_tokens) == (60, 30, 10, 25, 15)
    assert entry.cost_nanos == 11 + (60 * 1 + 30 * 2 + 10 * 3 + 25 * 5 + 15 * 7) * 1_000
    assert (entry.usage_source, entry.end_reason, entry.status_code) == ("reported", "completed", 200)
    assert entry.pricing_id == price().pricing_id


async def test_who_it_was_and_what_was_asked() -> None:
    entry = charged_entry(admitted(), COMPLETE, USED, "reported", 12)
    assert (entry.request_id, entry.api_key_id) == (REQUEST_ID, IDENTITY.key_id)
    assert (entry.user_id, entry.wallet_id) == (IDENTITY.user_id, IDENTITY.wallet_id)
    assert (entry.model, entry.endpoint, entry.response_time_ms) == ("tiny", "/v1/chat/completions", 12)
    assert entry.metadata == {"stream": False, "upstream": "default"}
    assert entry.error_message is None


async def test_where_nothing_was_seen_nothing_is_charged_not_even_the_fee() -> None:
    entry = charged_entry(admitted(), CUT, Usage(), "none", 1)
    assert (entry.cost_nanos, entry.usage_source) == (0, "none")


async def test_no_charge_is_larger_than_a_wallet() -> None:
    dear = replace(admitted(), price=price(output_nanos_per_1k=MAX_NANOS))
    usage = Usage(output_tokens=1_000_000)
    assert charged_entry(dear, COMPLETE, usage, "reported", 1).cost_nanos == MAX_NANOS


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
    entry = charged_entry(admitted("ünï"), COMPLETE, USED, "reported", 12)
    assert UsageEntry.from_json(entry.to_json()) == entry


@pytest.mark.parametrize(("reason", "is_complete"), [(COMPLETED, True), (DRAINED, True), ("client_left", False)])
def test_what_came_whole(reason: str, is_complete: bool) -> None:
    assert Ending(reason, 200).is_complete is is_complete


def stream(*events: bytes) -> StreamTap:
    tap = StreamTap()
    for event in events:
        tap.feed(event)
    return tap


@pytest.mark.parametrize(
    ("tap", "reason"),
    [
        (AnswerTap(), "completed"),
        (AnswerTap(has_error=True), "upstream_error"),
        (stream(b"data: [DONE]\n\n"), "completed"),
        (stream(), "ended_without_done"),
        (stream(b'data: {"error":{"message":"no"}}\n\n', b"data: [DONE]\n\n"), "upstream_error"),
    ],
)
def test_why_an_answer_came_to_its_end(tap: Tap, reason: str) -> None:
    assert ended_how(tap) == reason


async def checkpoint(progress: Progress) -> UsageEntry:
    entry = checkpoint_entry(admitted(), progress, 60, 200, 12)
    assert (entry.end_reason, entry.status_code, entry.response_time_ms) == (RECOVERED, 200, 12)
    assert UsageEntry.from_json(entry.to_json()) == entry
    return entry


async def test_a_checkpoint_by_the_servers_own_count() -> None:
    entry = await checkpoint(Progress(Reading(prompt=50, completion=25, cached=30), is_counted=True))
    assert (entry.input_tokens, entry.cached_input_tokens, entry.output_tokens) == (20, 30, 25)
    assert entry.usage_source == "partial"
    assert entry.cost_nanos == 11 + (20 * 1 + 30 * 2 + 25 * 5) * 1_000


async def test_a_checkpoint_by_what_was_delivered() -> None:
    entry = await checkpoint(Progress(pieces=5, text_bytes=40, unread_bytes=8))
    assert (entry.input_tokens, entry.output_tokens, entry.usage_source) == (60, 12, "estimated")


async def test_a_checkpoint_takes_of_the_server_what_it_said() -> None:
    entry = await checkpoint(Progress(Reading(prompt=50, completion=1), pieces=5))
    assert (entry.input_tokens, entry.output_tokens, entry.usage_source) == (50, 5, "estimated")
    entry = await checkpoint(Progress(Reading(completion=7), is_counted=True))
    assert (entry.input_tokens, entry.output_tokens, entry.usage_source) == (60, 7, "estimated"), "the prompt is ours"


async def test_a_checkpoint_of_what_generates_no_tokens_has_none() -> None:
    nothing = admitted()
    asked = replace(nothing.asked, ask=replace(nothing.asked.ask, generates=False))
    entry = checkpoint_entry(replace(nothing, asked=asked), Progress(unread_bytes=4_000), 60, 200, 12)
    assert (entry.input_tokens, entry.output_tokens) == (60, 0)


async def test_a_checkpoint_costs_no_more_than_a_wallet_can_hold() -> None:
    dear = replace(admitted(), price=price(output_nanos_per_1k=MAX_NANOS))
    assert checkpoint_entry(dear, Progress(pieces=10**6), 60, 200, 1).cost_nanos == MAX_NANOS
