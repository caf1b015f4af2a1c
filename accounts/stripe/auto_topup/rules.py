"""When to charge, how much is left under the cap, what Stripe's answer means, when to ask again. Pure."""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

State = Literal["off", "on", "charging", "stopped"]

# Stripe forgets idempotency keys after 24 hours at the earliest; asked with an older one, it would charge again. The
# hour is for what is under way, and for clocks that differ.
KEY_LIFETIME_S = 23 * 3600
# Stripe delivers an event for three days. What nobody has told us by then, nobody will.
GIVE_UP_AFTER_S = 4 * 24 * 3600
# Between two questions about one attempt: doubled each time, since most of what goes wrong is over in a minute.
FIRST_WAIT_S = 60
LONGEST_WAIT_S = 3600
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a user wants: below `threshold`, charge `amount`, per calendar month (UTC) at most `monthly_cap`."""

    threshold_nanos: int
    amount_nanos: int
    monthly_cap_nanos: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator allows, whatever was allowed when a plan was made."""

    min_amount_nanos: int
    max_amount_nanos: int
    max_monthly_cap_nanos: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A wallet as it is now; `charged` is what was charged this month, or may have been."""

    balance_nanos: int
    charged_nanos: int
    is_charging: bool
    is_frozen: bool


@dataclass(frozen=True, slots=True)
class Charge:
    amount_nanos: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Not now and not later, until a person has looked."""

    reason: str


def next_charge(plan: Plan, standing: Standing, limits: Limits) -> Charge | Stop | None:
    """What to do about a wallet now; None is nothing."""
    if standing.is_charging or standing.is_frozen or standing.balance_nanos >= plan.threshold_nanos:
        return None
    if not limits.min_amount_nanos <= plan.amount_nanos <= limits.max_amount_nanos:
        return Stop("amount_not_allowed")
    return Charge(plan.amount_nanos) if plan.amount_nanos <= remaining(plan, standing.charged_nanos, limits) else None


def remaining(plan: Plan, charged_nanos: int, limits: Limits) -> int:
    """What may still be charged this month."""
    return max(0, min(plan.monthly_cap_nanos, limits.max_monthly_cap_nanos) - charged_nanos)


def state(is_enabled: bool, is_charging: bool, stopped_reason: str | None) -> State:
    if is_charging:
        return "charging"
    if is_enabled:
        return "on"
    return "off" if stopped_reason is None else "stopped"


@dataclass(frozen=True, slots=True)
class Intent:
    """What Stripe says of a payment intent; `failure` is its code for why the last try failed."""

    id: str | None
    status: str
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Paid:
    payment_intent_id: str


@dataclass(frozen=True, slots=True)
class Failed:
    reason: str
    payment_intent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Perhaps charged, perhaps not: counted as charged, and asked again."""

    payment_intent_id: str | None = None


Outcome: TypeAlias = Paid | Failed | Unknown

# Nobody is there to do what the intent asks for, and nothing of ours will ever try it again.
_NEEDS_A_PERSON = {
    "requires_payment_method": "card_declined",
    "requires_action": "authentication_required",
    "requires_confirmation": "not_confirmed",
    "canceled": "canceled",
}


def outcome(intent: Intent) -> Outcome:
    """What has become of a charge. A status that is not known is not taken for a failure: money may have moved."""
    if intent.status == "succeeded" and intent.id is not None:
        return Paid(intent.id)
    if intent.status in _NEEDS_A_PERSON:
        return Failed(reason_word(intent.failure, _NEEDS_A_PERSON[intent.status]), intent.id)
    return Unknown(intent.id)


def reason_word(code: object, otherwise: str) -> str:
    """Stripe's code if it is a word as ours are. Never its decline code: of a stolen card people must not be told."""
    return code if isinstance(code, str) and _WORD.fullmatch(code) else otherwise


def may_ask_again(age_s: float) -> bool:
    """With the same key: is what was asked before still remembered?"""
    return age_s < KEY_LIFETIME_S


def is_given_up(age_s: float) -> bool:
    return age_s >= GIVE_UP_AFTER_S


def wait_s(asked: int) -> int:
    """Seconds until an attempt that was asked about so many times is asked about again."""
    # bounded before it is shifted: an integer of a million bits is no wait
    return min(LONGEST_WAIT_S, FIRST_WAIT_S << min(max(asked - 1, 0), 10))
