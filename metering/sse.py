"""Server-sent events as bytes: where one ends, and what its data is. WHATWG HTML, section 9.2.6.

Lines end in LF, CRLF or CR; an event ends at a blank line. Bytes may be cut anywhere, in the middle of a CRLF too.
"""

import re

# A lone CR ends a line only if no LF follows; `(?!\n)` keeps the two halves of a CRLF from passing as a blank line.
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LINE_END = re.compile(rb"\r\n|\n|\r")


def split_events(buffer: bytes) -> tuple[list[bytes], bytes]:
    """Complete events, each with the blank line that ends it, and the rest, which is not yet a whole event.

    A CR at the very end may be half of a CRLF: it is left in the rest until the next byte tells.
    """
    events = []
    start = 0
    usable = len(buffer) - 1 if buffer.endswith(b"\r") else len(buffer)
    for match in _EVENT_END.finditer(buffer):
        if match.end() > usable:
            break
        events.append(buffer[start : match.end()])
        start = match.end()
    return events, buffer[start:]


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
