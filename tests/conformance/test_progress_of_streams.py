"""What a stream came to so far can be asked at any time: whoever asks changes nothing, and is told what is true.

`HYPOTHESIS_PROFILE=deep` looks for much longer.
"""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import text as text_module
from metering.answer_tap import AnswerTap
from metering.formats import audio, chat
from metering.injection import NOTHING_REMOVED, Removal
from metering.outcome import report, resolve
from metering.progress import Progress, tokens_so_far
from metering.reading import Reading, Tally
from metering.tap import StreamTap
from metering.text import Texts
from proxy.counting import Counting
from tests.conformance.test_what_servers_say import STREAMS, Case, chunk, event, used
from tests.support.streams import cut, cuts
from tests.support.streams import streams as chat_streams

HALVES = ["\ud83d", "\ude00", "\U0001f600", "é", "plain words of English", 'say "content":"no"', "\\", "\n"]
said = st.one_of(st.sampled_from(HALVES), st.text(max_size=8))


@dataclass(frozen=True)
class Sent:
    """Bytes, and what a tap for them is made with."""

    data: bytes
    case: Case
    tally: tuple[int, int]

    def tap(self) -> StreamTap:
        case = self.case
        tally = Tally(*self.tally)
        return StreamTap(case.wire, case.framing, case.removal, keeps_text=True, tally=tally)


def of_case(case: Case) -> Sent:
    return Sent(b"".join(case.sent), case, (case.candidates, case.prompts))


PLAIN = Case("generated", [], STREAMS[0].usage)


@st.composite
def sent_streams(draw: st.DrawFn) -> Sent:
    """What servers say; chunks of odd texts, of one choice or of three; and any of it with a few bytes spoilt."""
    how = draw(st.sampled_from(["case", "chat", "texts"]))
    if how == "case":
        found = of_case(draw(st.sampled_from(STREAMS)))
    elif how == "chat":
        found = Sent(b"".join(each.asked for each in draw(chat_streams())), PLAIN, (1, 1))
    else:
        choices = draw(st.sampled_from([1, 3]))
        texts = draw(st.lists(st.tuples(said, st.integers(0, choices - 1)), max_size=20))
        found = Sent(b"".join(odd_chunk(*each) for each in texts), PLAIN, (choices, 1))
    data = bytearray(found.data)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data[at:at] = draw(st.sampled_from([b'"content":[', b'"', b"\\", b"\n\n", b"\xff", b'"delta":{"content":"x']))
    return Sent(bytes(data), found.case, found.tally)


def odd_chunk(piece: str, index: int) -> bytes:
    return f"data: {json.dumps({'choices': [{'index': index, 'delta': {'content': piece}}]})}\n\n".encode()


def facts(tap: StreamTap) -> tuple[Any, ...]:
    texts = tap.texts()
    counts = texts.pieces_said, texts.kept_chars, texts.dropped_bytes, texts.kept_bytes
    return tap.reading, texts.whole(), counts, tap.is_done, tap.is_finished, tap.has_error, tap.counts_along


def grew(before: Progress, after: Progress) -> bool:
    if after.is_counted or before.is_counted:
        return after.is_counted
    return (
        after.pieces >= before.pieces
        and after.text_bytes >= before.text_bytes
        and after.unread_bytes >= before.unread_bytes
    )


def by_events(data: bytes) -> list[bytes]:
    return [event + b"\n\n" for event in data.split(b"\n\n")]


def by_tens(data: bytes) -> list[bytes]:
    return [data[at : at + 10] for at in range(0, len(data), 10)]


@given(st.data(), sent_streams())
def test_asking_changes_nothing_and_what_is_told_only_grows(data: st.DataObject, stream: Sent) -> None:
    pieces = data.draw(st.sampled_from([by_events, by_tens]))(stream.data) or [b""]
    if data.draw(st.booleans()):
        pieces = cut(stream.data, data.draw(cuts(len(stream.data))))
    asked_after = data.draw(st.sets(st.integers(0, len(pieces) - 1)))
    quiet, asked, last = stream.tap(), stream.tap(), Progress()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_module, "FOLD_BYTES", data.draw(st.sampled_from([1, 200, 16 << 10])))
        patch.setattr(text_module, "MAX_TEXT_CHARS", data.draw(st.sampled_from([5, 1 << 20])))
        for at, piece in enumerate(pieces):
            assert asked.feed(piece) == quiet.feed(piece)
            if at in asked_after:
                told = asked.progress()
                assert grew(last, told)
                assert asked.progress() == told, "it says the same until more comes"
                last = told
        assert asked.finish() == quiet.finish()
        assert facts(asked) == facts(quiet)
        assert grew(last, asked.progress())
        assert tokens_so_far(asked.progress()) >= (0 if asked.progress().is_counted else tokens_so_far(last))


