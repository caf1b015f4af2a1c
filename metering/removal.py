"""Takes what we asked for out of one event again, by its bytes: every other byte stays as it was.

Compact JSON as servers write it is edited by a pattern; whatever else by trying each place that could be it, and
keeping what parses to the same event without that field. Where none does, the event is left alone.
"""

import re
from collections.abc import Callable
from functools import cache
from itertools import islice
from typing import Any

import orjson

# A quote inside a JSON string is escaped, so `,"usage":` stands outside of one; the brace before the end of the event
# closes the chunk itself, so this is the chunk's own. OpenAI's is the last but one field, before a string of random
# length (`obfuscation`).
_AT_THE_END = rb'(?=(?:,"\w+":"[^"\\]*")?\}\n\n)'
OWN_NULL = re.compile(rb',"usage":null' + _AT_THE_END)
OWN_RUNNING = re.compile(rb',"usage":\{(?:"[^"\\]*"|[^{}"]++|\{[^{}]*\})*+\}' + _AT_THE_END)
OWN_TIMINGS = re.compile(rb',"timings":\{[^{}]*\}' + _AT_THE_END)

# JSON's white space, also where one value goes over several `data` lines of an event
_SPACE = rb"(?:[ \t]|(?:\r\n|\n|\r)data:)*+"
# Each place that may be the chunk's own field costs a parse; real chunks have one.
_MAX_PLACES = 8


def without(event: bytes, name: str, data_of: Callable[[bytes], bytes]) -> bytes:
    """The event without its chunk's own field `name`. Call it only where the chunk has one."""
    wanted = orjson.loads(data_of(event))
    del wanted[name]
    for place in islice(_key(name).finditer(event), _MAX_PLACES):
        for start, end in _spans(event, place.start(), place.end()):
            left = event[:start] + event[end:]
            if _parses_to(wanted, data_of(left)):
                return left
    return event


@cache
def _key(name: str) -> re.Pattern[bytes]:
    return re.compile(rb'"%b"%b:%b' % (name.encode(), _SPACE, _SPACE))


_BEFORE = re.compile(rb",%b$" % _SPACE.replace(b"*+", b"*"))
_AFTER = re.compile(rb"%b(?:,%b)?" % (_SPACE, _SPACE))


def _spans(event: bytes, key_start: int, value_start: int) -> list[tuple[int, int]]:
    """What may be cut: the field with the comma before it, or with the one after it where it comes first."""
    end = value_start + _value_length(event[value_start:])
    before = _BEFORE.search(event, max(0, key_start - 64), key_start)
    after = _AFTER.match(event, end)
    assert after is not None, "it matches nothing too"
    spans = [(before.start(), end)] if before else []
    return [*spans, (key_start, after.end())]


def _value_length(text: bytes) -> int:
    """How long the JSON value is with which this begins: an object, or a literal without a comma or brace."""
    if not text.startswith(b"{"):
        return len(re.match(rb"[^,}\s]*", text)[0])  # type: ignore[index]  # it matches nothing too
    depth, is_string, is_escaped = 0, False, False
    for at, byte in enumerate(text):
        if is_string:
            is_string = is_escaped or byte != 0x22
            is_escaped = byte == 0x5C and not is_escaped
        elif byte == 0x22:
            is_string = True
        elif byte in b"{}":
            depth += 1 if byte == 0x7B else -1
            if depth == 0:
                return at + 1
    return len(text)


def _parses_to(wanted: Any, data: bytes) -> bool:
    try:
        return bool(orjson.loads(data) == wanted)
    except orjson.JSONDecodeError:
        return False
