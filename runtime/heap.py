"""Memory that a request has freed is kept for the next one, not given back to the system page by page."""

import ctypes

# mallopt's names for them, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# A prompt of a megabyte is 256 pages, and to get one again costs a microsecond. glibc gives freed memory back beyond
# 128 KiB, or twice the largest piece that it has seen freed: with large bodies, with each of them. So much is kept.
_KEPT_BYTES = 32 << 20
# The most that glibc takes: what is larger than this is mapped for itself alone, and gone when it is freed.
_MAPPED_FROM_BYTES = 32 << 20


def keep_freed() -> bool:
    """For a process through which large bodies go, once. False where the C library is not glibc: nothing changes."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
