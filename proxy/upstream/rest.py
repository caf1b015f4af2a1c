"""How long a server that has had enough (429) is to be left alone: pure.

It says so in `retry-after`, in whole seconds (RFC 9110, section 10.2.3), OpenAI and Azure more finely in
`retry-after-ms`. A date there is rare from such a server, and counts as nothing said.
"""

from collections.abc import Iterable

RawHeaders = Iterable[tuple[bytes, bytes]]  # names in lower case

# Nothing said: the next request may well pass, the next hundred will not.
UNSAID_MS = 1_000
# Asked for more, it is asked again after so long: limits by the day are not worth a day without it.
MOST_MS = 60_000
_UNIT_MS = {b"retry-after-ms": 1, b"retry-after": 1_000}


def rest_ms(headers: RawHeaders) -> int:
    """Milliseconds from now, MOST_MS at most; of several wishes the longest."""
    said = [int(value) * _UNIT_MS[name] for name, value in headers if name in _UNIT_MS and _is_number(value)]
    return min(max(said, default=UNSAID_MS), MOST_MS)


def _is_number(value: bytes) -> bool:
    return value.isdigit() and len(value) <= 9
