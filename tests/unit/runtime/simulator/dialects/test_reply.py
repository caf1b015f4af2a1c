from typing import Any

import pytest

from runtime.simulator.dialects.reply import Place, check_served, kind_of, locate
from runtime.simulator.errors import Refused
from runtime.simulator.kinds import TRAITS, Format, Kind
from runtime.simulator.settings import SimulatorSettings
from tests.support.dialects import CHAT, FOLDER, body_of, cases, chat, reply_of

BODIES: dict[Format, tuple[str, dict[str, Any]]] = {
    Format.CHAT: (CHAT, chat()),
    Format.COMPLETIONS: ("/v1/completions", {"prompt": "a", "stream": True}),
    Format.EMBEDDINGS: ("/v1/embeddings", {"input": "a"}),
    Format.RERANK: ("/v1/rerank", {"query": "a", "documents": ["b"]}),
    Format.RESPONSES: ("/v1/responses", {"input": "a", "stream": True}),
    Format.MESSAGES: ("/v1/messages", chat()),
    Format.TRANSCRIPTIONS: ("/v1/audio/transcriptions", {}),
    Format.TRANSLATIONS: ("/v1/audio/translations", {}),
    Format.SPEECH: ("/v1/audio/speech", {"input": "a"}),
    Format.IMAGES: ("/v1/images/generations", {"prompt": "a"}),
    Format.IMAGE_EDITS: ("/v1/images/edits", {"prompt": "a"}),
    Format.OLLAMA_CHAT: ("/api/chat", chat()),
    Format.OLLAMA_GENERATE: ("/api/generate", {"prompt": "a"}),
    Format.OLLAMA_EMBED: ("/api/embed", {"input": "a"}),
}


def test_every_case_has_its_recording_and_every_recording_its_case() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(cases())
    assert {case["kind"] for case in cases().values()} == set(Kind)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_answers_in_every_format_it_serves(kind: Kind) -> None:
    served = [format_ for format_ in BODIES if format_ in TRAITS[kind].formats]
    assert served
    for format_ in served:
        path, body = BODIES[format_]
        assert reply_of(kind, path, body).job.format is format_
        assert body_of(kind, path, body)


@pytest.mark.parametrize(
    ("target", "place"),
    [
        (b"/v1/chat/completions", Place(Format.CHAT, None, None)),
        (b"/kinds/vllm/v1/chat/completions", Place(Format.CHAT, Kind.VLLM, None)),
        (b"/kinds/ollama/api/chat", Place(Format.OLLAMA_CHAT, Kind.OLLAMA, None)),
        (b"/api/v1/chat/completions", Place(Format.CHAT, None, None)),
        (b"/openai/v1/responses", Place(Format.RESPONSES, None, None)),
        (
            b"/openai/deployments/tiny/chat/completions?api-version=2024-06-01",
            Place(Format.CHAT, None, "2024-06-01"),
        ),
        (b"/kinds/none/v1/chat/completions", None),
        (b"/v1/nothing", None),
        (b"/", None),
    ],
)
def test_a_target_leads_to_its_place(target: bytes, place: Place | None) -> None:
    assert locate(target) == place


def test_the_kind_is_ordered_or_in_the_path_or_the_servers() -> None:
    settings, here = SimulatorSettings(kind=Kind.TGI), Place(Format.CHAT, Kind.VLLM, None)
    assert kind_of(here, {"simulate": {"kind": "groq"}}, settings) is Kind.GROQ
    assert kind_of(here, {"simulate": {}}, settings) is Kind.VLLM
    assert kind_of(Place(Format.CHAT, None, None), {}, settings) is Kind.TGI


def test_what_a_kind_does_not_have_is_not_found() -> None:
    check_served(Kind.VLLM, Format.RERANK)
    with pytest.raises(Refused) as caught:
        check_served(Kind.MISTRAL, Format.RERANK)
    assert caught.value.status == 404


def test_the_books_hear_of_parts_seconds_characters_and_images() -> None:
    counted = reply_of("openai", CHAT, chat({"cached_tokens": 3, "reasoning_tokens": 2})).counted()
    assert (counted["kind"], counted["cached_tokens"], counted["reasoning_tokens"]) == ("openai", 3, 2)
    sound = reply_of("openai", "/v1/audio/transcriptions", {"simulate": {"seconds": 9}}).counted()
    assert (sound["seconds"], sound["audio_tokens"]) == (9, 90)
    assert reply_of("openai", "/v1/audio/speech", {"input": "a b"}).counted()["characters"] == 3
    assert reply_of("openai", "/v1/images/generations", {"prompt": "a", "n": 3}).counted()["images"] == 3
