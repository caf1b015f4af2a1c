"""Does a delivery come from Stripe? HMAC-SHA256 over `<timestamp>.<body>`, in the header as `t=…,v1=…`.

The SDK's own check raises TypeError for a header that is not ASCII, and asks the clock itself; this one works on bytes,
never raises, and is held to the SDK's in the tests.
"""

import hmac
import re
from collections.abc import Sequence

# As the SDK's default: what is older may be a recording.
TOLERANCE_S = 300
# Stripe sends one signature per active secret of the endpoint; no more than a handful ever.
_MAX_ITEMS = 32
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_signed(payload: bytes, header: str | None, secrets: Sequence[bytes], now_s: int) -> bool:
    """Is there a signature of this body by one of these secrets, no older than `TOLERANCE_S`?

    A secret that is empty signs nothing: anybody could.
    """
    timestamp, signatures = _read(header or "")
    if timestamp is None or int(timestamp) < now_s - TOLERANCE_S:
        return False
    signed = timestamp.encode() + b"." + payload
    expected = [hmac.digest(secret, signed, "sha256").hex() for secret in secrets if secret.strip()]
    return any(hmac.compare_digest(ours, theirs) for ours in expected for theirs in signatures)


def _read(header: str) -> tuple[str | None, list[str]]:
    """The timestamp and the v1 signatures; what does not look like one is left out."""
    items = [item.partition("=") for item in header.split(",", _MAX_ITEMS)[:_MAX_ITEMS]]
    timestamps = [value for name, _, value in items if name == "t"]
    signatures = [value for name, _, value in items if name == "v1" and _HEX_DIGEST.fullmatch(value)]
    if len(timestamps) != 1 or not _TIMESTAMP.fullmatch(timestamps[0]):
        return None, []
    return timestamps[0], signatures
