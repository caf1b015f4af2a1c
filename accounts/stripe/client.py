"""Stripe's own SDK: every wait bounded, its errors in our words. Nothing of what is sent or answered is logged.

The only module that imports it, and one that is imported only where Stripe is configured.
"""

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import aiohttp
import stripe
import structlog

from accounts.errors import StripeRefused, StripeUnavailable
from accounts.stripe.auto_topup.rules import Intent

if TYPE_CHECKING:
    from stripe.params import CustomerCreateParams, PaymentIntentCreateParams
    from stripe.params.checkout import SessionCreateParams

T = TypeVar("T")

log = structlog.get_logger("farebox.stripe")

CONNECT_TIMEOUT_S = 5.0
# One attempt. Stripe answers in well under a second; a person waits for this.
ATTEMPT_TIMEOUT_S = 10.0
# After a failed attempt, with the same idempotency key; the SDK waits half a second to two before each.
MAX_RETRIES = 2
_REFUSALS = (stripe.CardError, stripe.InvalidRequestError)
# The most that Stripe lists at once. One customer does not start so many payments in a day.
_MOST_INTENTS = 100


Listed = Literal["payment_intents", "refunds", "disputes"]
LookedUp = Literal["payment_intents", "sessions"]


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

    async def charge(self, params: "PaymentIntentCreateParams", idempotency_key: str) -> Intent:
        """The payment intent that this key has made and confirmed, now or before; declined is an answer too."""
        options: Any = {"idempotency_key": idempotency_key}
        try:
            return _intent(await self._client.v1.payment_intents.create_async(params, options))
        except stripe.CardError as error:
            log.info("stripe_declined", code=_code(error))
            declined = getattr(getattr(error.error, "payment_intent", None), "id", None)
            intent_id = declined if isinstance(declined, str) else None
            return Intent(intent_id, "requires_payment_method", _code(error))
        except _TROUBLES as error:
            raise _in_our_words(error) from None

    async def find_intent(self, customer_id: str, mark: tuple[str, str], from_s: int, to_s: int) -> Intent | None:
        """The customer's payment intent with this in its metadata, made in this time; None: there certainly is none."""
        params: Any = {"customer": customer_id, "created": {"gte": from_s, "lte": to_s}, "limit": _MOST_INTENTS}
        found = await _call(self._client.v1.payment_intents.list_async(params))
        listed = getattr(found, "data", None)
        if not isinstance(listed, list):
            raise StripeUnavailable("a list without its entries")
        for intent in listed:
            if getattr(getattr(intent, "metadata", None), mark[0], None) == mark[1]:
                return _intent(intent)
        if getattr(found, "has_more", True):
            raise StripeUnavailable("a customer with more payments than are looked through")
        return None

    async def page(self, kind: Listed, params: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bool]:
        """A page of what there is, as plain JSON, newest first, and whether there is more. Raises as the others."""
        v1 = self._client.v1
        services: dict[Listed, Any] = {
            "payment_intents": v1.payment_intents,
            "refunds": v1.refunds,
            "disputes": v1.disputes,
        }
        found = await _call(services[kind].list_async(dict(params)))
        listed = getattr(found, "data", None)
        if not isinstance(listed, list):
            raise StripeUnavailable("a list without its entries")
        return [_plain(one) for one in listed], getattr(found, "has_more", None) is True

    async def look_up(self, kind: LookedUp, id: str) -> dict[str, Any] | None:
        """One of them as plain JSON; None where Stripe knows none of this id."""
        v1 = self._client.v1
        retrieve: Any = v1.payment_intents if kind == "payment_intents" else v1.checkout.sessions
        try:
            return _plain(await _call(retrieve.retrieve_async(id)))
        except StripeRefused as refused:
            if refused.reason != "resource_missing":
                raise
            return None

    async def card_face(self, payment_method_id: str) -> tuple[str, str] | None:
        """The brand and the last four digits of a saved card; None for what is no card."""
        method = await _call(self._client.v1.payment_methods.retrieve_async(payment_method_id))
        card = getattr(method, "card", None)
        return None if card is None else (_text_of(card, "brand"), _text_of(card, "last4"))

    async def detach(self, payment_method_id: str) -> None:
        """The card can never be charged again, by nobody."""
        await _call(self._client.v1.payment_methods.detach_async(payment_method_id))


# The SDK lets the others out while it reads an answer: the last ones, where that has not the shape it expects.
_TROUBLES = (
    stripe.StripeError,
    aiohttp.ClientError,
    OSError,
    TimeoutError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


async def _call(request: Awaitable[T]) -> T:
    try:
        return await request
    except _TROUBLES as error:
        raise _in_our_words(error) from None


def _in_our_words(error: Exception) -> StripeRefused | StripeUnavailable:
    if isinstance(error, _REFUSALS):
        log.warning("stripe_refused", error=type(error).__name__, status=error.http_status, code=_code(error))
        return _refused(error)
    if isinstance(error, stripe.StripeError):
        log.warning("stripe_failed", error=type(error).__name__, status=error.http_status, code=_code(error))
    else:
        log.warning("stripe_failed", error=type(error).__name__)
    return StripeUnavailable("payments cannot be started right now")


def _intent(answer: stripe.PaymentIntent) -> Intent:
    """An answer that is no payment intent is no answer: whoever asked knows no more than before."""
    failure = getattr(getattr(answer, "last_payment_error", None), "code", None)
    return Intent(_text_of(answer, "id"), _text_of(answer, "status"), failure)


def _refused(error: stripe.CardError | stripe.InvalidRequestError) -> StripeRefused:
    """A card's refusal is worded for the payer; the other texts quote our own settings."""
    if isinstance(error, stripe.CardError):
        return StripeRefused(error.user_message or "the card was declined", error.param, _code(error))
    return StripeRefused(f"Stripe refused the payment ({_code(error) or 'invalid request'})", error.param, _code(error))


def _code(error: stripe.StripeError) -> str | None:
    """Stripe's word for what is wrong, if it is a word."""
    return error.code if isinstance(error.code, str) and error.code.isidentifier() else None


def _plain(answer: object) -> dict[str, Any]:
    """Any answer of Stripe's as the JSON that it was."""
    return answer.to_dict() if isinstance(answer, stripe.StripeObject) else {}


def _text_of(answer: object, name: str) -> str:
    text = getattr(answer, name, None)
    if not isinstance(text, str) or not text:
        log.warning("stripe_failed", reason=f"an answer without {name}")
        raise StripeUnavailable("payments cannot be started right now")
    return text
