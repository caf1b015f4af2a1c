"""What was said is kept, bounded, for the case that nobody reports."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import text
from metering.formats import chat
from metering.framing import SSE
from metering.text import FOLD_BYTES, TextKeeper, Texts
from tests.support.streams import cut, cuts


def chunk(said: str, index: int = 0) -> bytes:
    return f"data: {json.dumps({'choices': [{'index': index, 'delta': {'content': said}}]})}\n\n".encode()


@given(st.lists(st.tuples(st.text(max_size=30), st.integers(0, 2)), max_size=60), st.data())
def test_what_was_said_however_it_was_cut(said: list[tuple[str, int]], data: st.DataObject) -> None:
    sent = b"".join(chunk(*each) for each in said)
    keeper = TextKeeper(chat.FORMAT, SSE)
    for piece in cut(sent, data.draw(cuts(len(sent)))):
        keeper.feed(piece)
    wanted = {index: "".join(one for one, at in said if at == index) for _, index in said}
    assert sorted(keeper.finish().whole()) == sorted(filter(None, wanted.values()))


def test_an_event_nobody_closed_counts() -> None:
    keeper = TextKeeper(chat.FORMAT, SSE)
    keeper.feed(chunk("a") + chunk("b").rstrip())
    assert keeper.finish().whole() == ["ab"]


def test_beyond_the_bound_only_the_length_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_TEXT_CHARS", 5)
    texts = Texts()
    for said in ("abc", "dé", "ghi"):
        texts.add(chat.FORMAT, chunk(said)[6:])
    assert (texts.whole(), texts.dropped_bytes) == (["abcdé"], 3)


def test_memory_is_bounded_by_the_fold_and_the_text() -> None:
    keeper = TextKeeper(chat.FORMAT, SSE)
    for _ in range(5_000):
        keeper.feed(chunk("word "))
        assert keeper._size <= FOLD_BYTES
    assert len(keeper.finish().whole()[0]) == 25_000


def test_an_event_without_end_is_counted_by_its_length_and_not_kept() -> None:
    keeper = TextKeeper(chat.FORMAT, SSE)
    for _ in range(100):
        keeper.feed(b"data: " + b"x" * 1018)
        assert keeper._size <= FOLD_BYTES + 1024
    assert keeper.finish().dropped_bytes >= 100 * 1024 - FOLD_BYTES - 1024


@pytest.mark.parametrize("data", [b"", b"[DONE]", b"[]", b"\xff", b'{"choices":1}', b"[" * 3000])
def test_what_is_no_event_says_nothing(data: bytes) -> None:
    texts = Texts()
    texts.add(chat.FORMAT, data)
    assert texts.whole() == []


@given(st.lists(st.text(max_size=30), max_size=60), st.data(), st.booleans())
def test_of_a_single_answer_the_same_is_found_by_a_search(said: list[str], data: st.DataObject, spaced: bool) -> None:
    sent = b"".join(chunk(each) for each in said)
    if not spaced:
        sent = sent.replace(b'": "', b'":"')
    single, parsed = TextKeeper(chat.FORMAT, SSE, is_single=True), TextKeeper(chat.FORMAT, SSE)
    for piece in cut(sent, data.draw(cuts(len(sent)))):
        single.feed(piece)
        parsed.feed(piece)
    found, wanted = single.finish(), parsed.finish()
    assert "".join(found.whole()) == "".join(wanted.whole())
    assert found.pieces_said == wanted.pieces_said


@pytest.mark.parametrize("said", ['"content":"no"', "\\", '\\"', "\n\t\x00", '{"content": "x"}'])
def test_what_a_text_quotes_is_text(said: str) -> None:
    keeper = TextKeeper(chat.FORMAT, SSE, is_single=True)
    keeper.feed(chunk(said))
    assert keeper.finish().whole() == [said]


def test_half_characters_in_two_chunks_find_each_other() -> None:
    keeper = TextKeeper(chat.FORMAT, SSE, is_single=True)
    keeper.feed(chunk("\ud83d") + chunk("\ude00"))
    assert keeper.finish().whole() == ["\U0001f600"]


def test_a_text_in_parts_is_parsed() -> None:
    keeper = TextKeeper(chat.FORMAT, SSE, is_single=True)
    keeper.feed(b'data: {"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"a"}]}}]}\n\n')
    assert keeper.finish().whole() == ["a"]


FIELDS = ("content", "reasoning_content", "refusal", "name")


@given(st.lists(st.tuples(st.sampled_from(FIELDS), st.text(max_size=30)), max_size=40), st.data())
def test_whichever_fields_occur_each_of_them_is_found(said: list[tuple[str, str]], data: st.DataObject) -> None:
    """Only names that occur are searched for; events may come whole, several at a time, or cut anywhere."""
    sent = [f"data: {json.dumps({'choices': [{'delta': {field: each}}]})}\n\n".encode() for field, each in said]
    whole, pieces = TextKeeper(chat.FORMAT, SSE, is_single=True), TextKeeper(chat.FORMAT, SSE, is_single=True)
    for event in sent:
        whole.feed(event)
        if data.draw(st.booleans()):
            whole.so_far()
    joined = b"".join(sent)
    for piece in cut(joined, data.draw(cuts(len(joined)))):
        pieces.feed(piece)
    wanted = [each for _, each in said if each]
    for keeper in (whole, pieces):
        texts = keeper.finish()
        assert "".join(texts.whole()) == "".join(wanted)
        assert texts.pieces_said == len(wanted)
