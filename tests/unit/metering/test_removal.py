"""A field is cut out of an event by its bytes, and nothing else is touched."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.framing import NDJSON, SSE
from metering.removal import OWN_RUNNING, without

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 99), st.sampled_from(['"usage":{', "}", '\\"', "usage", "é"])),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["usage", "a"]), inner)),
    max_leaves=5,
)
usages = st.one_of(st.none(), st.dictionaries(st.sampled_from(["a", "b", "usage"]), values, max_size=3))


@given(st.lists(st.tuples(st.sampled_from(["x", "y", "z"]), values), max_size=3), usages, st.data())
def test_only_the_events_own_field_goes(others: list[tuple[str, Any]], usage: Any, data: st.DataObject) -> None:
    items = list(dict(others).items())
    at = data.draw(st.integers(0, len(items)))
    separators = data.draw(st.sampled_from([(",", ":"), (", ", ": "), (" , ", " :\t")]))
    with_it = dict([*items[:at], ("usage", usage), *items[at:]])
    event = b"data: " + json.dumps(with_it, separators=separators).encode() + b"\n\n"
    left = without(event, "usage", SSE.data_of)
    assert orjson.loads(SSE.data_of(left)) == dict(items)
    assert len(left) < len(event)


def test_a_line_of_json() -> None:
    assert without(b'{"a":1,"timings":{"x":1}}\n', "timings", NDJSON.data_of) == b'{"a":1}\n'


def test_where_its_place_is_hidden_the_event_is_left_alone() -> None:
    event = b'data: {"us\\u0061ge":null,"a":{"usage":null}}\n\n'
    assert without(event, "usage", SSE.data_of) == event


@pytest.mark.parametrize(
    ("end", "removed"),
    [
        (b',"usage":{"prompt_tokens":1}}\n\n', 1),
        (b',"usage":{"a":1,"d":{"b":2},"e":null}}\n\n', 1),
        (b',"usage":{"a":1},"obfuscation":"xY"}\n\n', 1),
        (b',"usage":{"a":1},"id":1}\n\n', 0),
        (b',"x":{"usage":{"a":1}}}\n\n', 0),
    ],
)
def test_the_quick_way_takes_only_what_closes_the_chunk(end: bytes, removed: int) -> None:
    assert OWN_RUNNING.subn(b"", b'data: {"choices":[]' + end)[1] == removed
