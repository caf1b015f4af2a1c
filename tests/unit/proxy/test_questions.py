"""What an upstream refuses to be asked is not asked again."""

import pytest

from proxy.questions import Questions, is_about_our_question
from tests.support.calls import route

MISTRAL = b'{"detail":[{"type":"extra_forbidden","loc":["body","stream_options","include_usage"]}]}'


async def test_a_refusal_is_remembered_for_that_upstream_and_model() -> None:
    questions, here, there = Questions(), route(), route(name="other")
    assert questions.may_ask(here, "a")
    questions.refused(here, "a")
    assert not questions.may_ask(here, "a")
    assert questions.may_ask(here, "b") and questions.may_ask(there, "a")


@pytest.mark.parametrize(
    ("status", "body", "is_ours"),
    [
        (422, MISTRAL, True),
        (400, b"Validation error at #/stream_options: Extra inputs are not permitted", True),
        (400, b"unknown field timings_per_token", True),
        (400, b"max_tokens is too large", False),
        (200, MISTRAL, False),
        (500, MISTRAL, False),
        (404, MISTRAL, False),
    ],
)
def test_only_a_refusal_that_names_what_we_added(status: int, body: bytes, is_ours: bool) -> None:
    assert is_about_our_question(status, body) is is_ours
