"""Tables of what each event says, and events in which anything may be anything."""

import copy
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe.params import WebhookEndpointCreateParams

from accounts.errors import InvalidRequest
from accounts.stripe.decisions import (
    Credit,
    Declined,
    EventHead,
    GiveBack,
    Ignored,
    NotPaid,
    Recorded,
    SaveCard,
    TakeBack,
)
from accounts.stripe.events import EVENT_TYPES, decide, head, parse
from accounts.stripe.payments import Claim
from ledger.money import MAX_NANOS

USER, WALLET = UUID(int=1), UUID(int=2)
CENT = 10_000_000

SESSION: Mapping[str, Any] = {
    "id": "cs_1",
    "mode": "payment",
    "currency": "usd",
    "amount_total": 1999,
    "payment_status": "paid",
    "payment_intent": "pi_1",
    "metadata": {"farebox": "1", "user_id": str(USER), "wallet_id": str(WALLET)},
}
CHARGE: Mapping[str, Any] = {"id": "ch_1", "payment_intent": "pi_1", "amount_refunded": 300, "currency": "usd"}
REFUND: Mapping[str, Any] = {
    "id": "re_1",
    "payment_intent": "pi_1",
    "amount": 300,
    "currency": "usd",
    "status": "succeeded",
}
DISPUTE: Mapping[str, Any] = {**REFUND, "id": "du_1", "status": "needs_response"}
CREDIT = Credit("cs_1", "pi_1", USER, WALLET, 1999 * CENT)
ATTEMPT = UUID(int=3)
INTENT: Mapping[str, Any] = {
    "id": "pi_1",
    "status": "succeeded",
    "currency": "usd",
    "amount": 1999,
    "amount_received": 1999,
    "metadata": {**SESSION["metadata"], "auto_topup": str(ATTEMPT)},
}
ERROR = {"code": "expired_card", "decline_code": "stolen_card", "message": "x"}
SETUP: Mapping[str, Any] = {"customer": "cus_1", "payment_method": "pm_1", "metadata": SESSION["metadata"]}


