"""OpenAI's vocabularies, shipped with this package and checked -> tiktoken's encodings.

tiktoken itself would fetch them, at the first use, from the internet; it is never given the chance. Text is only ever
encoded as ordinary text: what looks like a control token in a prompt is no more than its letters.
"""

import base64
import gzip
import hashlib
from importlib.resources import files
from typing import Literal

import tiktoken

EncodingName = Literal["o200k_base", "cl100k_base"]

# SHA-256 of the vocabularies: tiktoken's own constants (tiktoken_ext/openai_public.py).
_SHA256: dict[EncodingName, str] = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
# How text is cut into pieces before they are looked up: from the same file, where it is inside a function that fetches.
_PATTERNS: dict[EncodingName, str] = {
    "o200k_base": "|".join(
        (
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"\p{N}{1,3}",
            r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
        )
    ),
    "cl100k_base": "|".join(
        (
            r"'(?i:[sdmt]|ll|ve|re)",
            r"[^\r\n\p{L}\p{N}]?+\p{L}++",
            r"\p{N}{1,3}+",
            r" ?[^\s\p{L}\p{N}]++[\r\n]*+",
            r"\s++$",
            r"\s*[\r\n]",
            r"\s+(?!\S)",
            r"\s",
        )
    ),
}


class VocabularyError(Exception):
    """The shipped file is not what was published: nothing may be counted by it."""


class Shipped:
    """A shipped vocabulary as a tokenizer."""

    def __init__(self, name: EncodingName) -> None:
        self._encoding = load(name)

    def count(self, text: str) -> int:
        return len(self._encoding.encode_ordinary(text))


def is_shipped(name: str) -> bool:
    return name in _SHA256


def load(name: EncodingName) -> tiktoken.Encoding:
    """Takes 0.3 s and 90 MB (o200k_base): once, and not on the loop."""
    packed = files(__package__).joinpath("data", f"{name}.tiktoken.gz").read_bytes()
    raw = gzip.decompress(packed)
    if hashlib.sha256(raw).hexdigest() != _SHA256[name]:
        raise VocabularyError(name)
    return tiktoken.Encoding(name, pat_str=_PATTERNS[name], mergeable_ranks=_ranks(raw), special_tokens={})


def _ranks(raw: bytes) -> dict[bytes, int]:
    """Lines of a token in base64 and its rank."""
    pairs = (line.split() for line in raw.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}
