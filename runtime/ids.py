"""Request ids: UUID version 7 (RFC 9562, section 5.7), made by us, never by a client.

The id carries its own time. Usage rows are partitioned by that time, so one id can only ever fall into one
partition, and a unique index inside the partition is unique over the whole table.
"""

import os
from uuid import UUID

_VERSION_AND_VARIANT = 0x7 << 76 | 0b10 << 62
# 12 bits after the version and 62 after the variant
_RANDOM = ((1 << 12) - 1) << 64 | (1 << 62) - 1
_TIME = (1 << 48) - 1


def new_request_id(now_ms: int, random: bytes | None = None) -> UUID:
    """A version 7 UUID for the wall-clock time `now_ms` (milliseconds since 1970)."""
    entropy = int.from_bytes(random or os.urandom(10))
    return UUID(int=(now_ms & _TIME) << 80 | _VERSION_AND_VARIANT | entropy & _RANDOM)


def time_of_ms(request_id: UUID) -> int:
    """The milliseconds since 1970 that a version 7 UUID was made at."""
    return request_id.int >> 80
