"""Counting off the loop: bounded, and hostile text is just text."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from metering.tokenizers import counter as module
from metering.tokenizers import vocabulary
from metering.tokenizers.counter import TokenCounter
from metering.tokenizers.huggingface import TokenizerMissing
from metering.tokenizers.slices import SLICE_CHARS
from tests.support.asking import begin

MEGABYTE = 1_000_000


@pytest.fixture
async def counter() -> AsyncIterator[TokenCounter]:
    made = TokenCounter({})
    yield made
    await made.close()


class Gate:
    """A tokenizer that waits to be let through; a token for each text."""

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.seen: list[str] = []

    def count(self, text: str) -> int:
        assert self.may_go.wait(10)
        self.seen.append(text[:1])
        return 1


@pytest.fixture
def gate(counter: TokenCounter) -> Gate:
    made = Gate()
    counter._loaded["o200k_base"] = made
    return made


async def test_a_known_model(counter: TokenCounter) -> None:
    assert await counter.count("gpt-4o", ["hello world", "<|endoftext|>"]) == 2 + 7


async def test_an_unknown_one(counter: TokenCounter) -> None:
    assert await counter.count("llama3", ["hello world"]) is None


async def test_nothing_is_no_tokens(counter: TokenCounter) -> None:
    assert await counter.count("gpt-4o", ["", ""]) == 0


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o"])
@pytest.mark.parametrize(
    "text",
    [
        *("a" * MEGABYTE, " " * MEGABYTE, " " * MEGABYTE + "x", "\n" * MEGABYTE, "!" * MEGABYTE, "\x00" * MEGABYTE),
        *("\ud800" * (MEGABYTE // 4), "<|endoftext|>" * (MEGABYTE // 13), "\U0010ffff" * (MEGABYTE // 4)),
    ],
    ids=["letter", "spaces", "spaces and a letter", "lines", "signs", "nul", "surrogates", "special", "rare"],
)
async def test_a_megabyte_of_hostile_text_is_just_text(counter: TokenCounter, model: str, text: str) -> None:
    assert len(text) / 200 < (await counter.count(model, [text]) or 0) <= len(text.encode("utf-8", "surrogatepass"))


async def test_the_vocabulary_is_loaded_once_and_not_on_the_loop(
    counter: TokenCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded_in: list[str] = []
    load = vocabulary.load

    def noted(name: vocabulary.EncodingName) -> object:
        loaded_in.append(threading.current_thread().name)
        return load(name)

    monkeypatch.setattr(vocabulary, "load", noted)
    assert loaded_in == []
    await asyncio.gather(*(counter.count("gpt-4", ["hi"]) for _ in range(5)))
    assert len(loaded_in) == 1 and loaded_in[0].startswith("tokenizer")


async def test_too_many_at_once_go_by_length(
    counter: TokenCounter, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_WAITING", 1)
    first = begin(counter.count("gpt-4o", ["a"]))
    await asyncio.sleep(0)
    assert await counter.count("gpt-4o", ["b"]) is None
    gate.may_go.set()
    assert await first == 1
    assert await counter.count("gpt-4o", ["b"]) == 1, "there is room again"


async def test_a_long_text_does_not_hold_up_a_short_one(counter: TokenCounter, gate: Gate) -> None:
    long = begin(counter.count("gpt-4o", ["l" * (5 * SLICE_CHARS)]))
    await asyncio.sleep(0)
    short = begin(counter.count("gpt-4o", ["s"]))
    await asyncio.sleep(0)
    gate.may_go.set()
    assert (await long, await short) == (5, 1)
    assert gate.seen.index("s") == 1


async def test_who_no_longer_waits_is_not_counted_for(counter: TokenCounter, gate: Gate) -> None:
    gone = begin(counter.count("gpt-4o", ["g" * (5 * SLICE_CHARS)]))
    await asyncio.sleep(0)
    gone.cancel()
    gate.may_go.set()
    assert await counter.count("gpt-4o", ["s"]) == 1
    assert gate.seen.count("g") <= 1


async def test_a_closed_one_answers_none_to_all(counter: TokenCounter, gate: Gate) -> None:
    running = begin(counter.count("gpt-4o", ["r" * (2 * SLICE_CHARS)]))
    waiting = begin(counter.count("gpt-4o", ["w"]))
    await asyncio.sleep(0)
    await counter.close()
    gate.may_go.set()
    assert (await running, await waiting, await counter.count("gpt-4o", ["x"])) == (None, None, None)


async def test_a_vocabulary_that_is_broken_counts_nothing(
    counter: TokenCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> None:
        raise vocabulary.VocabularyError(name)

    monkeypatch.setattr(vocabulary, "load", broken)
    assert await counter.count("gpt-4o", ["a"]) is None


class Panic(BaseException):
    """What a panic in Rust comes as."""


async def test_a_tokenizer_that_gives_up_takes_nobody_with_it(counter: TokenCounter) -> None:
    class Broken:
        def count(self, text: str) -> int:
            raise Panic(text)

    counter._loaded["o200k_base"] = Broken()
    assert await counter.count("gpt-4o", ["a"]) is None
    assert await counter.count("gpt-4", ["a"]) == 1


async def test_a_tokenizer_that_cannot_be_read_is_found_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(TokenizerMissing, match=r"tokenizer\.json"):
        TokenCounter({"llama*": str(tmp_path / "tokenizer.json")})
