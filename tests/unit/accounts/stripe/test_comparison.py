from typing import Any
from uuid import UUID

import pytest

from accounts.stripe.comparison import Booked, Difference, Paid, claim_of, compare, paid_of
from accounts.stripe.payments import Claim

CENT = 10_000_000
USER = UUID(int=7)
OURS = {"farebox": "1", "user_id": str(USER)}
INTENT: dict[str, Any] = {
    "id": "pi_1", "object": "payment_intent", "status": "succeeded", "currency": "usd", "amount": 500,
    "amount_received": 500, "created": 9, "metadata": OURS,
}  # fmt: skip
PAID = Paid("pi_1", 500 * CENT, 9, str(USER))
BOOKED = Booked("cs_1", "pi_1", USER, 500 * CENT, 0, 0, 500 * CENT, 0)
REFUND = {"id": "re_1", "amount": 200, "currency": "usd", "payment_intent": "pi_1", "status": "succeeded"}


def booked(**changes: Any) -> Booked:
    fields = {name: getattr(BOOKED, name) for name in BOOKED.__slots__}
    return Booked(**(fields | changes))


def test_a_payment_of_ours() -> None:
    assert paid_of(INTENT) == PAID
    assert paid_of(INTENT | {"currency": "eur"}) == Paid("pi_1", None, 9, str(USER))


@pytest.mark.parametrize(
    "change", [{"metadata": {}}, {"metadata": None}, {"status": "processing"}, {"status": None}, {"id": None}]
)
def test_what_is_none(change: dict[str, Any]) -> None:
    assert paid_of(INTENT | change) is None
    assert paid_of({}) is None


@pytest.mark.parametrize(("status", "is_dropped"), [("succeeded", False), ("pending", False), ("failed", True)])
def test_a_refund_is_read_as_its_event_would_be(status: str, is_dropped: bool) -> None:
    assert claim_of(REFUND | {"status": status}, "refunds") == Claim("re_1", "refund", "pi_1", 200 * CENT, is_dropped)


def test_a_dispute_is_read_as_its_event_would_be() -> None:
    for status, is_dropped in (("needs_response", False), ("lost", False), ("won", True)):
        claim = claim_of(REFUND | {"id": "du_1", "status": status}, "disputes")
        assert claim == Claim("du_1", "dispute", "pi_1", 200 * CENT, is_dropped)
    assert claim_of(REFUND | {"status": "warning_needs_response"}, "disputes") is None
    assert claim_of(REFUND | {"currency": "eur"}, "refunds") is None
    assert claim_of({}, "refunds") is None


def kinds(paid: dict[str, Paid], known: list[Booked], claims: list[Claim] | None = None, young: str = "") -> list[str]:
    return [one.kind for one in compare(paid, known, claims or [], list(paid), {young})]


def test_the_same_agrees() -> None:
    assert compare({"pi_1": PAID}, [BOOKED], [], ["pi_1"]) == []
    assert compare({}, [], [], []) == []


def test_each_way_to_differ() -> None:
    assert compare({"pi_1": PAID}, [], [], ["pi_1"]) == [
        Difference("missing_here", "pi_1", str(USER), 500 * CENT, None)
    ]
    assert compare({}, [BOOKED], [], []) == [Difference("missing_there", "pi_1", str(USER), None, 500 * CENT)]
    assert kinds({"pi_1": PAID}, [booked(credited_nanos=1, topup_nanos=1)]) == ["amount"]
    assert kinds({"pi_1": PAID}, [booked(topup_nanos=1)]) == ["history"]
    assert kinds({"pi_1": PAID}, [booked(refunds_nanos=1)]) == ["history"]
    assert kinds({"pi_1": PAID}, [booked(gone_back_nanos=1, refunds_nanos=1)]) == ["refund"]


def test_what_went_back_or_is_owed_is_what_is_claimed() -> None:
    claims = [Claim("re_1", "refund", "pi_1", 200 * CENT), Claim("re_2", "refund", "pi_1", 9, is_dropped=True)]
    back = booked(gone_back_nanos=150 * CENT, refunds_nanos=150 * CENT, owed_nanos=50 * CENT)
    assert kinds({"pi_1": PAID}, [back], claims) == []
    assert kinds({"pi_1": PAID}, [BOOKED], claims) == ["refund"]
    assert kinds({"pi_1": PAID}, [BOOKED], claims, young="re_1") == []
    assert kinds({"pi_1": PAID}, [back], claims, young="re_1") == []
    assert kinds({"pi_1": PAID}, [booked(gone_back_nanos=1, refunds_nanos=1)], claims, young="re_1") == ["refund"]
