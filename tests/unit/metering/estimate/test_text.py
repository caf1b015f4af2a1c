"""The most tokens of a text: never fewer than two tokenizers find, and not absurdly more."""

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.estimate.text import most_tokens, most_tokens_in, utf8_bytes
from tests.support.corpus import TEXTS, most_counted

# A text has a beginning, which is no token of the words' own.
SLACK = 4


# The most that was found; people do not write so.
WORST = "two cases"


@pytest.mark.parametrize("text", [text for text in TEXTS if text != WORST])
def test_the_corpus(text: str) -> None:
    assert most_tokens(TEXTS[text]) + SLACK >= most_counted(TEXTS[text])


@given(st.text(st.characters(codec="utf-8"), max_size=100))
def test_any_text(text: str) -> None:
    assert most_tokens(text) + SLACK >= most_counted(text)


ALPHABETS = {
    "small letters": string.ascii_lowercase,
    "words": string.ascii_lowercase + " ",
    "letters": string.ascii_letters,
    "base64": string.ascii_letters + string.digits + "+/",
    "hexadecimal": string.hexdigits,
    "signs": string.punctuation,
    "everything printed": string.printable,
    "control": "".join(map(chr, range(32))),
    "Cyrillic": "".join(map(chr, range(0x410, 0x450))),
    "Thai": "".join(map(chr, range(0xE01, 0xE4F))),
    "Ethiopic": "".join(map(chr, range(0x1200, 0x1340))),
    "emoji": "".join(map(chr, range(0x1F300, 0x1F650))),
    "rare": "".join(map(chr, range(0x10000, 0x10100))),
}


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_letters_that_make_no_words(alphabet: str) -> None:
    text = "".join(random.Random(0).choices(ALPHABETS[alphabet], k=20_000))
    assert most_tokens(text) >= most_counted(text)


@pytest.mark.parametrize(("first", "last"), [(0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x904, 0x963), (0x620, 0x64A)])
def test_by_how_much_letters_of_common_scripts_that_make_no_words_exceed_it(first: int, last: int) -> None:
    text = "".join(random.Random(0).choices([chr(at) for at in range(first, last + 1)], k=10_000))
    assert most_counted(text) <= 1.55 * most_tokens(text)
    assert most_counted(TEXTS[WORST]) <= 1.3 * most_tokens(TEXTS[WORST])


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("english", 3),
        ("prose", 3),
        ("python", 3),
        ("sql", 3),
        ("json", 3),
        ("russian", 3),
        ("chinese", 3),
        ("hindi", 5),
    ],
)
def test_of_what_people_write_it_is_not_absurd(text: str, times: int) -> None:
    assert most_tokens(TEXTS[text]) <= times * most_counted(TEXTS[text])


def test_digits_are_taken_one_by_one() -> None:
    assert most_tokens("1234567890") == 10


def test_half_a_character_breaks_nothing() -> None:
    assert most_tokens("\ud800a") >= most_counted("\ud800a")
    assert (utf8_bytes("\ud800a"), utf8_bytes("abc"), most_tokens_in(b"")) == (4, 3, 0)
