"""An event as a webhook carries it, signed as Standard Webhooks (standardwebhooks.com) says. Pure."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson


@dataclass(frozen=True, slots=True)
class Event:
    """What happened. `id` is the same at every attempt: receivers tell by it what they know already."""

    id: UUID
    kind: str
    user_id: UUID
    facts: Mapping[str, Any]
    created_at: datetime


def body_of(event: Event) -> bytes:
    """`{"type", "timestamp", "data": {"user_id", …facts}}`, the same bytes at every attempt."""
    moment = event.created_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data = {"user_id": str(event.user_id), **event.facts}
    return orjson.dumps({"type": event.kind, "timestamp": moment, "data": data}, option=orjson.OPT_SORT_KEYS)


def signed_headers(event_id: UUID, at_s: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """The three headers; one signature per secret, so that a secret can be replaced without a gap."""
    message = f"{event_id}.{at_s}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(secret, message, hashlib.sha256)).decode() for secret in secrets]
    return {
        "webhook-id": str(event_id),
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
