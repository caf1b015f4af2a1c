"""What Stripe tells us: verified, decided, booked, then told to Redis."""

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol
from uuid import UUID

import structlog
from redis.exceptions import RedisError

from accounts.errors import BadSignature, TooLarge
from accounts.stripe import events
from accounts.stripe.book import Book, Receipt
from accounts.stripe.signature import is_signed
from ledger.postgres import Store
from runtime.clock import ClockMs, wall_ms
from runtime.postgres import UNAVAILABLE

log = structlog.get_logger("farebox.stripe")

# Events are a few KiB; a charge with a long list of refunds may be some hundred.
MAX_PAYLOAD_BYTES = 1 << 20
_PUSH_FAILURES: tuple[type[BaseException], ...] = (*UNAVAILABLE, RedisError)
Mode = Literal["live", "test"]


class Mirror(Protocol):
    """Brings a committed change to every proxy."""

    async def push_wallets(self, wallet_ids: Iterable[UUID]) -> None: ...


def mode_of(secret_key: str | None) -> Mode | None:
    """What a key is for: `sk_live_…`, `rk_test_…`; None where it does not say."""
    parts = (secret_key or "").split("_", 2)
    if parts[0] in ("sk", "rk") and len(parts) == 3:
        return "live" if parts[1] == "live" else "test" if parts[1] == "test" else None
    return None


def is_live(secret_key: str | None) -> bool | None:
    """Does it move real money? None where it does not say."""
    mode = mode_of(secret_key)
    return None if mode is None else mode == "live"


class Webhook:
    """`secrets`: for signing, several while one is being replaced. `secret_key`: only to tell test from live."""

    def __init__(
        self,
        store: Store,
        mirror: Mirror,
        secrets: Sequence[str],
        secret_key: str | None,
        clock_ms: ClockMs = wall_ms,
    ) -> None:
        if not secrets or not all(secret.strip() for secret in secrets):
            raise ValueError("a webhook without a signing secret would believe everybody")
        self._book = Book(store.pool)
        self._mirror = mirror
        self._secrets = [secret.encode() for secret in secrets]
        self._live = is_live(secret_key)
        self._clock_ms = clock_ms

    async def handle(self, payload: bytes, signature: str | None) -> Receipt:
        """Returns once what the event asks for is committed; only then may Stripe be told that it was received.

        Raises TooLarge, BadSignature, InvalidRequest, or UNAVAILABLE, after which Stripe delivers again.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise TooLarge(f"the body is longer than {MAX_PAYLOAD_BYTES} bytes")
        if not is_signed(payload, signature, self._secrets, self._clock_ms() // 1000):
            raise BadSignature("the signature is missing, wrong or too old")
        event = events.parse(payload)
        head = events.head(event)
        receipt = await self._book.enter(head, events.decide(event, self._live))
        log.info("stripe_event", data=head.type, code=receipt.outcome, reason=receipt.reason)
        if receipt.wallet_id is not None:
            await self._push(receipt.wallet_id)
        return receipt

    async def _push(self, wallet_id: UUID) -> None:
        try:
            await self._mirror.push_wallets([wallet_id])
        except _PUSH_FAILURES as error:  # committed and announced: the mirror's sweep makes up for it
            log.warning("stripe_push_failed", wallet_id=str(wallet_id), error=type(error).__name__)
