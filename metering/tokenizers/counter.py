"""Counts tokens off the loop: one thread, a bounded queue, long texts in slices.

Only requests that ended without a report come here. Where too many wait, or a tokenizer cannot be loaded, the answer is
None, and the caller goes by length.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import structlog

from metering.tokenizers import vocabulary
from metering.tokenizers.choice import tokenizer_of
from metering.tokenizers.huggingface import HuggingFace
from metering.tokenizers.slices import in_slices

log = structlog.get_logger("farebox.tokenizers")

# The interpreter lock is let go of while a tokenizer works; a second thread would take a core from the proxy.
_THREADS = 1
# Each waits with one slice at a time, so long texts do not hold up short ones.
_MAX_WAITING = 256


class Tokenizer(Protocol):
    def count(self, text: str) -> int: ...


class TokenCounter:
    """`configured`: see choice.tokenizer_of. What is a path is read at the start, so that a mistake is found there
    (TokenizerMissing); the shipped vocabularies are loaded by the first who asks.
    """

    def __init__(self, configured: Mapping[str, str]) -> None:
        self._configured = dict(configured)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="tokenizer")
        self._waiting = 0
        self._is_closed = False
        self._loaded: dict[str, Tokenizer | None] = {
            name: HuggingFace(name) for name in set(self._configured.values()) if not vocabulary.is_shipped(name)
        }

    async def count(self, model: str, texts: Sequence[str]) -> int | None:
        """Tokens of all these texts; None where there is no tokenizer for the model, or no time."""
        name = tokenizer_of(model, self._configured)
        if name is None or self._is_closed:
            return None
        if self._waiting >= _MAX_WAITING:
            log.warning("tokenizer_busy", waiting=self._waiting)
            return None
        self._waiting += 1
        try:
            return await self._count_slices(name, texts)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Who waits is answered None; what runs ends by itself."""
        self._is_closed = True
        self._threads.shutdown(wait=False)

    async def _count_slices(self, name: str, texts: Sequence[str]) -> int | None:
        loop = asyncio.get_running_loop()
        total = 0
        for group in in_slices(texts):
            if self._is_closed:
                return None
            found = await loop.run_in_executor(self._threads, self._count, name, group)
            if found is None:
                return None
            total += found
        return total

    def _count(self, name: str, texts: list[str]) -> int | None:
        """In the thread, which is the only one to load anything."""
        if self._is_closed:
            return None
        if name not in self._loaded:
            self._loaded[name] = _load_shipped("cl100k_base" if name == "cl100k_base" else "o200k_base")
        tokenizer = self._loaded[name]
        if tokenizer is None:
            return None
        try:
            return sum(tokenizer.count(text) for text in texts)
        except BaseException as error:  # a panic in Rust is no Exception; nobody interrupts this thread
            log.error("tokenizer_failed", error=type(error).__name__)
            return None


def _load_shipped(name: vocabulary.EncodingName) -> Tokenizer | None:
    try:
        return vocabulary.Shipped(name)
    except (OSError, ValueError, vocabulary.VocabularyError) as error:
        log.error("vocabulary_not_loaded", error=type(error).__name__)
        return None
