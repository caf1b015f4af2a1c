"""A tokenizer.json counts text as text, whatever else the file says."""

import sys
from pathlib import Path

import pytest
from tokenizers import AddedToken
from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Whitespace
from tokenizers.processors import TemplateProcessing

from metering.tokenizers.huggingface import HuggingFace, TokenizerMissing


def of_words() -> HuggingFaceTokenizer:
    made = HuggingFaceTokenizer(WordLevel({"hello": 0, "world": 1, "[UNK]": 2, "[BOS]": 3}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(single="[BOS] $A", special_tokens=[("[BOS]", 3)])
    return made


def of_bytes() -> HuggingFaceTokenizer:
    made = HuggingFaceTokenizer(BPE({letter: at for at, letter in enumerate(ByteLevel.alphabet())}, []))
    made.pre_tokenizer = ByteLevel(add_prefix_space=False)
    return made


def saved(made: HuggingFaceTokenizer, tmp_path: Path) -> HuggingFace:
    made.save(str(tmp_path / "tokenizer.json"))
    return HuggingFace(str(tmp_path / "tokenizer.json"))


def test_no_token_is_added_that_nobody_wrote(tmp_path: Path) -> None:
    assert saved(of_words(), tmp_path).count("hello there world") == 3


def test_nothing_is_cut_off_or_filled_up(tmp_path: Path) -> None:
    made = of_words()
    made.enable_truncation(2)
    made.enable_padding(length=50)
    assert saved(made, tmp_path).count("hello world " * 10) == 20


def test_what_looks_like_a_control_token_is_its_letters(tmp_path: Path) -> None:
    made = of_bytes()
    made.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    assert made.encode("<|endoftext|>").ids == [256], "or it would prove nothing"
    assert saved(made, tmp_path).count("<|endoftext|>") == 13


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("é", 2), ("\ud800", 1), ("\x00" * 10, 10), ("a" * 65_536, 65_536)]
)
def test_hostile_text_is_just_text(tmp_path: Path, text: str, tokens: int) -> None:
    assert saved(of_bytes(), tmp_path).count(text) == tokens


@pytest.mark.parametrize("content", [None, "not json", "{}", "[]"])
def test_a_file_that_is_none_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TokenizerMissing, match=r"tokenizer\.json: is no tokenizer"):
        HuggingFace(str(path))


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(TokenizerMissing, match=r"/models/t\.json: needs `pip install farebox\[huggingface\]`"):
        HuggingFace("/models/t.json")
