"""A failure in the words of the API it happened on."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.formats import chat, messages, ollama
from metering.framing import NDJSON, SSE
from proxy.error_shapes import ErrorShape, body_of, last_event, shape_of
from proxy.failures import TABLE, Failure

FUNDS = Failure("insufficient_balance", "No money.", details={"balance": 0})


def test_which_route_speaks_how() -> None:
    shapes = [shape_of(wire) for wire in (chat.FORMAT, messages.FORMAT, ollama.GENERATION, ollama.EMBEDDING)]
    assert shapes == [ErrorShape.OPENAI, ErrorShape.ANTHROPIC, ErrorShape.OLLAMA, ErrorShape.OLLAMA]


def test_anthropics_shape() -> None:
    assert orjson.loads(body_of(FUNDS, ErrorShape.ANTHROPIC)) == {
        "type": "error",
        "error": {"type": "billing_error", "message": "No money.", "code": FUNDS.code, "details": {"balance": 0}},
    }


def test_ollamas_shape() -> None:
    assert orjson.loads(body_of(FUNDS, ErrorShape.OLLAMA)) == {"error": "No money.", "code": FUNDS.code}


@pytest.mark.parametrize("code", TABLE)
@pytest.mark.parametrize("shape", ErrorShape)
def test_every_failure_has_words_in_every_shape(code: str, shape: ErrorShape) -> None:
    assert b"Words." in body_of(Failure(code, "Words."), shape)


@pytest.mark.parametrize("between", [True, False])
@pytest.mark.parametrize("shape", ErrorShape)
def test_a_stream_of_events_ends_in_a_whole_one(shape: ErrorShape, between: bool) -> None:
    end = last_event(FUNDS, shape, SSE, is_between_events=between)
    assert end.startswith(b"\n\n") is not between
    (event,), rest = SSE.split(end.lstrip(b"\n"))
    assert rest == b"" and SSE.data_of(event) == body_of(FUNDS, shape)
    assert (b"event: error" in event) == (shape is ErrorShape.ANTHROPIC)


@pytest.mark.parametrize("between", [True, False])
def test_a_stream_of_lines_ends_in_a_whole_one(between: bool) -> None:
    end = last_event(FUNDS, ErrorShape.OLLAMA, NDJSON, is_between_events=between)
    assert end == (b"" if between else b"\n") + body_of(FUNDS, ErrorShape.OLLAMA) + b"\n"


@given(st.sampled_from(sorted(TABLE)), st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(ErrorShape))
def test_no_message_cuts_its_event(code: str, message: str, shape: ErrorShape) -> None:
    body = body_of(Failure(code, message), shape)
    assert b"\n" not in body and b"\r" not in body
