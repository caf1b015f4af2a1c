"""Server-sent events as bytes: where one ends, and what its data is. WHATWG HTML, section 9.2.6.

Lines end in LF, CRLF or CR; an event ends at a blank line. Bytes may be cut anywhere, in the middle of a CRLF too.
"""

import re

# A lone CR ends a line only if no LF follows; `(?!\n)` keeps the two halves of a CRLF from passing as a blank line.
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
# A line end and a CR, to which LF may still come; of a CR LF its LF will do.
_MAX_UNENDED_BLANK = 2
_LINE_END = re.compile(rb"\r\n|\n|\r")


def event_ends(buffer: bytes | bytearray, searched: int = 0) -> list[int]:
    """Where in the buffer an event has ended: after the blank line. What is behind the last end is no whole event yet.

    `searched`: how long the buffer was when nothing more was found in it; what is new is looked at, and no more of the
    rest than a blank line may have begun in. A CR at the very end may be half of a CRLF: the next byte tells.
    """
    ends = [match.end() for match in _EVENT_END.finditer(buffer, max(0, searched - _MAX_UNENDED_BLANK))]
    if ends and ends[-1] == len(buffer) and buffer.endswith(b"\r"):
        ends.pop()
    return ends


def data_of(event: bytes) -> bytes:
    """The data of one event: its `data` lines, at most one leading space removed, joined by LF."""
    lines = []
    for line in _LINE_END.split(event):
        if line.startswith(b"data:"):
            value = line[5:]
            lines.append(value[1:] if value.startswith(b" ") else value)
        elif line == b"data":
            lines.append(b"")
    return b"\n".join(lines)
