"""A verified event -> what is to be done. Pure; survives any JSON, and credits only what is exactly as it should be.

Works on the event as plain JSON, not on the SDK's objects: those have the shape of one API version, and events come in
the version that the account or the endpoint was made with.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import orjson

from accounts.errors import InvalidRequest
from accounts.stripe.auto_topup.rules import reason_word
from accounts.stripe.decisions import (
    Credit,
    Decision,
    Declined,
    EventHead,
    GiveBack,
    Ignored,
    NotPaid,
    Recorded,
    SaveCard,
    TakeBack,
)
from accounts.stripe.payments import Claim, ClaimKind
from ledger.money import MAX_NANOS

NANOS_PER_CENT = 10_000_000
# Marks what this program had paid, beside whatever else the same Stripe account sells.
OUR_MARK = "1"
# In the metadata of a payment that nobody was there for: the id of our attempt.
AUTO_TOPUP_MARK = "auto_topup"
_LATEST_S = 253_402_300_799  # the last second that a date can be
_MAX_CENTS = MAX_NANOS // NANOS_PER_CENT
# Stripe says that its ids have at most 255 characters; all are printable ASCII.
_PLAIN = re.compile(r"[!-~]{1,255}")
_Decider: TypeAlias = Callable[[Mapping[str, Any]], Decision]
_ANOTHERS = Ignored("another product's payment")


def metadata_of(user_id: UUID, wallet_id: UUID) -> dict[str, str]:
    """What everything that we have made at Stripe carries, and what is believed when it comes back."""
    return {"farebox": OUR_MARK, "user_id": str(user_id), "wallet_id": str(wallet_id)}


def parse(payload: bytes) -> Mapping[str, Any]:
    """Raises InvalidRequest for what is no JSON object."""
    try:
        event = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise InvalidRequest("the body is not valid JSON") from None
    return _object_or_refuse(event)


def head(event: Mapping[str, Any]) -> EventHead:
    """Raises InvalidRequest without an id or a type: such an event could not be told from its next delivery."""
    event_id, kind = _plain(event.get("id")), _plain(event.get("type"))
    if event_id is None or kind is None:
        raise InvalidRequest("not a Stripe event: id or type is missing")
    livemode = event.get("livemode", False)
    return EventHead(event_id, kind, _plain(event.get("api_version")), livemode if type(livemode) is bool else None)


def decide(event: Mapping[str, Any], live: bool | None) -> Decision:
    """`live`: what our own key is for; None if that is not known."""
    known = head(event)
    if live is not None and known.livemode is not live:
        return Ignored("test and live mode do not match")
    decider = _DECIDERS.get(known.type)
    if known.type == "setup_intent.succeeded":
        return _card_saved(_object(_object(event.get("data")).get("object")), known.livemode, event.get("created"))
    if decider is None:
        return Ignored("not a type that anything is done for")
    return decider(_object(_object(event.get("data")).get("object")))


def _completed(session: Mapping[str, Any]) -> Decision:
    status = session.get("payment_status")
    if status == "paid":
        return _credit(session)
    if status in ("unpaid", "no_payment_required"):
        return Recorded(f"payment status: {status}")
    return Ignored("unknown payment status")


def _paid_later(session: Mapping[str, Any]) -> Decision:
    # the type says it; the session may still say what it said when it was completed
    if session.get("payment_status", "paid") in ("paid", "unpaid"):
        return _credit(session)
    return Ignored("unknown payment status")


def _credit(session: Mapping[str, Any]) -> Decision:
    metadata = _object(session.get("metadata"))
    if metadata.get("farebox") != OUR_MARK:
        return _ANOTHERS
    if session.get("mode", "payment") != "payment":
        return Ignored("not a single payment")
    if session.get("currency") != "usd":
        return Ignored("wrong currency")
    session_id, amount = _plain(session.get("id")), nanos_of_cents(session.get("amount_total"))
    if session_id is None or amount is None:
        return Ignored("no session id, or an amount that is not whole cents in range")
    if amount == 0:
        return Recorded("nothing was paid")
    payer = _payer(metadata)
    if payer is None:
        return Ignored("unknown user")
    return Credit(session_id, _reference(session.get("payment_intent")), *payer, amount)


def _not_paid(session: Mapping[str, Any]) -> Decision:
    """Nothing is done but telling the payer, if it is one of ours."""
    metadata = _object(session.get("metadata"))
    session_id, amount, payer = _plain(session.get("id")), nanos_of_cents(session.get("amount_total")), _payer(metadata)
    if metadata.get("farebox") != OUR_MARK or session_id is None or amount is None or payer is None:
        return Recorded("the payment failed")
    return NotPaid(session_id, *payer, amount)


def _charged(intent: Mapping[str, Any]) -> Decision:
    """An auto top-up's payment intent. A checkout's has our metadata too; its session is what is credited."""
    metadata = _object(intent.get("metadata"))
    if metadata.get("farebox") != OUR_MARK:
        return _ANOTHERS
    if AUTO_TOPUP_MARK not in metadata:
        return Recorded("a checkout's payment: its session tells")
    if intent.get("status", "succeeded") != "succeeded":
        return Ignored("unknown payment status")
    if intent.get("currency") != "usd":
        return Ignored("wrong currency")
    attempt_id, payer = _uuid(metadata[AUTO_TOPUP_MARK]), _payer(metadata)
    if attempt_id is None or payer is None:
        return Ignored("unknown user or attempt")
    intent_id = _plain(intent.get("id"))
    amount = nanos_of_cents(intent.get("amount_received", intent.get("amount")))
    if intent_id is None or not amount:
        return Ignored("no id, or an amount that is not whole cents in range")
    return Credit(None, intent_id, *payer, amount, attempt_id)


def _declined(intent: Mapping[str, Any]) -> Decision:
    """At a checkout the payer is there to try again. Where nobody was there, nothing more will come."""
    metadata = _object(intent.get("metadata"))
    attempt_id, intent_id = _uuid(metadata.get(AUTO_TOPUP_MARK)), _plain(intent.get("id"))
    if metadata.get("farebox") != OUR_MARK or attempt_id is None or intent_id is None:
        return Recorded("the payment failed")
    code = _object(intent.get("last_payment_error")).get("code")
    return Declined(attempt_id, intent_id, reason_word(code, "card_declined"))


def _card_saved(intent: Mapping[str, Any], livemode: bool | None, created_s: Any) -> Decision:
    metadata = _object(intent.get("metadata"))
    if metadata.get("farebox") != OUR_MARK:
        return Ignored("another product's card")
    customer_id, method_id = _reference(intent.get("customer")), _reference(intent.get("payment_method"))
    payer = _payer(metadata)
    if payer is None or customer_id is None or method_id is None or livemode is None:
        return Ignored("no user, customer or payment method, or neither of the modes")
    if type(created_s) is not int or not 0 <= created_s <= _LATEST_S:
        return Ignored("no time")
    return SaveCard(*payer, customer_id, method_id, livemode, datetime.fromtimestamp(created_s, UTC))


def _charge_refunded(charge: Mapping[str, Any]) -> Decision:
    return _take_back(_claim("charge", charge, "amount_refunded"))


def _refund(refund: Mapping[str, Any]) -> Decision:
    claim = _claim("refund", refund, "amount")
    if refund.get("status") in ("succeeded", "pending", "requires_action"):
        return _take_back(claim)
    if refund.get("status") in ("failed", "canceled"):
        return _give_back(claim)
    return Ignored("unknown refund status")


def _dispute(dispute: Mapping[str, Any]) -> Decision:
    """Whatever status it has got to: a closed one that is lost may be the first that we hear of it."""
    status = dispute.get("status", "needs_response")
    if status in ("needs_response", "under_review", "lost", "appeal_needs_response", "appeal_under_review"):
        return _take_back(_claim("dispute", dispute, "amount"))
    if status in ("won", "warning_closed", "prevented"):
        return _give_back(_claim("dispute", dispute, "amount"))
    if status in ("warning_needs_response", "warning_under_review"):
        return Recorded("an inquiry: no money has moved")
    return Ignored("unknown dispute status")


def _withdrawn(dispute: Mapping[str, Any]) -> Decision:
    return _take_back(_claim("dispute", dispute, "amount"))


def _reinstated(dispute: Mapping[str, Any]) -> Decision:
    return _give_back(_claim("dispute", dispute, "amount"))


_DECIDERS: Mapping[str, _Decider] = {
    "checkout.session.completed": _completed,
    "checkout.session.async_payment_succeeded": _paid_later,
    "checkout.session.async_payment_failed": _not_paid,
    "payment_intent.succeeded": _charged,
    "payment_intent.payment_failed": _declined,
    "charge.refunded": _charge_refunded,
    "charge.refund.updated": _refund,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.dispute.created": _dispute,
    "charge.dispute.updated": _dispute,
    "charge.dispute.closed": _dispute,
    "charge.dispute.funds_withdrawn": _withdrawn,
    "charge.dispute.funds_reinstated": _reinstated,
}
# What the endpoint has to be told of.
EVENT_TYPES = (*_DECIDERS, "setup_intent.succeeded")


def _claim(kind: ClaimKind, thing: Mapping[str, Any], amount_field: str) -> Claim | Ignored:
    claim_id, intent_id = _plain(thing.get("id")), _reference(thing.get("payment_intent"))
    amount = nanos_of_cents(thing.get(amount_field))
    if claim_id is None or intent_id is None:
        return Ignored("no id, or no payment intent")
    if amount is None:
        return Ignored("an amount that is not whole cents in range")
    if thing.get("currency") != "usd":
        return Ignored("wrong currency")
    return Claim(claim_id, kind, intent_id, amount)


def _take_back(claim: Claim | Ignored) -> Decision:
    return TakeBack(claim) if isinstance(claim, Claim) else claim


def _give_back(claim: Claim | Ignored) -> Decision:
    return GiveBack(claim) if isinstance(claim, Claim) else claim


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _object_or_refuse(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest("the body must be a JSON object")
    return value


def _plain(value: Any) -> str | None:
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else None


def _reference(value: Any) -> str | None:
    """An id, or the object itself where the sender expanded it."""
    return _plain(_object(value).get("id", value))


def nanos_of_cents(cents: Any) -> int | None:
    """None for what is no whole amount of cents in range; bool is an int in Python."""
    return cents * NANOS_PER_CENT if type(cents) is int and 0 <= cents <= _MAX_CENTS else None


def _payer(metadata: Mapping[str, Any]) -> tuple[UUID, UUID] | None:
    """The user and the wallet."""
    user_id, wallet_id = _uuid(metadata.get("user_id")), _uuid(metadata.get("wallet_id"))
    return None if user_id is None or wallet_id is None else (user_id, wallet_id)


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
