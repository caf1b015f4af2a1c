"""What Stripe's routes take and answer."""

from typing import Annotated, Literal

from pydantic import Field

from accounts.api.answers import dollars
from accounts.api.fields import Body, Description, Id, PositiveAmount
from accounts.api.shapes import Answer, Dollars
from accounts.stripe.auto_topup.plans import PlanView
from accounts.stripe.auto_topup.rules import Plan


class CheckoutBody(Body):
    amount: PositiveAmount


class AutoTopupBody(Body):
    """`threshold`, `amount` and `monthlyCap` may be left out where they were set before: they stay as they are."""

    enabled: bool
    threshold: PositiveAmount | None = None
    amount: PositiveAmount | None = None
    monthlyCap: PositiveAmount | None = None


class SwitchBody(Body):
    userId: Id
    enabled: bool
    reason: Description


class PageAnswer(Answer):
    success: bool
    sessionId: str
    url: Annotated[str, Field(description="where to send the person: a page of Stripe's")]


class HeardAnswer(Answer):
    received: Annotated[bool, Field(description="always true, and only after what was told is committed")]


class CardShape(Answer):
    brand: Annotated[str | None, Field(description="null until Stripe has said it")]
    last4: str | None


class AutoTopupShape(Answer):
    enabled: bool
    state: Annotated[
        Literal["off", "on", "charging", "stopped"],
        Field(description="stopped: it switched itself off after a failure; switch it on again when that is put right"),
    ]
    stoppedReason: Annotated[
        str | None, Field(description="such as card_declined, authentication_required, refunded, disputed")
    ]
    threshold: Annotated[Dollars | None, Field(description="a balance below it is topped up")]
    amount: Annotated[Dollars | None, Field(description="charged at once")]
    monthlyCap: Annotated[Dollars | None, Field(description="the most per calendar month (UTC)")]
    chargedThisMonth: Annotated[Dollars, Field(description="with what may have been charged and is not known yet")]
    remainingThisMonth: Dollars
    card: CardShape | None


class AutoTopupAnswer(Answer):
    success: bool
    autoTopup: AutoTopupShape


def shown(view: PlanView) -> dict[str, object]:
    """An AutoTopupAnswer, as it is sent."""
    card = None if view.card is None else {"brand": view.card.brand, "last4": view.card.last4}
    return {
        "success": True,
        "autoTopup": {
            "enabled": view.is_enabled,
            "state": view.state,
            "stoppedReason": view.stopped_reason,
            **_amounts(view.plan),
            "chargedThisMonth": dollars(view.charged_nanos),
            "remainingThisMonth": dollars(view.remaining_nanos),
            "card": card,
        },
    }


def _amounts(plan: Plan | None) -> dict[str, object]:
    if plan is None:
        return dict.fromkeys(("threshold", "amount", "monthlyCap"))
    nanos = (plan.threshold_nanos, plan.amount_nanos, plan.monthly_cap_nanos)
    return dict(zip(("threshold", "amount", "monthlyCap"), map(dollars, nanos), strict=True))
