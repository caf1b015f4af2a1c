"""A stream is read along event by event, anything else as a whole."""

import pytest

from metering import endpoints
from metering.framing import Framing, framing_of
from metering.kinds import KINDS
from metering.tap import AnswerTap, StreamTap
from proxy import asking
from proxy.taps import make_tap
from tests.support.calls import chat_body

CHAT = endpoints.OPENAI[0]


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [(b"application/json", AnswerTap), (b"audio/mpeg", AnswerTap), (b"text/event-stream", StreamTap)],
)
def test_by_what_the_answer_is_said_to_be(content_type: bytes, kind: type) -> None:
    asked = asking.parse(chat_body(stream=True), CHAT, "application/json")
    sent = asked.sent(KINDS["generic"], may_ask=True, output_limit=None)
    framing: Framing | None = framing_of(content_type)
    assert type(make_tap(CHAT, asked.ask, sent, True, content_type, framing)) is kind
