"""Counts agree with two independent tokenizers, on many tongues and on whatever Hypothesis thinks of."""

import gzip
import socket
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.tokenizers import vocabulary
from metering.tokenizers.vocabulary import EncodingName, Shipped, VocabularyError, load
from tests.shape.tree import ROOT
from tests.support.corpus import TEXTS

NAMES: tuple[EncodingName, ...] = ("o200k_base", "cl100k_base")


@cache
def three(name: EncodingName) -> tuple[Any, Any, Any]:
    with warnings.catch_warnings():  # their own use of importlib
        warnings.simplefilter("ignore", DeprecationWarning)
        one = import_module("bpe_openai").get_encoding(name)
        other = getattr(import_module("rs_bpe.bpe").openai, name)()
    return load(name), one, other


def counts(name: EncodingName, text: str) -> set[int]:
    ours, one, other = three(name)
    return {len(ours.encode_ordinary(text)), len(one.encode_ordinary(text)), len(other.encode(text))}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", TEXTS)
def test_the_corpus(name: EncodingName, text: str) -> None:
    assert len(counts(name, TEXTS[text])) == 1


@pytest.mark.parametrize("name", NAMES)
def test_whole_files(name: EncodingName) -> None:
    for path in (ROOT / "README.md", ROOT / "config.yaml", Path(__file__)):
        assert len(counts(name, path.read_text())) == 1


@pytest.mark.parametrize("name", NAMES)
@given(text=st.text(st.characters(codec="utf-8"), max_size=200))
def test_any_text(name: EncodingName, text: str) -> None:
    assert len(counts(name, text)) == 1


@pytest.mark.parametrize("name", NAMES)
@given(parts=st.lists(st.sampled_from(sorted(TEXTS.values())), min_size=2, max_size=4))
def test_any_mixture(name: EncodingName, parts: list[str]) -> None:
    assert len(counts(name, "".join(parts))) == 1


def test_published_counts() -> None:
    # from tiktoken's README and the OpenAI cookbook
    assert load("cl100k_base").encode_ordinary("tiktoken is great!") == [83, 1609, 5963, 374, 2294, 0]
    assert load("o200k_base").encode_ordinary("hello world") == [24912, 2375]


def test_what_is_not_what_was_published_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzip, "decompress", lambda packed: b"IQ== 0\n")
    with pytest.raises(VocabularyError):
        vocabulary.load("cl100k_base")


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert Shipped("cl100k_base").count("<|endoftext|>") == 7


def test_control_tokens_are_unknown_to_it() -> None:
    assert load("o200k_base").special_tokens_set == set()
