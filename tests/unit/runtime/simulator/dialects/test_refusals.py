from typing import Any

import orjson
import pytest

from runtime.simulator.dialects.refusals import anthropic_type, error_value, python_type, shaped
from runtime.simulator.dialects.reply import Place, reply_to
from runtime.simulator.errors import Refused
from runtime.simulator.kinds import Format, Kind
from tests.support.dialects import CHAT, SETTINGS, chat, reply_of

REFUSED = Refused(400, "no", param="n")


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("mistral", chat(asked=True), 422),
        ("vllm", chat(asked=True, stream=False), 400),
        ("openai", chat(asked=True, stream=False), 400),
        ("trtllm", chat(asked=True, stream_options={"include_usage": True, "include_obfuscation": False}), 400),
        ("trtllm", chat(parallel_tool_calls=True), 400),
        ("tgi", chat(max_tokens=1, max_completion_tokens=1), 422),
        ("groq", chat({"refuse_stream_options": True}, asked=True), 400),
    ],
)
def test_options_are_refused_by_who_refuses_them(kind: str, body: dict[str, Any], status: int) -> None:
    with pytest.raises(Refused) as caught:
        reply_of(kind, CHAT, body)
    assert caught.value.status == status
    if "simulate" not in body:
        assert reply_of("sglang", CHAT, body).job.streamed is body["stream"]


@pytest.mark.parametrize("body", [chat(stream=False, stream_options={}), chat(stream=False, stream_options=None)])
def test_vllm_looks_only_whether_there_is_anything(body: dict[str, Any]) -> None:
    assert not reply_of("vllm", CHAT, body).job.streamed


def test_mistral_names_the_field() -> None:
    with pytest.raises(Refused) as caught:
        reply_of("mistral", CHAT, chat(asked=True))
    assert b'"type":"extra_forbidden","loc":["body","stream_options","include_usage"]' in caught.value.body()
    assert shaped(caught.value, Kind.MISTRAL, Format.CHAT) is caught.value


@pytest.mark.parametrize(("version", "knows"), [("2024-06-01", False), ("2024-10-21", True), (None, True)])
def test_azure_knows_the_option_since_a_version(version: str | None, knows: bool) -> None:
    place, raw = Place(Format.CHAT, Kind.AZURE, version), {"model": "tiny"} | chat(asked=True)
    if knows:
        assert reply_to(Kind.AZURE, place, raw, SETTINGS, "0", 0).job.include_usage
        return
    with pytest.raises(Refused, match="stream_options"):
        reply_to(Kind.AZURE, place, raw, SETTINGS, "0", 0)


@pytest.mark.parametrize(
    ("kind", "format_", "body"),
    [
        (Kind.VLLM, Format.CHAT, {"error": {"message": "no", "type": "BadRequestError", "param": "n", "code": 400}}),
        (
            Kind.TRTLLM,
            Format.CHAT,
            {"object": "error", "message": "no", "type": "BadRequestError", "param": "n", "code": 400},
        ),
        (Kind.TGI, Format.CHAT, {"error": "no", "error_type": "validation"}),
        (Kind.LLAMACPP, Format.CHAT, {"error": {"code": 400, "message": "no", "type": "invalid_request_error"}}),
        (Kind.OPENROUTER, Format.CHAT, {"error": {"code": 400, "message": "no"}}),
        (Kind.OLLAMA, Format.OLLAMA_CHAT, {"error": "no"}),
        (
            Kind.GENERIC,
            Format.MESSAGES,
            {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}},
        ),
        (
            Kind.OPENAI,
            Format.CHAT,
            {"error": {"message": "no", "type": "invalid_request_error", "param": "n", "code": None}},
        ),
    ],
)
def test_each_says_no_in_its_own_shape(kind: Kind, format_: Format, body: dict[str, Any]) -> None:
    assert error_value(REFUSED, kind, format_) == body
    assert orjson.loads(shaped(REFUSED, kind, format_).body()) == body


def test_errors_have_names_by_status() -> None:
    assert [python_type(status) for status in (400, 404, 500)] == [
        "BadRequestError",
        "NotFoundError",
        "InternalServerError",
    ]
    assert [anthropic_type(status) for status in (400, 429, 500, 529)] == [
        "invalid_request_error",
        "rate_limit_error",
        "api_error",
        "overloaded_error",
    ]