class NoTokenizer:
    async def count(self, model: str, texts: list[str]) -> int | None:
        return None


async def by_length(tap: StreamTap | AnswerTap, said: Texts, unread_bytes: int = 0) -> int:
    """The output that an ended request is billed where nobody reports and nothing else can count."""
    ask = chat.ask({"model": "m", "messages": [{"role": "user", "content": "x"}]})
    found = report(tap, is_complete=False)
    counted = await Counting(NoTokenizer()).count(ask, {}, said, unread_bytes, None)
    usage, _ = resolve(ask, found, counted)
    return usage.output_tokens + usage.reasoning_tokens + usage.audio_output_tokens


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.rule)
async def test_at_the_end_it_is_what_is_billed(case: Case) -> None:
    """Also of a stream that is cut somewhere, with an event that nobody closed."""
    stream = of_case(case)
    for end in [*range(0, len(stream.data), 7), len(stream.data)]:
        tap = stream.tap()
        for at in range(0, end, 50):
            tap.feed(stream.data[at : min(at + 50, end)])
            tap.progress()
        tap.finish()
        assert await by_length(tap, tap.texts()) == billed(tap.progress())


def billed(progress: Progress) -> int:
    """Tokens outside of `completion` (xAI's reasoning) are part of a final report only."""
    reading = progress.reading
    outside = reading.total == (reading.prompt or 0) + (reading.completion or 0) + (reading.reasoning or 0)
    return tokens_so_far(progress) + (reading.reasoning or 0 if progress.is_counted and outside else 0)


def test_the_choices_are_added_up() -> None:
    counted = StreamTap(removal=Removal(usage_chunk=True, running=True), keeps_text=True, tally=Tally(3))
    for n in (1, 2):
        for index in range(3):
            counted.feed(chunk("x", index=index, usage=used(7, n + index)))
    told = counted.progress()
    assert (told.is_counted, told.reading.prompt, tokens_so_far(told)) == (True, 7, 2 + 3 + 4)
    estimated = StreamTap(keeps_text=True, tally=Tally(3))
    for index in range(3):
        estimated.feed(chunk("é" * 10, index=index))
    assert estimated.progress() == Progress(pieces=3, text_bytes=60)


def told_the_same(events: list[bytes], removal: Removal = NOTHING_REMOVED) -> StreamTap:
    """The tap after these, which was asked after each; another that was asked nothing must know the same."""
    asked, quiet = StreamTap(removal=removal, keeps_text=True), StreamTap(removal=removal, keeps_text=True)
    for each in events:
        asked.feed(each)
        quiet.feed(each)
        asked.progress()
    assert facts(asked) == facts(quiet)
    return asked


def test_a_look_at_a_running_count_does_not_note_it() -> None:
    first = used(7, 1, prompt_tokens_details={"cached_tokens": 4})
    tap = told_the_same([chunk("x", usage=first), chunk("x", usage=used(7, 2))], Removal(running=True))
    assert (tap.reading.completion, tap.reading.cached) == (2, None)


def test_an_event_is_read_by_itself_whatever_comes_with_it() -> None:
    parts = event({"choices": [{"index": 0, "delta": {"content": [{"type": "text", "text": "b"}]}}]})
    assert told_the_same([chunk("a"), parts, chunk("c")]).texts().whole() == ["ac", "b"]


def test_a_string_nobody_closed_takes_nothing_of_the_next_event() -> None:
    broken = b'data: {"choices":[{"index":0,"delta":{"content":"a\n\n'
    assert told_the_same([broken, chunk("b")]).texts().whole() == ["b"]


