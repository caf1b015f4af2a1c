"""How long a recording is at most, in milliseconds: a WAV by its own header, anything else by its size.

A header is the client's word; what it says of a WAV is what a player, and so the server, goes by too.
"""

import base64
import binascii
import struct

from metering.estimate.media import Recording

# 8 kbit/s, the leanest that people record speech with: one byte a millisecond.
_LEANEST_BYTES_PER_S = 1000
# Speech as it is usually sent (MP3, Opus, AAC).
USUAL_BYTES_PER_S = 8000
_MAX_MS = 24 * 3600 * 1000
# `RIFF`, size, `WAVE`, `fmt `, and what it says; of base64 as much as holds that.
_WAV_HEAD_CHARS = 64
_PCM = (1, 3)  # whole numbers, floating point


def audio_ms(recording: Recording, bytes_per_s: int = _LEANEST_BYTES_PER_S) -> int:
    """`bytes_per_s`: of what is no WAV."""
    told = _wav_bytes_per_s(_head(recording.source))
    return min(_MAX_MS, -(-recording.file_bytes * 1000 // (told or bytes_per_s)))


def _head(source: str | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    at = source.find(",", 0, 256) + 1 if source.startswith("data:") else 0
    try:
        return base64.b64decode(source[at : at + _WAV_HEAD_CHARS])
    except (binascii.Error, ValueError):
        return b""


def _wav_bytes_per_s(head: bytes) -> int | None:
    """Not from its field of that name, which players ignore: channels, rate and width decide."""
    if head[:4] != b"RIFF" or head[8:16] != b"WAVEfmt " or len(head) < 36:
        return None
    form, channels, rate, _, _, bits = struct.unpack("<HHIIHH", head[20:36])
    if form not in _PCM or not 1 <= channels <= 8 or not 4000 <= rate <= 192_000 or bits not in (8, 16, 24, 32, 64):
        return None
    return int(channels * rate * bits // 8)
