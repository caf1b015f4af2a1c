"""What a running answer has come to so far: for its checkpoint, and for a hold that has to grow with it.

An estimate until the answer has ended, by the same arithmetic by which an answer is billed that nobody reports.
"""

from msgspec import Struct

from metering.estimate.likely import likely_tokens_in
from metering.reading import NOTHING, Reading


class Progress(Struct, frozen=True):
    """`reading`: what the server said so far. `is_counted`: `reading.completion` is what was generated so far, over all
    choices; the rest is not kept then and is 0.

    `pieces`: how many pieces of text came, over all choices. `text_bytes`: how long they are in UTF-8. `unread_bytes`:
    what came beside them and is known by its length alone.
    """

    reading: Reading = NOTHING
    is_counted: bool = False
    pieces: int = 0
    text_bytes: int = 0
    unread_bytes: int = 0


def tokens_so_far(progress: Progress) -> int:
    """Tokens of output. It only grows, but where the server turns out to count: then its word replaces our estimate."""
    said = progress.reading.completion or 0
    if progress.is_counted:
        return said
    return max(said, tokens_by_length(progress.pieces, progress.text_bytes, progress.unread_bytes))


def tokens_by_length(pieces: int, text_bytes: int, unread_bytes: int) -> int:
    """What so much text probably comes to; no server sends less than a token at a time."""
    return max(pieces, likely_tokens_in(text_bytes)) + likely_tokens_in(unread_bytes)
