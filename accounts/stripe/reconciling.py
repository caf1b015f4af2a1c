"""Stripe's payments of a time, read from its API, and what was credited for them."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from accounts.errors import InvalidRequest, StripeUnavailable
from accounts.stripe.client import Listed, StripeApi
from accounts.stripe.comparison import Booked, Difference, Paid, claim_of, compare, paid_of
from accounts.stripe.events import nanos_of_cents
from accounts.stripe.payments import Claim
from ledger.money import from_decimal
from runtime.postgres import Pool
from runtime.sql import load_queries

_QUERIES = load_queries("accounts", "sql/stripe_comparison.sql")
QUERY_TIMEOUT_S = 600.0
# The most that Stripe lists at once.
PAGE = 100
# A million of each kind: who has more compares shorter times.
MAX_PAGES = 10_000
# One request each, for payments that were begun before the time and credited or refunded in it: a busy shop has some.
MAX_LOOK_UPS = 5_000
# A webhook comes within seconds, and after a failure again within minutes: what is younger may still be on its way.
ON_ITS_WAY = timedelta(minutes=10)

OnObject = Callable[[int], None]
_BackKind = Literal["refunds", "disputes"]
_BACK: tuple[_BackKind, ...] = ("refunds", "disputes")


def _unwatched(_: int) -> None:
    """Nobody wants to know how far it is."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`payments`, `paid_nanos`: ours, begun at Stripe in that time and succeeded. `looked_at`, `credited_nanos`: of
    those that are credited here, with those credited or given back in that time.
    """

    payments: int
    paid_nanos: int
    looked_at: int
    credited_nanos: int
    differences: list[Difference]


class StripeReconciler:
    """Reads only. Raises StripeUnavailable, StripeRefused, InvalidRequest, runtime.postgres.UNAVAILABLE."""

    def __init__(self, pool: Pool, api: StripeApi, now: datetime, on_object: OnObject = _unwatched) -> None:
        self._pool = pool
        self._api = api
        self._young_s = int((now.astimezone(UTC) - ON_ITS_WAY).timestamp())
        self._young: set[str] = set()
        self._on_object = on_object
        self._look_ups = 0

    async def compare(self, since: datetime, until: datetime) -> Comparison:
        """Payments begun at Stripe from `since` on and before `until`, and what was credited or went back then."""
        window = {"created": {"gte": int(since.timestamp()), "lt": int(until.timestamp())}}
        paid = {one.intent_id: one async for one in self._paid(window)}
        expected = list(paid)
        total_nanos = sum(one.amount_nanos or 0 for one in paid.values())
        claims = await self._claims({"created": {"gte": int(since.timestamp())}})
        intents = {*paid, *(claim.payment_intent_id for claim in claims.values())}
        booked = await self._booked(since, until, intents)
        await self._complete(paid, claims, booked)
        credited_nanos = sum(one.credited_nanos for one in booked)
        differences = compare(paid, booked, claims.values(), expected, self._young)
        return Comparison(len(expected), total_nanos, len(booked), credited_nanos, differences)

    async def _paid(self, window: Mapping[str, Any]) -> AsyncIterator[Paid]:
        async for intent in self._each("payment_intents", window):
            if (one := paid_of(intent)) is not None:
                yield one

    async def _claims(self, wanted: Mapping[str, Any]) -> dict[str, Claim]:
        found = {}
        for kind in _BACK:
            async for thing in self._each(kind, wanted):
                if (claim := claim_of(thing, kind)) is not None:
                    found[claim.id] = claim
                    if int(thing.get("created") or 0) > self._young_s:
                        self._young.add(claim.id)
        return found

    async def _complete(self, paid: dict[str, Paid], claims: dict[str, Claim], booked: Iterable[Booked]) -> None:
        """Adds what was not listed because it was begun earlier: a payment, and what went back of it before."""
        for one in booked:
            if one.name in paid:
                continue
            there = await self._look_up(one)
            if there is None:
                continue
            paid[one.name] = there
            if one.intent_id is not None:
                claims |= await self._claims({"payment_intent": one.intent_id})

    async def _look_up(self, one: Booked) -> Paid | None:
        self._look_ups += 1
        if self._look_ups > MAX_LOOK_UPS:
            raise InvalidRequest("too many payments that were begun before --since: choose an earlier one")
        if one.intent_id is not None:
            intent = await self._api.look_up("payment_intents", one.intent_id)
            return None if intent is None else paid_of(intent)
        assert one.session_id is not None, "a CHECK says that it has one of the two"
        session = await self._api.look_up("sessions", one.session_id)
        if session is None or session.get("payment_status") != "paid":
            return None
        return Paid(one.session_id, nanos_of_cents(session.get("amount_total")), 0)

    async def _each(self, kind: Listed, wanted: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """All of them, page by page; the cursor of each page is the last of the one before."""
        after: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            things, has_more = await self._api.page(kind, {**wanted, **after, "limit": PAGE})
            for thing in things:
                yield thing
            self._on_object(len(things))
            if not has_more:
                return
            if not things or not isinstance(things[-1].get("id"), str):
                raise StripeUnavailable("a list that goes on after nothing")
            after = {"starting_after": things[-1]["id"]}
        raise InvalidRequest(f"more than {MAX_PAGES * PAGE} {kind.replace('_', ' ')}: compare a shorter time")

    async def _booked(self, since: datetime, until: datetime, intents: Iterable[str]) -> list[Booked]:
        rows = await self._pool.fetch(_QUERIES["booked"], since, until, list(intents), timeout=QUERY_TIMEOUT_S)
        return [_as_booked(row) for row in rows]


def _as_booked(row: Any) -> Booked:
    amounts = (from_decimal(row[name]) for name in ("credited", "gone_back", "owed", "topup", "refunds"))
    return Booked(row["session_id"], row["payment_intent_id"], row["user_id"], *amounts)