def test_halves_of_a_character_find_each_other_between_two_looks() -> None:
    tap = told_the_same([odd_chunk("\ud83d", 0), odd_chunk("\ude00", 0), odd_chunk("\ud83d", 0)])
    assert tap.texts().whole() == ["\U0001f600\ud83d"]
    assert tap.progress() == Progress(pieces=3, text_bytes=7)


def test_what_cannot_be_read_as_a_string_spoils_nothing_beside_it() -> None:
    events = [b'data: {"content":"%b"}\n\n' % text for text in (b"\\u00e9", b"\\x", b"\xff", b"\t")]
    assert told_the_same(events).texts().whole() == ["é\\x\ufffd\t"]


def test_a_running_count_that_is_taken_out_is_known_at_once() -> None:
    tap = StreamTap(removal=Removal(usage_chunk=True, running=True), keeps_text=True)
    for n in range(1, 4):
        tap.feed(chunk("x", usage=used(7, n)))
        assert tokens_so_far(tap.progress()) == n
    assert tap.progress() == Progress(Reading(prompt=7, completion=3, total=10), is_counted=True)


def test_an_event_that_has_not_ended_waits_for_its_end() -> None:
    tap = StreamTap(keeps_text=True)
    sent = chunk("abcd")
    for at in range(len(sent)):
        assert tap.progress() == Progress()
        tap.feed(sent[at : at + 1])
    assert tap.progress() == Progress(pieces=1, text_bytes=4)
    tap.feed(sent[:-1])
    assert tap.progress() == Progress(pieces=1, text_bytes=4)
    tap.finish()
    assert tap.texts().whole() == ["abcd", "abcd"]
    assert tap.progress() == Progress(pieces=2, text_bytes=8)


def test_what_is_beyond_the_bound_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "MAX_TEXT_CHARS", 6)
    tap = StreamTap(keeps_text=True)
    for _ in range(3):
        tap.feed(chunk("abcd"))
    assert tap.progress() == Progress(pieces=3, text_bytes=4, unread_bytes=8)


def test_where_no_text_is_kept_the_servers_word_is_all_there_is() -> None:
    tap = StreamTap()
    tap.feed(chunk("abcd"))
    assert tap.progress() == Progress()
    tap.feed(chunk(None, finish="stop", usage=used(7, 2)))
    assert tokens_so_far(tap.progress()) == 2


def test_a_report_at_the_end_goes_before_the_length() -> None:
    tap = StreamTap(keeps_text=True)
    tap.feed(chunk("x" * 40))
    assert tokens_so_far(tap.progress()) == 10
    tap.feed(chunk(None, finish="stop", usage=used(7, 2)))
    assert (tap.progress().is_counted, tokens_so_far(tap.progress())) == (True, 2)


async def test_an_answer_is_taken_for_text_until_it_can_be_read() -> None:
    body = json.dumps({"choices": [{"index": 0, "message": {"content": "é" * 10}}]}).encode()
    tap = AnswerTap()
    for at in range(0, len(body), 10):
        assert tap.progress() == Progress(unread_bytes=at)
        tap.feed(body[at : at + 10])
    tap.finish()
    assert tap.progress() == Progress(pieces=1, text_bytes=20)
    assert tokens_so_far(tap.progress()) == await by_length(tap, tap.texts())


@pytest.mark.parametrize(("is_text", "unread"), [(True, 40), (False, 0)])
async def test_an_answer_that_breaks_off_stays_what_its_length_says(is_text: bool, unread: int) -> None:
    tap = AnswerTap(is_text=is_text)
    tap.feed(b'{"choices":[' + b"x" * 28)
    assert tap.progress() == Progress(unread_bytes=unread)
    tap.finish()
    assert tap.progress() == Progress(unread_bytes=unread)
    assert tokens_so_far(tap.progress()) == await by_length(tap, tap.texts(), tap.text_bytes)


def test_an_answer_that_says_what_it_used() -> None:
    tap = AnswerTap(audio.TRANSCRIPTION)
    tap.feed(json.dumps({"text": "Hi", "usage": {"type": "tokens", "input_tokens": 3, "output_tokens": 4}}).encode())
    tap.finish()
    assert (tap.progress().is_counted, tokens_so_far(tap.progress())) == (True, 4)
