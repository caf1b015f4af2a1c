"""A request's body in a content coding, unpacked within a limit. Pure.

Only what every client has is understood: gzip and deflate. What we unpack we also measure: a few bytes can become
gigabytes.
"""

import zlib

from runtime.http.errors import BodyBroken, BodyTooLarge

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
# The first byte of zlib's own framing says deflate in its lower half; some clients send deflate without the framing.
_METHOD_MASK, _DEFLATE = 0x0F, 0x08
_GZIP = frozenset(("gzip", "x-gzip"))
_KNOWN = _GZIP | {"deflate"}


def is_packed(coding: str) -> bool:
    return coding.strip().lower() not in ("", "identity")


def unpack(packed: bytes, coding: str, max_bytes: int) -> bytes:
    """Raises BodyTooLarge beyond `max_bytes`, BodyBroken where it is not in that coding, or that is not known."""
    name = coding.strip().lower()
    if name not in _KNOWN:
        raise BodyBroken("the content coding is not known")
    window = _GZIP_OR_ZLIB if name in _GZIP or (packed[:1] and packed[0] & _METHOD_MASK == _DEFLATE) else _RAW
    try:
        return _inflate(packed, window, max_bytes)
    except zlib.error:
        raise BodyBroken("the body is not in its content coding") from None


def _inflate(packed: bytes, window: int, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(window)
    unpacked = inflater.decompress(packed, max_bytes + 1)
    if len(unpacked) > max_bytes:
        raise BodyTooLarge
    # what follows a whole body would be read by some and not by others
    if not inflater.eof or inflater.unused_data:
        raise BodyBroken("the body is cut, or goes on after its end")
    return unpacked
