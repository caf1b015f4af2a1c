"""The rules by which servers are understood, each with the streams and answers that need it.

The fixtures are written from the servers' own sources, as they send them. Each is fed whole, cut at every byte, with
every line end, and after what a client did not ask for was taken out.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from metering.answer_tap import AnswerTap
from metering.formats import audio, chat, completions, embeddings, images, messages, ollama, rerank, responses
from metering.formats.format import WireFormat
from metering.framing import NDJSON, SSE, Framing
from metering.injection import NOTHING_REMOVED, Removal
from metering.reading import Tally, normalise
from metering.tap import StreamTap
from metering.usage import Usage

ASKED = Removal(usage_chunk=True, nulls=True)
COUNTED = Removal(usage_chunk=True, nulls=True, running=True)


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def event(value: Any, name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {value if isinstance(value, str) else compact(value)}\n\n".encode()


def line(value: Any) -> bytes:
    return compact(value).encode() + b"\n"


DONE = event("[DONE]")


def chunk(text: str | None, *, index: int = 0, finish: str | None = None, **more: Any) -> bytes:
    delta = {"content": text} if text is not None else {}
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return event({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more})


def text_chunk(text: str, *, index: int = 0, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
    return event({"id": "c", "object": "text_completion", "choices": [choice], **more})


def used(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **more,
    }


def usage_chunk(prompt: int, completion: int, **more: Any) -> bytes:
    return event(
        {"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": used(prompt, completion, **more)}
    )


@dataclass(frozen=True)
class Case:
    """A stream; `plain`: what the client should see of it, if not all."""

    rule: str
    sent: list[bytes]
    usage: Usage
    wire: WireFormat = chat.FORMAT
    framing: Framing = SSE
    removal: Removal = NOTHING_REMOVED
    plain: list[bytes] | None = None
    candidates: int = 1
    prompts: int = 1
    is_done: bool = True
    has_error: bool = False
    text: list[str] = field(default_factory=list)


def out(prompt: int, output: int) -> Usage:
    return Usage(input_tokens=prompt, output_tokens=output)


RUNNING = [chunk("", usage=used(7, 0)), chunk("Hel", usage=used(7, 1)), chunk("lo", usage=used(7, 2))]
THREE_CHOICES = [chunk("x", index=i, usage=used(7, n)) for n in (1, 2) for i in (0, 1, 2)]

STREAMS = [
    Case("1: the latest value wins, nothing is added up (Gemini, every chunk)",
         [*RUNNING, chunk(None, finish="stop", usage=used(7, 2)), DONE], out(7, 2), text=["Hello"]),
    Case("1: a second report of the same is not a second use (Groq)",
         [chunk("Hi"), chunk(None, finish="stop", x_groq={"id": "r", "usage": used(9, 4)}), usage_chunk(9, 4), DONE],
         out(9, 4), text=["Hi"]),
    Case("2: running counts are per choice, and summed (vLLM, n=3)",
         [*THREE_CHOICES, DONE], out(7, 6), candidates=3, removal=COUNTED,
         plain=[*[chunk("x", index=i) for _ in (1, 2) for i in (0, 1, 2)], DONE], text=["xx", "xx", "xx"]),
    Case("2: the final chunk goes before the running counts of the choices (vLLM, n=3)",
         [*THREE_CHOICES, usage_chunk(7, 9), DONE], out(7, 9), candidates=3, removal=COUNTED,
         plain=[*[chunk("x", index=i) for _ in (1, 2) for i in (0, 1, 2)], DONE], text=["xx", "xx", "xx"]),
    Case("2: of several prompts each reports its own (TGI completions)",
         [text_chunk("a", index=0, finish="stop", usage=used(3, 1)),
          text_chunk("b", index=1, finish="stop", usage=used(4, 2)), DONE],
         out(7, 3), wire=completions.FORMAT, prompts=2, text=["a", "b"]),
    Case("4: usage of the choice (Moonshot)",
         [chunk("Hi"), event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop",
                                           "usage": used(9, 4, cached_tokens=2)}]}), DONE],
         Usage(7, 2, 0, 4), text=["Hi"]),
    Case("4: usage on the last choice chunk, unasked (DeepSeek, Mistral, Together)",
         [chunk("Hi"), chunk(None, finish="stop", usage=used(9, 4, prompt_cache_hit_tokens=4)), DONE],
         Usage(5, 4, 0, 4), removal=ASKED, text=["Hi"]),
    Case("4: timings where nobody asked for usage (llama.cpp)",
         [chunk("Hi"), chunk(None, finish="stop", timings={"prompt_n": 5, "cache_n": 4, "predicted_n": 3}), DONE],
         Usage(5, 4, 0, 3), text=["Hi"]),
    Case("4: timings per token, taken out of all chunks but the last (llama.cpp)",
         [chunk("H", timings={"cache_n": 4, "prompt_n": 5, "predicted_n": 1}),
          chunk("i", timings={"cache_n": 4, "prompt_n": 5, "predicted_n": 2}),
          chunk(None, finish="stop", timings={"cache_n": 4, "prompt_n": 5, "predicted_n": 3}), DONE],
         Usage(5, 4, 0, 3), removal=Removal(timings=True),
         plain=[chunk("H"), chunk("i"),
                chunk(None, finish="stop", timings={"cache_n": 4, "prompt_n": 5, "predicted_n": 3}), DONE],
         text=["Hi"]),
    Case("5: no choices is not usage (Azure's first frame, SGLang's sglext)",
         [event({"choices": [], "prompt_filter_results": []}), chunk("Hi"), event({"choices": [], "sglext": {}}),
          usage_chunk(3, 1), DONE],
         out(3, 1), removal=ASKED,
         plain=[event({"choices": [], "prompt_filter_results": []}), chunk("Hi"), event({"choices": [], "sglext": {}}),
                DONE], text=["Hi"]),
    Case("6: zeros before the real one are placeholders (Ollama completions)",
         [text_chunk("a", usage=used(0, 0)), text_chunk("b", usage=used(0, 0), finish="stop"), usage_chunk(5, 2), DONE],
         out(5, 2), wire=completions.FORMAT, text=["ab"]),
    Case("7: reasoning inside the completion (OpenAI)",
         [chunk("Hi"), usage_chunk(10, 8, completion_tokens_details={"reasoning_tokens": 5}), DONE],
         Usage(10, 0, 0, 3, 5), text=["Hi"]),
    Case("7: reasoning outside of it, told by the total (xAI)",
         [chunk("Hi"), usage_chunk(10, 8, total_tokens=23, completion_tokens_details={"reasoning_tokens": 5}), DONE],
         Usage(10, 0, 0, 8, 5), text=["Hi"]),
    Case("7: reasoning at the top of usage (SGLang)",
         [chunk("Hi"), usage_chunk(10, 8, reasoning_tokens=5), DONE], Usage(10, 0, 0, 3, 5), text=["Hi"]),
    Case("8: cached and written input inside the prompt (OpenAI)",
         [chunk("Hi"), usage_chunk(10, 2, prompt_tokens_details={"cached_tokens": 4, "cache_write_tokens": 3}), DONE],
         Usage(3, 4, 3, 2), text=["Hi"]),
    Case("8: cached and written input beside it (Anthropic)",
         [event({"type": "message_start", "message": {"usage": {"input_tokens": 12, "output_tokens": 1,
                 "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20}}}, "message_start"),
          event({"type": "ping"}, "ping"),
          event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
                "content_block_delta"),
          event({"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 57}},
                "message_delta"),
          event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 89}},
                "message_delta"),
          event({"type": "message_stop"}, "message_stop")],
         Usage(12, 100, 20, 89), wire=messages.FORMAT, text=["Hi"]),
    Case("8: what the first event guessed, the last corrects (Ollama's and llama.cpp's Messages)",
         [event({"type": "message_start", "message": {"usage": {"input_tokens": 999, "output_tokens": 0}}}),
          event({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
                 "usage": {"input_tokens": 12, "output_tokens": 5}}),
          event({"type": "message_stop"})],
         out(12, 5), wire=messages.FORMAT),
    *[Case(f"responses: usage in {kind}",
           [event({"type": "response.created", "response": {"usage": None}}),
            event({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hi"}),
            event({"type": kind, "response": {"status": kind.partition(".")[2], "usage": {
                "input_tokens": 36, "output_tokens": 87, "total_tokens": 123,
                "input_tokens_details": {"cached_tokens": 6}, "output_tokens_details": {"reasoning_tokens": 80}}}})],
           Usage(30, 6, 0, 7, 80), wire=responses.FORMAT, has_error=kind == "response.failed", text=["Hi"])
      for kind in ("response.completed", "response.incomplete", "response.failed")],
    Case("ollama: the last line counts, and leaves out what would be 0",
         [line({"model": "m", "message": {"content": "Hi"}, "done": False}),
          line({"model": "m", "message": {"content": ""}, "done": True, "done_reason": "stop", "eval_count": 3})],
         out(0, 3), wire=ollama.GENERATION, framing=NDJSON, text=["Hi"]),
    Case("ollama: an error line",
         [line({"model": "m", "response": "Hi", "done": False}), line({"error": "out of memory"})],
         Usage(), wire=ollama.GENERATION, framing=NDJSON, is_done=False, has_error=True, text=["Hi"]),
    Case("audio: a transcription ends with its tokens",
         [event({"type": "transcript.text.delta", "delta": "Hi"}),
          event({"type": "transcript.text.done", "text": "Hi", "usage": {
              "type": "tokens", "input_tokens": 14, "output_tokens": 4, "total_tokens": 18,
              "input_token_details": {"text_tokens": 0, "audio_tokens": 14}}})],
         Usage(output_tokens=4, audio_input_tokens=14), wire=audio.TRANSCRIPTION, text=["Hi"]),
    Case("speech: streamed as events it says what it used",
         [event({"type": "speech.audio.delta", "audio": "AAAA"}),
          event({"type": "speech.audio.done", "usage": {
              "input_tokens": 14, "output_tokens": 101, "total_tokens": 115}})],
         out(14, 101), wire=audio.SPEECH),
    Case("images: pictures partly drawn are not counted",
         [event({"type": "image_generation.partial_image", "b64_json": "AAAA", "partial_image_index": 0}),
          event({"type": "image_generation.completed", "b64_json": "AAAA", "usage": {
              "input_tokens": 50, "output_tokens": 50, "total_tokens": 100}})],
         Usage(50, 0, 0, 50, images=1), wire=images.FORMAT),
    Case("the client's own question is left in",
         [chunk("Hi"), usage_chunk(3, 1), DONE], out(3, 1), text=["Hi"]),
    Case("running counts taken out, the usage chunk the client asked for left in (vLLM)",
         [*RUNNING, usage_chunk(7, 2), DONE], out(7, 2), removal=Removal(running=True),
         plain=[chunk(""), chunk("Hel"), chunk("lo"), usage_chunk(7, 2), DONE], text=["Hello"]),
    Case("TGI's empty finish reasons and its own nulls are left alone",
         [chunk("Hi", finish="", usage=None), chunk(None, finish="stop", usage=None), usage_chunk(3, 1), DONE],
         out(3, 1), removal=Removal(usage_chunk=True),
         plain=[chunk("Hi", finish="", usage=None), chunk(None, finish="stop", usage=None), DONE], text=["Hi"]),
    Case("an error in the stream",
         [chunk("Hi"), event({"error": {"message": "out of memory", "code": 500}}), DONE],
         Usage(), has_error=True, text=["Hi"]),
    Case("keep-alive comments, bare colons, events without data",
         [b": OPENROUTER PROCESSING\n\n", b":\n\n", b"event: ping\n\n", chunk("Hi"), usage_chunk(3, 1), DONE],
         out(3, 1), removal=ASKED,
         plain=[b": OPENROUTER PROCESSING\n\n", b":\n\n", b"event: ping\n\n", chunk("Hi"), DONE], text=["Hi"]),
    Case("a trailing space before the blank line (TensorRT-LLM's first chunk)",
         [chunk("H")[:-2] + b" \n\n", chunk("i"), usage_chunk(3, 2), DONE], out(3, 2), removal=ASKED,
         plain=[chunk("H")[:-2] + b" \n\n", chunk("i"), DONE], text=["Hi"]),
    Case("a tool call over many chunks",
         [event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": part}]}}]})
          for part in ({"name": "f", "arguments": ""}, {"arguments": '{"a"'}, {"arguments": ":1}"})]
         + [usage_chunk(3, 9), DONE], out(3, 9), text=["f", '{"a":1}']),
]  # fmt: skip


def through(case: Case, pieces: Iterable[bytes]) -> tuple[bytes, StreamTap]:
    tally = Tally(case.candidates, case.prompts)
    tap = StreamTap(case.wire, case.framing, case.removal, keeps_text=True, trusts_counts=False, tally=tally)
    passed = b"".join([*(tap.feed(piece) for piece in pieces), tap.finish()])
    return passed, tap


def wanted(case: Case) -> bytes:
    return b"".join(case.sent if case.plain is None else case.plain)


def check(case: Case, pieces: Iterable[bytes], as_sent: Callable[[bytes], bytes] = bytes) -> None:
    passed, tap = through(case, pieces)
    assert passed == as_sent(wanted(case))
    assert normalise(tap.reading) == case.usage
    assert (tap.is_done, tap.has_error) == (case.is_done, case.has_error)
    assert "".join(sorted("".join(tap.texts().whole()))) == "".join(sorted("".join(case.text)))


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.rule)
def test_a_stream_is_understood(case: Case) -> None:
    check(case, case.sent)
    check(case, [b"".join(case.sent)])


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.rule)
def test_wherever_it_is_cut(case: Case) -> None:
    sent = b"".join(case.sent)
    for at in range(len(sent)):
        check(case, [sent[:at], sent[at:]])
    check(case, [sent[i : i + 1] for i in range(len(sent))])


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
@pytest.mark.parametrize("case", [c for c in STREAMS if c.framing is SSE], ids=lambda case: case.rule)
def test_whatever_ends_its_lines(case: Case, line_end: bytes) -> None:
    def rewritten(data: bytes) -> bytes:
        return data.replace(b"\n", line_end)

    sent = rewritten(b"".join(case.sent))
    check(case, [sent], rewritten)
    check(case, [sent[i : i + 3] for i in range(0, len(sent), 3)], rewritten)


@dataclass(frozen=True)
class Whole:
    rule: str
    wire: WireFormat
    body: bytes
    usage: Usage


ANSWERS = [
    Whole("chat", chat.FORMAT, line({"choices": [], "usage": used(3, 4)}), out(3, 4)),
    Whole("blank lines while the client waits (DeepSeek)", chat.FORMAT,
          b"\n\n\n" + line({"choices": [], "usage": used(3, 4)}), out(3, 4)),
    Whole("6: a real zero is a report", chat.FORMAT, line({"choices": [], "usage": used(3, 0)}), out(3, 0)),
    Whole("usage null (Triton)", chat.FORMAT, line({"choices": [], "usage": None}), Usage()),
    Whole("embeddings", embeddings.FORMAT,
          line({"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 8, "total_tokens": 8}}), out(8, 0)),
    Whole("embeddings that say the total alone", embeddings.FORMAT,
          line({"data": [], "usage": {"total_tokens": 8}}), out(8, 0)),
    Whole("responses", responses.FORMAT,
          line({"object": "response", "status": "completed", "usage": {"input_tokens": 3, "output_tokens": 4}}),
          out(3, 4)),
    Whole("messages", messages.FORMAT,
          line({"type": "message", "usage": {"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 4}}),
          Usage(3, 2, 0, 4)),
    Whole("rerank (Jina, vLLM)", rerank.FORMAT, line({"results": [], "usage": {"total_tokens": 9}}), out(9, 0)),
    Whole("rerank (Cohere)", rerank.FORMAT, line({"results": [], "meta": {"tokens": {"input_tokens": 9}}}), out(9, 0)),
    Whole("ollama", ollama.GENERATION,
          line({"response": "Hi", "done": True, "prompt_eval_count": 3, "eval_count": 4}), out(3, 4)),
    Whole("ollama embeddings", ollama.EMBEDDING, line({"embeddings": [[0.5]], "prompt_eval_count": 3}), out(3, 0)),
    Whole("a transcription by its length", audio.TRANSCRIPTION,
          line({"text": "Hi", "usage": {"type": "duration", "seconds": 9}}), Usage(audio_ms=9000)),
    Whole("a transcription by its length, of before there was usage", audio.TRANSCRIPTION,
          line({"task": "transcribe", "duration": 8.4700002, "text": "Hi"}), Usage(audio_ms=8471)),
    Whole("subtitles (srt)", audio.TRANSCRIPTION,
          b"1\n00:00:00,000 --> 00:00:03,320\nHi\n\n2\n00:00:03,320 --> 01:00:08,470\nyou\n", Usage(audio_ms=3608470)),
    Whole("subtitles (vtt)", audio.TRANSCRIPTION,
          b"WEBVTT\n\n00:00.000 --> 00:03.320\nHi\n", Usage(audio_ms=3320)),
    Whole("pictures by the piece", images.FORMAT, line({"created": 1, "data": [{"url": "a"}, {"url": "b"}]}),
          Usage(images=2)),
    Whole("pictures by their tokens", images.FORMAT,
          line({"data": [{"b64_json": "a"}], "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}}),
          Usage(3, 0, 0, 4, images=1)),
]  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.rule)
def test_a_whole_answer_is_understood(answer: Whole) -> None:
    for pieces in ([answer.body], [answer.body[i : i + 1] for i in range(len(answer.body))]):
        tap = AnswerTap(answer.wire)
        assert [tap.feed(piece) for piece in pieces] == pieces
        assert tap.finish() == b""
        assert normalise(tap.reading) == answer.usage
