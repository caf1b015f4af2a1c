"""Standard Webhooks, with the vector that its own libraries are tested with."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from accounts.notices.signing import Event, body_of, signed_headers

EVENT = Event(
    UUID(int=1),
    "balance.low",
    UUID(int=2),
    {"threshold": "5", "balance": "4.5"},
    datetime(2026, 11, 22, 10, tzinfo=UTC),
)
SECRETS = (b"a" * 24, b"b" * 64)


def test_the_body_is_the_same_bytes_whatever_the_order_of_the_facts() -> None:
    other = Event(EVENT.id, EVENT.kind, EVENT.user_id, dict(sorted(EVENT.facts.items())), EVENT.created_at)
    assert body_of(EVENT) == body_of(other)
    assert json.loads(body_of(EVENT)) == {
        "type": "balance.low",
        "timestamp": "2026-11-22T10:00:00.000Z",
        "data": {"user_id": "00000000-0000-0000-0000-000000000002", "balance": "4.5", "threshold": "5"},
    }


def test_each_secret_signs_id_time_and_body() -> None:
    headers = signed_headers(EVENT.id, 1_790_000_000, b"{}", SECRETS)
    message = f"{EVENT.id}.1790000000.{{}}".encode()
    wanted = [
        "v1," + base64.b64encode(hmac.new(secret, message, hashlib.sha256).digest()).decode() for secret in SECRETS
    ]
    assert headers == {
        "webhook-id": str(EVENT.id),
        "webhook-timestamp": "1790000000",
        "webhook-signature": " ".join(wanted),
    }


def test_a_changed_body_id_or_time_has_another_signature() -> None:
    def signature(event_id: UUID, at_s: int, body: bytes) -> str:
        return signed_headers(event_id, at_s, body, SECRETS[:1])["webhook-signature"]

    variants = {
        signature(EVENT.id, 1, b"a"),
        signature(UUID(int=9), 1, b"a"),
        signature(EVENT.id, 2, b"a"),
        signature(EVENT.id, 1, b"b"),
    }
    assert len(variants) == 4


def test_the_published_vector() -> None:
    """Of the specification's reference libraries. Their ids are any text, ours UUIDs: text does here too."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    event_id: Any = "msg_p5jXN8AQM9LWM0D4loKWxJek"
    headers = signed_headers(event_id, 1_614_265_330, b'{"test": 2432232314}', [secret])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
