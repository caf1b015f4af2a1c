"""What people set and see of their auto top-up; an administrator may switch it on and off.

People's plans are read and written under their database role. Which card is charged is not theirs to write: that comes
signed from Stripe.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import structlog

from accounts.admin_log import Act, record_act
from accounts.as_user import as_user
from accounts.errors import AutoTopupIncomplete, StripeRefused, StripeUnavailable
from accounts.stripe.auto_topup.attempts import QUERIES
from accounts.stripe.auto_topup.rules import Limits, Plan, State, remaining, state
from accounts.stripe.auto_topup.wishes import Wish, check
from ledger.money import from_decimal, to_decimal
from ledger.postgres import Store

if TYPE_CHECKING:
    from accounts.stripe.client import StripeApi

log = structlog.get_logger("farebox.auto_topup")

_NO_CARD = "there is no saved card: open the page of POST /api/ai-api/stripe/auto-topup/setup first"


@dataclass(frozen=True, slots=True)
class Card:
    """What people know their card by; both None until Stripe has been asked."""

    brand: str | None
    last4: str | None


@dataclass(frozen=True, slots=True)
class PlanView:
    """`remaining_nanos` is what may still be charged this calendar month (UTC)."""

    is_enabled: bool
    state: State
    stopped_reason: str | None
    plan: Plan | None
    charged_nanos: int
    remaining_nanos: int
    card: Card | None


_NOTHING = PlanView(False, "off", None, None, 0, 0, None)


class Plans:
    """`is_live`: what our key is for; None if it does not say. Raises runtime.postgres.UNAVAILABLE."""

    def __init__(self, store: Store, api: "StripeApi", is_live: bool | None, limits: Limits) -> None:
        self._store = store
        self._api = api
        self._is_live = is_live
        self._limits = limits

    async def show(self, user_id: UUID) -> PlanView:
        """With the card's face, asked of Stripe once; while Stripe is away, without."""
        row = await self._read(user_id)
        if row is not None and self._is_ours(row["is_live"]) and row["card_last4"] is None:
            await self._describe_card(user_id)
            row = await self._read(user_id)
        return _NOTHING if row is None else _as_view(row, self._limits, has_card=self._is_ours(row["is_live"]))

    async def _read(self, user_id: UUID) -> Any:
        async with as_user(self._store.pool, user_id) as connection:
            return await connection.fetchrow(QUERIES["plan"], user_id, self._is_live)

    async def set(self, user_id: UUID, wish: Wish) -> PlanView:
        """Raises InvalidRequest, or AutoTopupIncomplete where it is to be switched on without a card or an amount."""
        wallet = await self._store.ensure_wallet(user_id)
        try:
            async with as_user(self._store.pool, user_id) as connection:
                known = await connection.fetchrow(QUERIES["plan"], user_id, self._is_live)
                plan = check(wish, None if known is None else _plan_of(known), self._limits)
                if wish.is_enabled and (known is None or not self._is_ours(known["is_live"])):
                    raise AutoTopupIncomplete(_NO_CARD)
                amounts = (None, None, None) if plan is None else _amounts(plan)
                await connection.execute(QUERIES["ensure_plan"], wallet.wallet_id, user_id)
                await connection.execute(QUERIES["set_plan"], user_id, wish.is_enabled, *amounts)
        except asyncpg.CheckViolationError:  # the card was forgotten at this moment
            raise AutoTopupIncomplete(_NO_CARD) from None
        return await self.show(user_id)

    async def forget(self, user_id: UUID) -> PlanView:
        """Off, and without a card; at Stripe too, unless Stripe is away."""
        row = await self._store.pool.fetchrow(QUERIES["forget_card"], user_id)
        if row is not None and self._is_ours(row["is_live"]):
            try:
                await self._api.detach(row["payment_method_id"])
            except (StripeUnavailable, StripeRefused) as error:  # we have forgotten it: nothing of ours can charge it
                log.warning("card_not_detached", user_id=str(user_id), error=type(error).__name__)
        return await self.show(user_id)

    async def switch(self, user_id: UUID, is_enabled: bool, admin: UUID, reason: str) -> PlanView:
        """By an administrator. Raises AutoTopupIncomplete where there is nothing that could be switched on."""
        async with self._store.pool.acquire() as connection, connection.transaction():
            before = await connection.fetchrow(QUERIES["switch"], user_id, is_enabled)
            if before is None:
                raise AutoTopupIncomplete("this user has no auto top-up, or no card or amounts for it")
            was = {"enabled": before["is_enabled"], "stopped_reason": before["stopped_reason"]}
            will_be = {"enabled": is_enabled, "stopped_reason": None}
            if was != will_be:
                action = "auto_topup.on" if is_enabled else "auto_topup.off"
                about = ("wallet", str(before["wallet_id"]), user_id)
                await record_act(connection, Act(str(admin), action, *about, was, will_be, reason))
        return await self.show(user_id)

    async def _describe_card(self, user_id: UUID) -> None:
        method_id = await self._store.pool.fetchval(QUERIES["card"], user_id)
        if method_id is None:
            return
        try:
            face = await self._api.card_face(method_id)
        except (StripeUnavailable, StripeRefused):
            return
        if face is not None and _LAST4.fullmatch(face[1]):
            await self._store.pool.execute(QUERIES["describe_card"], user_id, method_id, face[0][:64], face[1])

    def _is_ours(self, card_is_live: bool | None) -> bool:
        """Is there a card, and of the mode that our key is for?"""
        return card_is_live is not None and self._is_live in (None, card_is_live)


_LAST4 = re.compile(r"[0-9]{4}")


def _amounts(plan: Plan) -> tuple[Any, ...]:
    return tuple(map(to_decimal, (plan.threshold_nanos, plan.amount_nanos, plan.monthly_cap_nanos)))


def _plan_of(row: Any) -> Plan | None:
    if row["amount"] is None:
        return None
    return Plan(from_decimal(row["threshold"]), from_decimal(row["amount"]), from_decimal(row["monthly_cap"]))


def _as_view(row: Any, limits: Limits, *, has_card: bool) -> PlanView:
    plan, charged = _plan_of(row), from_decimal(row["charged"])
    return PlanView(
        is_enabled=row["is_enabled"] and has_card,  # a card of the other mode is not charged
        state=state(row["is_enabled"] and has_card, row["is_charging"], row["stopped_reason"]),
        stopped_reason=row["stopped_reason"],
        plan=plan,
        charged_nanos=charged,
        remaining_nanos=0 if plan is None else remaining(plan, charged, limits),
        card=Card(row["card_brand"], row["card_last4"]) if has_card else None,
    )
