import pytest

from runtime.simulator.dialects.answer import Answer
from tests.support.dialects import CHAT, chat, reply_of


def test_what_a_dialect_does_not_make_it_is_never_asked_for() -> None:
    answer = Answer(reply_of("generic", CHAT, chat()).job)
    assert answer.headers() == b""
    for method in (answer.body, answer.layout):
        with pytest.raises(NotImplementedError):
            method()
