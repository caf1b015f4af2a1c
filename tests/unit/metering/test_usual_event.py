"""What an event says of those that will come after it."""

import pytest

from metering.usual_event import UsualEvent, usual_event

FIELDS = ("content", "text")
HEAD, TAIL = b'data: {"id":"a","content":"', b'","usage":null}\n\n'
EVENT = HEAD + b"Hello" + TAIL


def test_all_but_the_text_is_expected_again() -> None:
    found = usual_event(EVENT, EVENT, FIELDS)
    assert found == UsualEvent(HEAD, TAIL, TAIL)
    assert found.passed_tail is found.tail
    assert found.event(b"Hello") == EVENT


def test_what_is_taken_out_after_the_text_is_taken_out_of_the_next_too() -> None:
    assert usual_event(EVENT, HEAD + b'Hello"}\n\n', FIELDS) == UsualEvent(HEAD, TAIL, b'"}\n\n')


def test_a_text_with_escapes_ends_at_its_own_quote() -> None:
    found = usual_event(HEAD + b'say \\"content\\":\\"' + TAIL, HEAD + b'say \\"content\\":\\"' + TAIL, FIELDS)
    assert found == UsualEvent(HEAD, TAIL, TAIL)


@pytest.mark.parametrize(
    "event",
    [
        HEAD + TAIL,
        EVENT + EVENT,
        HEAD + b'a","text":"b' + TAIL,
        b'data: {"content":[{"text":"a"}]}\n\n',
        b'data: {"delta":"a"}\n\n',
        b"",
    ],
    ids=["no text", "two events", "two texts", "a list", "another field", "nothing"],
)
def test_where_it_is_not_plain_nothing_is_expected(event: bytes) -> None:
    assert usual_event(event, event, FIELDS) is None


def test_where_something_is_taken_out_before_the_text_nothing_is_expected() -> None:
    assert usual_event(EVENT, EVENT.replace(b'"id":"a",', b""), FIELDS) is None


def test_a_format_without_texts_expects_nothing() -> None:
    assert usual_event(EVENT, EVENT, ()) is None
