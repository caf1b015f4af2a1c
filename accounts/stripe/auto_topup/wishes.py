"""What somebody asks of auto top-up, laid over what they asked for before, within what the operator allows. Pure."""

from dataclasses import dataclass

from accounts.errors import AutoTopupIncomplete, InvalidRequest
from accounts.stripe.auto_topup.rules import Limits, Plan
from ledger.money import format_dollars, from_decimal
from runtime.settings import Stripe

_NANOS_PER_CENT = 10_000_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for; None leaves an amount as it is."""

    is_enabled: bool
    threshold_nanos: int | None = None
    amount_nanos: int | None = None
    monthly_cap_nanos: int | None = None


def limits_of(settings: Stripe) -> Limits:
    """What is charged at once is bounded as at a checkout, unless auto top-up has a bound of its own."""
    most = settings.auto_topup.max_amount or settings.max_amount
    return Limits(*map(from_decimal, (settings.min_amount, most, settings.auto_topup.max_monthly_cap)))


def check(wish: Wish, known: Plan | None, limits: Limits) -> Plan | None:
    """What the plan will be; None is none yet.

    Raises InvalidRequest for what may not be charged, AutoTopupIncomplete where an amount is missing.
    """
    if known is None:
        amounts = (wish.threshold_nanos, wish.amount_nanos, wish.monthly_cap_nanos)
    else:
        amounts = (
            known.threshold_nanos if wish.threshold_nanos is None else wish.threshold_nanos,
            known.amount_nanos if wish.amount_nanos is None else wish.amount_nanos,
            known.monthly_cap_nanos if wish.monthly_cap_nanos is None else wish.monthly_cap_nanos,
        )
    if amounts == (None, None, None) and not wish.is_enabled:
        return None
    threshold, amount, cap = amounts
    if threshold is None or amount is None or cap is None:
        raise AutoTopupIncomplete("threshold, amount and monthlyCap are needed, all three of them")
    if amount % _NANOS_PER_CENT or cap % _NANOS_PER_CENT:
        raise InvalidRequest("amount, monthlyCap: must be whole cents")
    if not wish.is_enabled and Plan(threshold, amount, cap) == known:
        return known  # switched off as it is, also where less is allowed by now
    _within("amount", amount, limits.min_amount_nanos, limits.max_amount_nanos)
    _within("monthlyCap", cap, amount, limits.max_monthly_cap_nanos)
    _within("threshold", threshold, 1, limits.max_monthly_cap_nanos)
    return Plan(threshold, amount, cap)


def _within(name: str, nanos: int, least: int, most: int) -> None:
    if not least <= nanos <= most:
        raise InvalidRequest(f"{name}: must be from {format_dollars(least)} to {format_dollars(most)} dollars")
