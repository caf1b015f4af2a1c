"""What is printed; what is found is in tests/integration/test_stripe_reconciling.py."""

from datetime import UTC, datetime

import orjson

from accounts.stripe.comparison import Difference
from accounts.stripe.reconciling import Comparison
from proxy.cli.reconcile_stripe import _SHOWN, _json, _text

BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC)
MISSING = Difference("missing_here", "pi_1", None, 5_000_000_000, None)
OTHER = Difference("amount", "pi_2", "u", 1_010_000_000, 1_000_000_000)


def test_what_agrees() -> None:
    found = Comparison(2, 3_000_000_000, 2, 3_000_000_000, [])
    assert _text(BEGIN, END, found).endswith("\nthey agree")
    assert b'"paid":3,' in orjson.dumps(_json(BEGIN, END, found), default=str)


def test_what_differs_is_listed() -> None:
    found = Comparison(2, 6_010_000_000, 1, 1_000_000_000, [MISSING, OTHER])
    text = _text(BEGIN, END, found)
    assert "paid, not credited" in text and "at Stripe $5, here nothing  user unknown" in text
    assert "at Stripe $1.01, here $1  user u" in text and text.endswith("they DIFFER in 2")
    printed = orjson.loads(orjson.dumps(_json(BEGIN, END, found), default=str))
    assert printed["agrees"] is False and printed["differences"][0]["here"] is None
    assert printed["differences"][1] == {
        "kind": "amount", "payment": "pi_2", "user_id": "u", "at_stripe": 1.01, "here": 1,
    }  # fmt: skip


def test_more_than_a_screen_is_left_to_json() -> None:
    found = Comparison(0, 0, 0, 0, [MISSING] * (_SHOWN + 7))
    assert "… and 7 more" in _text(BEGIN, END, found)
    assert len(_json(BEGIN, END, found)["differences"]) == _SHOWN + 7
