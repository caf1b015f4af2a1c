"""An event that was kept is the same event when it is tried again."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.dead_letters import MAX_PAYLOAD_CHARS, payload_of, settled_of
from ledger.entries import EntryError, WalletState
from ledger.posting import storable
from tests.support.ledger import settled

WALLET = WalletState(UUID(int=1), UUID(int=2), 0, 0, 1)


@given(st.text(max_size=20), st.integers(0, 10**15), st.dictionaries(st.text(max_size=5), st.text(max_size=5)))
def test_what_was_kept_of_a_readable_event(model: str, charge: int, metadata: dict[str, str]) -> None:
    def encodable(text: str) -> str:  # as settlement writes it
        return text.encode(errors="replace").decode()

    clean = {encodable(name): encodable(value) for name, value in metadata.items()}
    event = settled(WALLET, charge, model=encodable(model), metadata=clean)
    assert settled_of("1-1", storable(payload_of(event))) == event


def test_what_was_kept_of_fields_that_were_not_readable_then() -> None:
    event = settled(WALLET, 7, model="\u00e9'\"")
    fields = {b"entry": event.entry.to_json(), b"charge": b"7"}
    assert settled_of("1-1", storable(repr(fields))) == event


@pytest.mark.parametrize(
    "payload",
    [
        "", "nothing", "null", "7", "[]", "{}", '{"charge":1}', '{"charge":-1,"entry":{}}', '{"charge":1,"entry":{}}',
        "{b'other': b'thing'}", "{'charge': 1}", "[b'charge']", "{b'charge'", "()" , "-" * 100_000, "(" * 5000,
        "\ud800", " " * (MAX_PAYLOAD_CHARS + 1),
    ],
)  # fmt: skip
def test_what_still_cannot_be_read(payload: str) -> None:
    with pytest.raises(EntryError):
        settled_of("1-1", payload)
