"""Counts what nobody reported: the prompt and what was delivered of the answer.

By a tokenizer of ours where one is known for the model, else by the server's own where its kind has one, else by
length. Only requests that ended without a report pay the wait, and nobody waits for more than `MAX_WAIT_S`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from metering.estimate.likely import (
    likely_audio_ms,
    likely_prompt_tokens,
    likely_tokens_in,
    prompt_overhead,
    prompt_texts,
)
from metering.formats.format import Ask
from metering.outcome import Counted
from metering.progress import tokens_by_length
from metering.text import Texts

log = structlog.get_logger("farebox.counting")

# For a tokenizer that is busy or a server that is slow: then length decides.
MAX_WAIT_S = 5.0


class Counter(Protocol):
    async def count(self, model: str, texts: list[str]) -> int | None:
        """None: there is no tokenizer for this model."""


class RemoteCounter(Protocol):
    """The upstream's own way of counting, if its kind has one."""

    async def count_prompt(self, model: str, fields: Mapping[str, Any]) -> int | None: ...
    async def count_texts(self, model: str, texts: list[str]) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Counting:
    """What is at hand to count with, best first."""

    local: Counter

    async def count(
        self, ask: Ask, fields: Mapping[str, Any], said: Texts, unread_bytes: int, remote: RemoteCounter | None
    ) -> Counted:
        """`said` is what was delivered, `unread_bytes` what was delivered and could not be read."""
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                found = await self._tokenized(ask.model, fields, said.whole(), remote)
        except TimeoutError:
            log.warning("counting_took_too_long", model=ask.model)
            found = None
        unread_bytes, audio_ms = said.dropped_bytes + unread_bytes, likely_audio_ms(fields)
        if found is None:
            prompt = likely_prompt_tokens(fields)
            output = tokens_by_length(said.pieces_said, said.kept_bytes, unread_bytes)
            return Counted(prompt, output, is_tokenized=False, audio_ms=audio_ms)
        prompt, output = found
        is_tokenized = unread_bytes == 0 and audio_ms == 0
        return Counted(prompt, output + likely_tokens_in(unread_bytes), is_tokenized, audio_ms)

    async def _tokenized(
        self, model: str, fields: Mapping[str, Any], said: list[str], remote: RemoteCounter | None
    ) -> tuple[int, int] | None:
        prompt = await self.local.count(model, prompt_texts(fields))
        output = await self.local.count(model, said) if prompt is not None else None
        if prompt is not None and output is not None:
            return prompt + prompt_overhead(fields), output
        if remote is None:
            return None
        prompt = await remote.count_prompt(model, fields)
        output = await remote.count_texts(model, said) if prompt is not None else None
        return None if prompt is None or output is None else (prompt, output)
