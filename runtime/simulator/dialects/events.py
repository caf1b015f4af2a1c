"""Single events and lines, as bytes."""

from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"


def data(value: Any) -> bytes:
    """A server-sent event without a name."""
    return b"data: %b\n\n" % orjson.dumps(value)


def named(value: dict[str, Any]) -> bytes:
    """A server-sent event named by its `type`."""
    return b"event: %b\ndata: %b\n\n" % (str(value["type"]).encode(), orjson.dumps(value))


def comment(text: str) -> bytes:
    return b": %b\n\n" % text.encode()


def line(value: Any) -> bytes:
    """A line of NDJSON."""
    return orjson.dumps(value) + b"\n"
