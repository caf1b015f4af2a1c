from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.entries import EntryError, SettledEntry, UsageEntry
from ledger.money import MAX_NANOS

ENTRY = UsageEntry(
    request_id=UUID("019ab3c4-d5e6-7abc-8def-0123456789ab"),
    user_id=UUID(int=1),
    wallet_id=UUID(int=2),
    api_key_id=UUID(int=3),
    pricing_id=None,
    model="tiny",
    endpoint="/v1/chat/completions",
    input_tokens=1,
    cached_input_tokens=2,
    cache_write_tokens=3,
    output_tokens=4,
    reasoning_tokens=5,
    cost_nanos=6,
    usage_source="reported",
    end_reason="complete",
    status_code=200,
    response_time_ms=7,
    error_message=None,
    metadata={},
)
texts = st.text(st.characters(exclude_categories=["Cs"]))
counts = st.integers(0, 2**53)
entries = st.builds(
    replace,
    st.just(ENTRY),
    pricing_id=st.none() | st.uuids(),
    model=texts,
    error_message=st.none() | texts,
    input_tokens=counts,
    cost_nanos=counts,
    metadata=st.dictionaries(texts, st.none() | st.booleans() | counts | texts, max_size=3),
    audio_input_tokens=counts,
    audio_output_tokens=counts,
    images=counts,
    audio_ms=counts,
)
LATER = ("audio_input_tokens", "audio_output_tokens", "images", "audio_ms")


@given(entries)
def test_json_and_back(entry: UsageEntry) -> None:
    assert UsageEntry.from_json(entry.to_json()) == entry


def test_an_entry_of_the_version_before_is_read() -> None:
    """Written out, as it may still wait on a Stream when the new ledger process starts."""
    before = (
        b'{"request_id":"019ab3c4-d5e6-7abc-8def-0123456789ab","user_id":"00000000-0000-0000-0000-000000000001",'
        b'"wallet_id":"00000000-0000-0000-0000-000000000002","api_key_id":"00000000-0000-0000-0000-000000000003",'
        b'"pricing_id":null,"model":"tiny","endpoint":"/v1/chat/completions","input_tokens":1,"cached_input_tokens":2,'
        b'"cache_write_tokens":3,"output_tokens":4,"reasoning_tokens":5,"cost_nanos":6,"usage_source":"reported",'
        b'"end_reason":"complete","status_code":200,"response_time_ms":7,"error_message":null,"metadata":{}}'
    )
    assert UsageEntry.from_json(before) == ENTRY
    assert ENTRY.to_json() == before  # and so the version before reads ours


@pytest.mark.parametrize("name", LATER)
def test_a_later_field_is_written_where_it_says_something(name: str) -> None:
    changes: dict[str, Any] = {name: 9}
    entry = replace(ENTRY, **changes)
    written = orjson.loads(entry.to_json())
    assert {field: written[field] for field in LATER if field in written} == {name: 9}
    assert UsageEntry.from_json(entry.to_json()) == entry


def test_audio_counts_as_input_and_as_output() -> None:
    entry = replace(ENTRY, audio_input_tokens=10, audio_output_tokens=20, images=7, audio_ms=8)
    assert (entry.all_input_tokens, entry.all_output_tokens) == (1 + 2 + 3 + 10, 4 + 5 + 20)
    assert entry.all_tokens == 1 + 2 + 3 + 10 + 4 + 5 + 20


@given(st.binary() | st.recursive(st.none() | st.integers(), lambda x: st.lists(x)).map(lambda x: orjson.dumps(str(x))))
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(EntryError):
        UsageEntry.from_json(raw)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("request_id", "not a uuid"),
        ("wallet_id", 5),
        ("user_id", None),
        ("pricing_id", []),
        ("cost_nanos", 1.0),
        ("audio_input_tokens", 1.0),
        ("audio_output_tokens", None),
        ("images", True),
        ("audio_ms", "1"),
        ("input_tokens", True),
        ("output_tokens", "4"),
        ("model", None),
        ("usage_source", 1),
        ("error_message", 3),
        ("metadata", []),
        ("surplus", 1),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused(name: str, value: Any) -> None:
    with pytest.raises(EntryError):
        UsageEntry.from_json(orjson.dumps({**orjson.loads(ENTRY.to_json()), name: value}))


@pytest.mark.parametrize("missing", ["request_id", "wallet_id", "pricing_id", "cost_nanos", "usage_source"])
def test_a_missing_field_is_refused(missing: str) -> None:
    fields = orjson.loads(ENTRY.to_json())
    del fields[missing]
    with pytest.raises(EntryError):
        UsageEntry.from_json(orjson.dumps(fields))


@given(st.integers(0, MAX_NANOS))
def test_an_event_carries_the_entry_and_its_charge(charge: int) -> None:
    fields = {b"entry": ENTRY.to_json(), b"charge": str(charge).encode()}
    assert SettledEntry.from_event("5-0", fields) == SettledEntry("5-0", ENTRY, charge)


@pytest.mark.parametrize("charge", [b"", b"-1", b"1.5", b"1e15", b" 1", b"+1", b"9000000000000001", "¹".encode()])
def test_an_event_without_a_proper_charge_is_refused(charge: bytes) -> None:
    with pytest.raises(EntryError):
        SettledEntry.from_event("5-0", {b"entry": ENTRY.to_json(), b"charge": charge})


def test_an_event_whose_content_is_gone_is_refused() -> None:
    with pytest.raises(EntryError):
        SettledEntry.from_event("5-0", {})
    with pytest.raises(EntryError):
        SettledEntry.from_event("5-0", {b"charge": b"1"})
