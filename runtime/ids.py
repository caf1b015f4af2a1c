"""Request ids: UUID version 7 (RFC 9562, section 5.7), made by us, never by a client.

The id carries its own time. Usage rows are partitioned by that time, so one id can only ever fall into one
partition, and a unique index inside the partition is unique over the whole table.
"""

import os
from uuid import UUID

_VERSION_7 = 0x7 << 76
_VARIANT_RFC = 0b10 << 62
_RANDOM_HIGH_BITS = 12
_RANDOM_LOW_BITS = 62


def new_request_id(now_ms: int, random: bytes | None = None) -> UUID:
    """A version 7 UUID for the wall-clock time `now_ms` (milliseconds since 1970)."""
    entropy = int.from_bytes(random or os.urandom(10))
    high = (entropy >> _RANDOM_LOW_BITS) & ((1 << _RANDOM_HIGH_BITS) - 1)
    low = entropy & ((1 << _RANDOM_LOW_BITS) - 1)
    return UUID(int=(now_ms & (1 << 48) - 1) << 80 | _VERSION_7 | high << 64 | _VARIANT_RFC | low)


def time_of_ms(request_id: UUID) -> int:
    """The milliseconds since 1970 that a version 7 UUID was made at."""
    return request_id.int >> 80
