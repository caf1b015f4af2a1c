"""Stripe's own SDK: every wait bounded, its errors in our words. Nothing of what is sent or answered is logged."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import stripe
import structlog

from accounts.errors import StripeRefused, StripeUnavailable

if TYPE_CHECKING:
    from stripe.params import CustomerCreateParams
    from stripe.params.checkout import SessionCreateParams

T = TypeVar("T")

log = structlog.get_logger("farebox.stripe")

CONNECT_TIMEOUT_S = 5.0
# One attempt. Stripe answers in well under a second; a person waits for this.
ATTEMPT_TIMEOUT_S = 10.0
# After a failed attempt, with the same idempotency key; the SDK waits half a second to two before each.
MAX_RETRIES = 2
_REFUSALS = (stripe.CardError, stripe.InvalidRequestError)


class StripeApi:
    """The few calls that we make. All raise StripeUnavailable, or StripeRefused for what will not get better."""

    def __init__(self, secret_key: str, api_base: str, *, attempt_timeout_s: float = ATTEMPT_TIMEOUT_S) -> None:
        timeout = aiohttp.ClientTimeout(total=attempt_timeout_s, connect=CONNECT_TIMEOUT_S)
        self._http = stripe.AIOHTTPClient(timeout=timeout)
        self._client = stripe.StripeClient(
            secret_key,
            base_addresses={"api": api_base},
            http_client=self._http,
            max_network_retries=MAX_RETRIES,
        )

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]  # the SDK's gap

    async def create_customer(self, params: "CustomerCreateParams", idempotency_key: str) -> str:
        """The id of the customer that this key has made, now or before."""
        options: Any = {"idempotency_key": idempotency_key}
        customer = await _call(self._client.v1.customers.create_async(params, options))
        return _text_of(customer, "id")

    async def create_session(self, params: "SessionCreateParams", idempotency_key: str) -> tuple[str, str]:
        """The id and the address of a checkout page."""
        options: Any = {"idempotency_key": idempotency_key}
        session = await _call(self._client.v1.checkout.sessions.create_async(params, options))
        return _text_of(session, "id"), _text_of(session, "url")


async def _call(request: Awaitable[T]) -> T:
    try:
        return await request
    except _REFUSALS as error:
        log.warning("stripe_refused", error=type(error).__name__, status=error.http_status, code=_code(error))
        raise _refused(error) from None
    except stripe.StripeError as error:
        log.warning("stripe_failed", error=type(error).__name__, status=error.http_status, code=_code(error))
        raise StripeUnavailable("payments cannot be started right now") from None
    except (aiohttp.ClientError, OSError, TimeoutError) as error:  # the SDK lets them out while it reads an answer
        log.warning("stripe_failed", error=type(error).__name__)
        raise StripeUnavailable("payments cannot be started right now") from None


def _refused(error: stripe.CardError | stripe.InvalidRequestError) -> StripeRefused:
    """A card's refusal is worded for the payer; the other texts quote our own settings."""
    if isinstance(error, stripe.CardError):
        return StripeRefused(error.user_message or "the card was declined", error.param, _code(error))
    return StripeRefused(f"Stripe refused the payment ({_code(error) or 'invalid request'})", error.param, _code(error))


def _code(error: stripe.StripeError) -> str | None:
    """Stripe's word for what is wrong, if it is a word."""
    return error.code if isinstance(error.code, str) and error.code.isidentifier() else None


def _text_of(answer: object, name: str) -> str:
    text = getattr(answer, name, None)
    if not isinstance(text, str) or not text:
        log.warning("stripe_failed", reason=f"an answer without {name}")
        raise StripeUnavailable("payments cannot be started right now")
    return text
