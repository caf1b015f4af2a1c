"""Texts in slices, so that no one of them keeps a tokenizer to itself. Pure.

A cut before a space changes no count in OpenAI's vocabularies: their patterns never go from what is no space into one.
Where there is none near (a long run of letters, Chinese), the cut goes through a word, and each such seam may change
the count by up to four tokens in 65,536 characters.
"""

import re
from collections.abc import Iterator, Sequence

# A slice takes 20 ms, and 60 ms at the worst (a run of one letter that has no token of its own).
SLICE_CHARS = 64 << 10
# No further back than this a space is looked for.
_LOOK_BACK_CHARS = 512
# What Python takes for white holds all that the patterns do.
_SPACE_AFTER_WORD = re.compile(r"(?<=\S) ")


def in_slices(texts: Sequence[str], slice_chars: int = SLICE_CHARS) -> Iterator[list[str]]:
    """Texts, or slices of them, in groups of at most `slice_chars` characters: each group is one job."""
    group: list[str] = []
    room = slice_chars
    for text in texts:
        at = 0
        while at < len(text):
            if group and len(text) - at > room:
                yield group
                group, room = [], slice_chars
            end = _end(text, at, slice_chars)
            group.append(text[at:end])
            room -= end - at
            at = end
    if group:
        yield group


def _end(text: str, start: int, slice_chars: int) -> int:
    end = start + slice_chars
    if end >= len(text):
        return len(text)
    found = [match.start() for match in _SPACE_AFTER_WORD.finditer(text, max(start, end - _LOOK_BACK_CHARS), end)]
    return found[-1] if found and found[-1] > start else end
