"""What nobody reported is counted by the best that is at hand, and never waited for long."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from metering.formats.format import Ask
from metering.outcome import Counted
from metering.text import Texts
from proxy import counting
from proxy.counting import Counting

ASK = Ask("tiny")
FIELDS = {"model": "tiny", "messages": [{"role": "user", "content": "x" * 400}]}


def said(text: str, dropped_bytes: int = 0) -> Texts:
    return Texts({"0": [text]}, 1, len(text), dropped_bytes, kept_bytes=len(text.encode()))


class Local:
    def __init__(self, tokens_of_each: int | None) -> None:
        self.tokens_of_each = tokens_of_each

    async def count(self, model: str, texts: list[str]) -> int | None:
        return None if self.tokens_of_each is None else self.tokens_of_each * len(texts)


class Remote:
    async def count_prompt(self, model: str, fields: Mapping[str, Any]) -> int | None:
        return 70

    async def count_texts(self, model: str, texts: list[str]) -> int | None:
        return 7


async def count(local: Local, remote: Remote | None = None, unread: int = 0, dropped: int = 0) -> Counted:
    return await Counting(local).count(ASK, FIELDS, said("y" * 40, dropped), unread, remote)


async def test_a_tokenizer_of_ours_goes_first() -> None:
    found = await count(Local(5), Remote())
    assert (found.output, found.is_tokenized) == (5, True)
    assert found.prompt > 5, "messages cost more than their texts"


async def test_then_the_servers_own() -> None:
    assert await count(Local(None), Remote()) == Counted(70, 7, is_tokenized=True)


async def test_then_the_length() -> None:
    found = await count(Local(None))
    assert (found.output, found.is_tokenized) == (10, False)
    assert found.prompt >= 100


async def test_a_piece_is_no_less_than_a_token() -> None:
    texts = Texts({"0": ["a", "b", "c"]}, 3)
    assert (await Counting(Local(None)).count(ASK, FIELDS, texts, 0, None)).output == 3


@pytest.mark.parametrize(("unread", "dropped"), [(40, 0), (0, 40)])
async def test_what_was_not_kept_is_added_by_its_length(unread: int, dropped: int) -> None:
    assert (await count(Local(None), None, unread, dropped)).output == 20
    found = await count(Local(5), None, unread, dropped)
    assert (found.output, found.is_tokenized) == (15, False)


async def test_nobody_waits_for_a_counter_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(Local):
        async def count(self, model: str, texts: list[str]) -> int | None:
            await asyncio.Event().wait()
            return 1

    monkeypatch.setattr(counting, "MAX_WAIT_S", 0.001)
    assert not (await count(Hanging(1))).is_tokenized


async def test_a_recording_by_its_usual_size_for_so_long() -> None:
    fields = {"model": "whisper", "file": {"file_bytes": 80_000, "head": b"ID3"}}
    found = await Counting(Local(5)).count(Ask("whisper"), fields, said("hi"), 0, None)
    assert (found.audio_ms, found.is_tokenized) == (10_000, False)
