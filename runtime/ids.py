"""Request ids: UUID version 7 (RFC 9562, section 5.7), made by us, never by a client.

The id carries its own time. Usage rows are partitioned by that time, so one id can only ever fall into one
partition, and a unique index inside the partition is unique over the whole table.
"""

import os
from uuid import UUID, SafeUUID

_VERSION_AND_VARIANT = 0x7 << 76 | 0b10 << 62
# 12 bits after the version and 62 after the variant
_RANDOM = ((1 << 12) - 1) << 64 | (1 << 62) - 1
_TIME = (1 << 48) - 1
_ENTROPY_BYTES = 10
# The system is asked for the randomness of so many ids at once: each time is a system call, as dear as a whole id.
_IDS_AHEAD = 256
_ahead: list[int] = []
os.register_at_fork(after_in_child=_ahead.clear)


def new_request_id(now_ms: int, random: bytes | None = None) -> UUID:
    """A version 7 UUID for the wall-clock time `now_ms` (milliseconds since 1970)."""
    entropy = _entropy() if random is None else int.from_bytes(random)
    return _uuid((now_ms & _TIME) << 80 | _VERSION_AND_VARIANT | entropy & _RANDOM)


def time_of_ms(request_id: UUID) -> int:
    """The milliseconds since 1970 that a version 7 UUID was made at."""
    return request_id.int >> 80


def _entropy() -> int:
    if not _ahead:
        raw = os.urandom(_ENTROPY_BYTES * _IDS_AHEAD)
        _ahead.extend(int.from_bytes(raw[at : at + _ENTROPY_BYTES]) for at in range(0, len(raw), _ENTROPY_BYTES))
    return _ahead.pop()


def _uuid(number: int) -> UUID:
    """As `UUID(int=number)`, which first looks for the five other ways to say it: five times as long."""
    made = object.__new__(UUID)
    object.__setattr__(made, "int", number)
    object.__setattr__(made, "is_safe", SafeUUID.unknown)
    return made
