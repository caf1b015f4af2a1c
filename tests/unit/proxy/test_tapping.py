"""Which tap reads along: of a stream its events, of sound and pictures no text."""

import pytest

from metering.answer_tap import AnswerTap
from metering.endpoints import OPENAI
from metering.formats import chat
from metering.framing import framing_of
from metering.injection import Outgoing
from metering.tap import StreamTap, Tap
from proxy.tapping import tap_of


def tap(content_type: bytes) -> Tap:
    ask = chat.FORMAT.ask({"model": "tiny", "messages": [{"role": "user", "content": "hi"}]})
    return tap_of(OPENAI[0], ask, Outgoing(b""), True, content_type, framing_of(content_type))


def test_a_stream_is_read_by_its_events() -> None:
    assert isinstance(tap(b"text/event-stream"), StreamTap)


@pytest.mark.parametrize(
    ("content_type", "is_text"), [(b"application/json", True), (b"audio/mpeg", False), (b"image/png", False)]
)
def test_an_answer_is_read_as_one(content_type: bytes, is_text: bool) -> None:
    found = tap(content_type)
    assert isinstance(found, AnswerTap) and found.is_text is is_text
