"""The usual event of a stream: as the one before it, but for the text in it. Told by its ends, without being read.

A server writes the events of an answer alike: the same bytes, and between two quotes another piece of text. What was
found out about one of them (that it says nothing to the meter, what is taken out of it again) is true of the next, for
without a quote in it no text is anything but text.
"""

import re
from functools import cache

from msgspec import Struct

# A text in several parts (Mistral), or log-probabilities, whose tokens repeat the text: read as JSON.
NOT_PLAIN = (b'"content":[', b'"content": [')


class UsualEvent(Struct, frozen=True):
    """`head` and `tail`: what stands before and after the text; the quotes belong to them.

    `passed_tail`: what the client gets for `tail`; the same object where nothing is taken out.
    """

    head: bytes
    tail: bytes
    passed_tail: bytes

    def event(self, inside: bytes) -> bytes:
        """As it came."""
        return self.head + inside + self.tail


def usual_event(data: bytes, passed: bytes, text_fields: tuple[str, ...]) -> UsualEvent | None:
    """What is to be expected after this event, of which the client got `passed`. None: it has no text, or several."""
    if not text_fields or any(data.find(mark) >= 0 for mark in NOT_PLAIN):
        return None
    spans = [match.span(1) for match in pattern(text_fields).finditer(data) if match.group(1)]
    if len(spans) != 1:
        return None
    start, end = spans[0]
    if not passed.startswith(data[:end]):
        return None
    tail = data[end:]
    return UsualEvent(data[:start], tail, tail if passed == data else passed[end:])


@cache
def pattern(text_fields: tuple[str, ...]) -> re.Pattern[bytes]:
    """The insides of the values of these fields. With one field it begins with a constant, which is found faster.

    A quote inside a JSON string is escaped, so a name in quotes and a colon stand outside of one. No string goes beyond
    its line: one that nobody closed takes nothing of the next event.
    """
    names = "|".join(text_fields).encode()
    name = names if len(text_fields) == 1 else b"(?:%b)" % names
    return re.compile(rb'"%b"[ \t]*+:[ \t]*+"((?:[^"\\\r\n]++|\\[^\r\n])*+)"' % name)
