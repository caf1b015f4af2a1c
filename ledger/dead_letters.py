"""What is kept of an event that could not be posted, and what that is again when it is tried once more."""

import ast

import orjson

from ledger.entries import EntryError, SettledEntry

# Far more than settlement writes: what is longer is not taken apart to see what it is.
MAX_PAYLOAD_CHARS = 1_000_000


def payload_of(settled: SettledEntry) -> str:
    """An event that could be read: its two fields, as one JSON text."""
    return f'{{"charge":{settled.charge_nanos},"entry":{settled.entry.to_json().decode()}}}'


def settled_of(event_id: str, payload: str) -> SettledEntry:
    """The event of a payload. Raises EntryError for what still cannot be read.

    One that could not be read when it came was kept as Python writes its fields. It may be readable by now: written by
    a version newer than the one that read it.
    """
    if len(payload) > MAX_PAYLOAD_CHARS:
        raise EntryError(f"longer than {MAX_PAYLOAD_CHARS} characters")
    return SettledEntry.from_event(event_id, _fields(payload))


def _fields(payload: str) -> dict[bytes, bytes]:
    try:
        found = orjson.loads(payload)
        return {b"charge": str(found["charge"]).encode(), b"entry": orjson.dumps(found["entry"])}
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        pass
    try:
        fields = ast.literal_eval(payload)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise EntryError("neither JSON nor the fields of an event") from None
    if type(fields) is not dict or not all(type(part) is bytes for pair in fields.items() for part in pair):
        raise EntryError("not the fields of an event")
    return fields
