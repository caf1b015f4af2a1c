"""Whether the rest of an answer is read when its client is gone."""

from typing import Any

import pytest

from metering.tap import StreamTap
from proxy.leaving import GRACE_S, Drains
from tests.support.calls import route

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
ERROR = b'data: {"error":{"message":"no"}}\n\n'


def tap(*events: bytes) -> StreamTap:
    made = StreamTap()
    for event in events:
        made.feed(event)
    return made


@pytest.mark.parametrize(
    ("events", "wait_s"),
    [
        ((), None),
        ((CHUNK,), None),
        ((CHUNK, FINISH), GRACE_S),
        ((CHUNK, FINISH, USAGE), None),
        ((CHUNK, ERROR, FINISH), None),
    ],
)
async def test_what_lacks_its_usage_alone_is_read_on_for_a_moment(
    events: tuple[bytes, ...], wait_s: float | None
) -> None:
    assert Drains().reads_on_s(route(), tap(*events)) == wait_s


@pytest.mark.parametrize(
    ("settings", "wait_s"),
    [
        ({"kind": "mistral", "drain_timeout_s": 7}, 7.0),
        ({"kind": "groq", "on_client_left": "abort"}, None),
        ({"kind": "vllm", "on_client_left": "drain", "drain_timeout_s": 9}, 9.0),
        ({"kind": "vllm"}, None),
        ({"kind": "mistral", "max_drains": 0}, None),
    ],
)
async def test_the_operator_or_the_kind_decides(settings: dict[str, Any], wait_s: float | None) -> None:
    assert Drains().reads_on_s(route(**settings), tap(CHUNK)) == wait_s


async def test_only_so_many_are_read_at_once_for_each_upstream() -> None:
    drains, one, other = Drains(), route(kind="mistral", max_drains=1), route(kind="mistral", name="other")
    with drains.reading(one):
        assert drains.reads_on_s(one, tap(CHUNK)) is None
        assert drains.reads_on_s(other, tap(CHUNK)) is not None
    assert drains.reads_on_s(one, tap(CHUNK)) is not None