def event(kind: str, about: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    made = {"id": "evt_1", "type": kind, "api_version": "2026-10-28.endive", "livemode": False, "created": 1795348800}
    return made | {"data": {"object": copy.deepcopy(dict(about))}} | changes


def claim(about: Mapping[str, Any], kind: Any, cents: int = 300) -> Claim:
    return Claim(about["id"], kind, "pi_1", cents * CENT)


@pytest.mark.parametrize(
    ("kind", "about", "decision"),
    [
        ("checkout.session.completed", SESSION, CREDIT),
        ("checkout.session.completed", {**SESSION, "payment_status": "unpaid"}, Recorded("payment status: unpaid")),
        ("checkout.session.completed", {**SESSION, "amount_total": 0}, Recorded("nothing was paid")),
        ("checkout.session.async_payment_succeeded", SESSION, CREDIT),
        ("checkout.session.async_payment_succeeded", {**SESSION, "payment_status": "unpaid"}, CREDIT),
        ("checkout.session.async_payment_failed", SESSION, NotPaid("cs_1", USER, WALLET, 1999 * CENT)),
        ("checkout.session.async_payment_failed", {**SESSION, "metadata": {}}, Recorded("the payment failed")),
        ("payment_intent.succeeded", INTENT, Credit(None, "pi_1", USER, WALLET, 1999 * CENT, ATTEMPT)),
        ("payment_intent.succeeded", {**INTENT, "metadata": {}}, Ignored("another product's payment")),
        (
            "payment_intent.succeeded",
            {**INTENT, "metadata": SESSION["metadata"]},
            Recorded("a checkout's payment: its session tells"),
        ),
        ("payment_intent.succeeded", {**INTENT, "currency": "eur"}, Ignored("wrong currency")),
        ("payment_intent.succeeded", {**INTENT, "status": "processing"}, Ignored("unknown payment status")),
        (
            "payment_intent.succeeded",
            {**INTENT, "amount_received": 0},
            Ignored("no id, or an amount that is not whole cents in range"),
        ),
        (
            "payment_intent.succeeded",
            {**INTENT, "metadata": {**SESSION["metadata"], "auto_topup": "x"}},
            Ignored("unknown user or attempt"),
        ),
        (
            "payment_intent.payment_failed",
            {**INTENT, "last_payment_error": ERROR},
            Declined(ATTEMPT, "pi_1", "expired_card"),
        ),
        ("payment_intent.payment_failed", INTENT, Declined(ATTEMPT, "pi_1", "card_declined")),
        ("payment_intent.payment_failed", {**INTENT, "metadata": {}}, Recorded("the payment failed")),
        (
            "setup_intent.succeeded",
            SETUP,
            SaveCard(USER, WALLET, "cus_1", "pm_1", False, datetime(2026, 11, 22, 12, tzinfo=UTC)),
        ),
        ("setup_intent.succeeded", {**SETUP, "metadata": {}}, Ignored("another product's card")),
        (
            "setup_intent.succeeded",
            {**SETUP, "customer": None},
            Ignored("no user, customer or payment method, or neither of the modes"),
        ),
        ("payment_intent.payment_failed", {"id": "pi_1"}, Recorded("the payment failed")),
        ("charge.refunded", CHARGE, TakeBack(claim(CHARGE, "charge"))),
        ("refund.created", REFUND, TakeBack(claim(REFUND, "refund"))),
        ("refund.created", {**REFUND, "status": "pending"}, TakeBack(claim(REFUND, "refund"))),
        ("refund.updated", {**REFUND, "status": "requires_action"}, TakeBack(claim(REFUND, "refund"))),
        ("refund.updated", {**REFUND, "status": "failed"}, GiveBack(claim(REFUND, "refund"))),
        ("refund.failed", {**REFUND, "status": "failed"}, GiveBack(claim(REFUND, "refund"))),
        ("charge.refund.updated", {**REFUND, "status": "canceled"}, GiveBack(claim(REFUND, "refund"))),
        ("refund.updated", {**REFUND, "status": None}, Ignored("unknown refund status")),
        ("charge.dispute.created", DISPUTE, TakeBack(claim(DISPUTE, "dispute"))),
        ("charge.dispute.created", {**DISPUTE, "status": "lost"}, TakeBack(claim(DISPUTE, "dispute"))),
        ("charge.dispute.updated", {**DISPUTE, "status": "under_review"}, TakeBack(claim(DISPUTE, "dispute"))),
        ("charge.dispute.closed", {**DISPUTE, "status": "won"}, GiveBack(claim(DISPUTE, "dispute"))),
        ("charge.dispute.closed", {**DISPUTE, "status": "lost"}, TakeBack(claim(DISPUTE, "dispute"))),
        ("charge.dispute.closed", {**DISPUTE, "status": "warning_closed"}, GiveBack(claim(DISPUTE, "dispute"))),
        ("charge.dispute.closed", {**DISPUTE, "status": "?"}, Ignored("unknown dispute status")),
        (
            "charge.dispute.created",
            {**DISPUTE, "status": "warning_needs_response"},
            Recorded("an inquiry: no money has moved"),
        ),
        ("charge.dispute.funds_withdrawn", {**DISPUTE, "status": "?"}, TakeBack(claim(DISPUTE, "dispute"))),
        ("charge.dispute.funds_reinstated", {**DISPUTE, "status": "?"}, GiveBack(claim(DISPUTE, "dispute"))),
        ("customer.created", {"id": "cus_1"}, Ignored("not a type that anything is done for")),
    ],
)
def test_what_an_event_says(kind: str, about: Mapping[str, Any], decision: object) -> None:
    assert decide(event(kind, about), live=False) == decision


@pytest.mark.parametrize("field", ["id", "currency", "amount_total", "payment_status", "metadata"])
def test_a_session_without_what_a_credit_needs_is_ignored(field: str) -> None:
    without = {name: value for name, value in SESSION.items() if name != field}
    assert isinstance(decide(event("checkout.session.completed", without), live=False), Ignored)


@pytest.mark.parametrize("amount", [-1, 1.0, 19.99, "1999", True, None, [1999], {"value": 1999}, MAX_NANOS // CENT + 1])
def test_only_whole_cents_are_an_amount(amount: Any) -> None:
    for kind, about, field in (
        ("checkout.session.completed", SESSION, "amount_total"),
        ("charge.refunded", CHARGE, "amount_refunded"),
        ("refund.created", REFUND, "amount"),
        ("charge.dispute.created", DISPUTE, "amount"),
    ):
        assert isinstance(decide(event(kind, {**about, field: amount}), live=False), Ignored)


@pytest.mark.parametrize("currency", ["eur", "USD", "", None, 7])
def test_only_dollars_are_dollars(currency: Any) -> None:
    for kind, about in (
        ("checkout.session.completed", SESSION),
        ("charge.refunded", CHARGE),
        ("refund.created", REFUND),
    ):
        assert decide(event(kind, {**about, "currency": currency}), live=False) == Ignored("wrong currency")


@pytest.mark.parametrize("mark", [None, "0", 1, True, "farebox", ""])
def test_only_our_mark_is_ours(mark: Any) -> None:
    metadata = {**SESSION["metadata"], "farebox": mark}
    decision = decide(event("checkout.session.completed", {**SESSION, "metadata": metadata}), live=False)
    assert decision == Ignored("another product's payment")


def test_an_expanded_payment_intent_is_its_id() -> None:
    about = {**SESSION, "payment_intent": {"id": "pi_1", "object": "payment_intent"}}
    assert decide(event("checkout.session.completed", about), live=False) == CREDIT


@pytest.mark.parametrize(
    ("livemode", "live", "good"),
    [
        (True, True, True),
        (False, False, True),
        (True, False, False),
        (False, True, False),
        (True, None, True),
        (False, None, True),
        ("true", True, False),
        (None, True, False),
        (None, False, False),
        (1, True, False),
    ],
)
def test_test_and_live_mode_are_not_mixed_up(livemode: Any, live: bool | None, good: bool) -> None:
    decision = decide(event("checkout.session.completed", SESSION, livemode=livemode), live=live)
    assert isinstance(decision, Credit) is good


def test_an_event_that_does_not_say_is_one_for_tests() -> None:
    silent = event("checkout.session.completed", SESSION)
    del silent["livemode"]
    assert decide(silent, live=False) == CREDIT
    assert isinstance(decide(silent, live=True), Ignored)


def test_of_every_event_its_head_is_known() -> None:
    assert head(event("x", {})) == EventHead("evt_1", "x", "2026-10-28.endive", False)
    assert head(event("x", {}, api_version=7, livemode="?")) == EventHead("evt_1", "x", None, None)


@pytest.mark.parametrize(
    "changes", [{"id": None}, {"id": ""}, {"id": "e" * 256}, {"id": "a b"}, {"id": "\0"}, {"type": []}]
)
def test_without_an_id_and_a_type_it_is_no_event(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        decide(event("x", {}, **changes), live=None)


@given(st.binary() | st.sampled_from([b"[" * 2000, b'{"a": "\\ud800"}', b"NaN", b"[1]", b'"x"']))
def test_what_is_no_json_object_is_refused(payload: bytes) -> None:
    try:
        assert isinstance(parse(payload), dict)
    except InvalidRequest:
        pass


def test_a_json_object_is_read() -> None:
    assert parse(orjson.dumps(event("x", {}))) == event("x", {})


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
# All that a credit hangs on. The id may be any, the payment intent may be missing, and the rest has to be exact.
NEEDED = ("currency", "amount_total", "payment_status", "metadata", "mode")


def _is_as_it_was(field: str, value: Any) -> bool:
    return type(value) is type(SESSION[field]) and value == SESSION[field]


@given(st.sampled_from(NEEDED), anything)
def test_no_odd_field_credits(field: str, value: Any) -> None:
    decision = decide(event("checkout.session.completed", {**SESSION, field: value}), live=False)
    if isinstance(decision, Credit) and not _is_as_it_was(field, value):
        assert field == "amount_total" and type(value) is int and decision.amount_nanos == value * CENT > 0


@given(st.sampled_from(["farebox", "user_id", "wallet_id"]), anything)
def test_no_odd_metadata_credits(field: str, value: Any) -> None:
    about = {**SESSION, "metadata": {**SESSION["metadata"], field: value}}
    decision = decide(event("checkout.session.completed", about), live=False)
    if isinstance(decision, Credit):
        assert UUID(about["metadata"][field]) if field != "farebox" else value == "1"


@given(st.sampled_from([*INTENT]), anything)
def test_no_odd_field_of_an_intent_credits(field: str, value: Any) -> None:
    decision = decide(event("payment_intent.succeeded", {**INTENT, field: value}), live=False)
    if isinstance(decision, Credit) and value != INTENT[field]:
        assert field in ("id", "amount", "amount_received")
        assert field != "amount_received" or decision.amount_nanos == value * CENT > 0


@pytest.mark.parametrize("created", [None, "now", -1, 1e9, True, 1 << 60])
def test_a_card_that_was_saved_at_no_time_is_not_saved(created: Any) -> None:
    assert decide(event("setup_intent.succeeded", SETUP, created=created), live=False) == Ignored("no time")


@given(st.sampled_from(EVENT_TYPES), anything, st.none() | st.booleans())
def test_no_odd_object_credits_or_raises(kind: str, about: Any, live: bool | None) -> None:
    for odd in (event(kind, {}, data=about), event(kind, {}, data={"object": about})):
        assert isinstance(decide(odd, live), Ignored | Recorded)


@given(
    st.sampled_from(EVENT_TYPES),
    st.dictionaries(st.sampled_from([*SESSION, *REFUND, *CHARGE, *INTENT, *SETUP]), anything),
)
def test_no_odd_mixture_credits_or_raises(kind: str, fields: dict[str, Any]) -> None:
    decision = decide(event(kind, fields), live=False)
    assert not isinstance(decision, Credit)


def test_every_type_is_one_that_stripe_has() -> None:
    assert set(EVENT_TYPES) <= set(_declared_event_types())


def _declared_event_types() -> Iterator[str]:
    """As the SDK lets one ask for, when it makes a webhook endpoint."""
    pending = [WebhookEndpointCreateParams.__annotations__["enabled_events"]]
    while pending:
        found = pending.pop()
        if isinstance(found, str):
            yield found
        pending += get_args(found)
