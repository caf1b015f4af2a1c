import pytest

from tests.support.dialects import answered, body_of, names_of, played, recorded, reply_of, script_of


@pytest.mark.parametrize("name", names_of(path="/v1/audio"))
def test_the_bytes_are_those_recorded(name: str) -> None:
    assert answered(name) == recorded(name)


@pytest.mark.parametrize(
    ("shape", "content_type"),
    [
        ("json", b"application/json"),
        ("verbose_json", b"application/json"),
        ("text", b"text/plain; charset=utf-8"),
        ("srt", b"text/plain; charset=utf-8"),
        ("vtt", b"text/vtt; charset=utf-8"),
    ],
)
def test_a_transcription_comes_in_its_shape(shape: str, content_type: bytes) -> None:
    reply = reply_of("openai", "/v1/audio/transcriptions", {"response_format": shape})
    assert reply.content_type == content_type
    assert b"w0 w1 w2" in reply.answer.body()


def test_usage_is_by_tokens_or_by_time() -> None:
    path = "/v1/audio/transcriptions"
    by_time = body_of("openai", path, {"simulate": {"usage_type": "duration", "seconds": 75}})
    assert by_time == b'{"text":"w0 w1 w2","usage":{"type":"duration","seconds":75}}'
    assert b'"audio_tokens":750' in body_of("vllm", path, {"simulate": {"usage_type": "tokens", "seconds": 75}})


def test_subtitles_know_the_hour() -> None:
    body = {"response_format": "srt", "simulate": {"seconds": 3_725}}
    assert b"--> 01:02:05,000\n" in body_of("openai", "/v1/audio/transcriptions", body)


def test_speech_is_sound_or_events() -> None:
    sound = played(script_of("openai", "/v1/audio/speech", {"input": "one two"}))
    head, _, body = sound.partition(b"\r\n\r\n")
    assert b"content-type: audio/mpeg" in head
    assert len(body) == 3 * 128
    events = played(script_of("openai", "/v1/audio/speech", {"input": "one two", "stream_format": "sse"}))
    assert b"content-type: text/event-stream" in events
    assert b'"usage":{"input_tokens":2,"output_tokens":3,"total_tokens":5}' in events


def test_sound_is_never_respelled() -> None:
    plain = body_of("openai", "/v1/audio/speech", {"input": "a"})
    assert body_of("openai", "/v1/audio/speech", {"input": "a", "simulate": {"line_end": "cr"}}) == plain
