"""`/api/ai-api/prices`: what models cost. `/api/ai-api/admin/prices`: what they did and will; set and switched off."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from accounts.api.answers import dollars
from accounts.api.fields import Body, Description, Id, Model, Moment, NonNegativeAmount
from accounts.api.history_shapes import ModelName
from accounts.api.requests import parse_body, parse_query, read_body
from accounts.api.router import Access, Call, Route
from accounts.api.shapes import Answer, Dollars
from accounts.errors import PriceExists, PriceNotFound
from accounts.filters import MAX_LIMIT, MAX_OFFSET
from accounts.prices import PriceRow, Prices
from accounts.rates import Rates

PATH = "/api/ai-api/prices"
_ADMIN = "/api/ai-api/admin/prices"
_LIKE_INPUT = Field(default=None, description="left out: as input")
_LIKE_OUTPUT = Field(default=None, description="left out: as output")
_ONLY_TOKENS = Field(default=None, description="left out: only its tokens are charged")

# Field of Rates -> field in JSON.
_NAMES = {
    "input_nanos_per_1k": "inputPer1kTokens",
    "output_nanos_per_1k": "outputPer1kTokens",
    "cached_input_nanos_per_1k": "cachedInputPer1kTokens",
    "cache_write_nanos_per_1k": "cacheWritePer1kTokens",
    "reasoning_nanos_per_1k": "reasoningPer1kTokens",
    "audio_input_nanos_per_1k": "audioInputPer1kTokens",
    "audio_output_nanos_per_1k": "audioOutputPer1kTokens",
    "image_nanos": "imagePrice",
    "audio_minute_nanos": "audioMinutePrice",
    "request_fee_nanos": "baseRequestFee",
}


class NewPriceBody(Body):
    """Dollars per 1,000 tokens, per image, per minute of audio, per request. Without `effectiveFrom`: from now on."""

    model: Model
    inputPer1kTokens: NonNegativeAmount
    outputPer1kTokens: NonNegativeAmount
    cachedInputPer1kTokens: NonNegativeAmount | None = _LIKE_INPUT
    cacheWritePer1kTokens: NonNegativeAmount | None = _LIKE_INPUT
    reasoningPer1kTokens: NonNegativeAmount | None = _LIKE_OUTPUT
    audioInputPer1kTokens: NonNegativeAmount | None = _LIKE_INPUT
    audioOutputPer1kTokens: NonNegativeAmount | None = _LIKE_OUTPUT
    imagePrice: NonNegativeAmount | None = _ONLY_TOKENS
    audioMinutePrice: NonNegativeAmount | None = _ONLY_TOKENS
    baseRequestFee: NonNegativeAmount = 0
    effectiveFrom: Moment | None = None
    reason: Description

    def rates(self) -> Rates:
        return Rates(**{name: getattr(self, shown) for name, shown in _NAMES.items()})


class PriceIdBody(Body):
    priceId: Id
    reason: Description


class PricesQuery(Body):
    """A page of one model's prices, or of every one's."""

    model: ModelName | None = None
    limit: int = Field(default=MAX_LIMIT, ge=1, le=MAX_LIMIT)
    offset: int = Field(default=0, ge=0, le=MAX_OFFSET, description="rows to skip")


class PriceAnswer(Answer):
    """What is charged for a model now: dollars per 1,000 tokens of each kind, per image, per minute of audio, and a fee
    per request.
    """

    model: str
    currency: str
    inputPer1kTokens: Dollars
    outputPer1kTokens: Dollars
    cachedInputPer1kTokens: Dollars
    cacheWritePer1kTokens: Dollars
    reasoningPer1kTokens: Dollars
    audioInputPer1kTokens: Dollars
    audioOutputPer1kTokens: Dollars
    imagePrice: Dollars
    audioMinutePrice: Dollars
    baseRequestFee: Dollars
    effectiveFrom: datetime


class PriceRowAnswer(Answer):
    """A price as it was set; null is what was left open."""

    id: UUID
    model: str
    currency: str
    inputPer1kTokens: Dollars
    outputPer1kTokens: Dollars
    cachedInputPer1kTokens: Dollars | None
    cacheWritePer1kTokens: Dollars | None
    reasoningPer1kTokens: Dollars | None
    audioInputPer1kTokens: Dollars | None
    audioOutputPer1kTokens: Dollars | None
    imagePrice: Dollars | None
    audioMinutePrice: Dollars | None
    baseRequestFee: Dollars
    effectiveFrom: datetime
    isActive: bool
    inForce: Annotated[bool, Field(description="what requests are charged by that begin now")]
    createdAt: datetime


class PricesAnswer(Answer):
    success: bool
    prices: list[PriceAnswer]


class PriceHistoryAnswer(Answer):
    """By model, the latest first."""

    success: bool
    prices: list[PriceRowAnswer]


class PriceSetAnswer(Answer):
    success: bool
    message: str
    price: PriceRowAnswer


class PriceDeactivatedAnswer(PriceSetAnswer):
    inForce: Annotated[PriceRowAnswer | None, Field(description="what the model costs now; null: it has no price")]


@dataclass(frozen=True, slots=True)
class PriceRoutes:
    prices: Prices

    def routes(self) -> list[Route]:
        return [
            Route("GET", PATH, Access.USER, self.of_today, "What each model costs now", answer=PricesAnswer),
            Route(
                "GET", _ADMIN, Access.ADMIN, self.history, "All prices: those in force, before, and to come",
                query=PricesQuery, answer=PriceHistoryAnswer,
            ),
            Route(
                "POST", _ADMIN, Access.ADMIN, self.set, "Price a model, from now or from a date on",
                body=NewPriceBody, answer=PriceSetAnswer, refusals=(PriceExists,),
            ),
            Route(
                "POST", f"{_ADMIN}/deactivate", Access.ADMIN, self.deactivate,
                "Switch a price off: the one before it is in force again, if there is one",
                body=PriceIdBody, answer=PriceDeactivatedAnswer, refusals=(PriceNotFound,),
            ),
        ]  # fmt: skip

    async def of_today(self, call: Call) -> Any:
        return {"success": True, "prices": [_charged(row) for row in await self.prices.of_today(call.user.user_id)]}

    async def history(self, call: Call) -> Any:
        asked = parse_query(PricesQuery, call.request.query)
        rows = await self.prices.history(asked.model, asked.limit, asked.offset)
        return {"success": True, "prices": [_row(row) for row in rows]}

    async def set(self, call: Call) -> Any:
        body = parse_body(NewPriceBody, await read_body(call.request))
        by = str(call.user.user_id)
        made = await self.prices.set(body.model, body.rates(), body.effectiveFrom, by=by, reason=body.reason)
        return {"success": True, "message": "The price is set.", "price": _row(made)}

    async def deactivate(self, call: Call) -> Any:
        body = parse_body(PriceIdBody, await read_body(call.request))
        row, now = await self.prices.deactivate(body.priceId, by=str(call.user.user_id), reason=body.reason)
        in_force = None if now is None else _row(now)
        return {"success": True, "message": "The price is switched off.", "price": _row(row), "inForce": in_force}


def _charged(row: PriceRow) -> dict[str, Any]:
    """The fields of a `PriceAnswer`."""
    head = {"model": row.model, "currency": "USD"}
    return head | _shown(row.rates.resolved()) | {"effectiveFrom": row.effective_from}


def _row(row: PriceRow) -> dict[str, Any]:
    """The fields of a `PriceRowAnswer`."""
    head = {"id": row.id, "model": row.model, "currency": "USD"}
    state = {"isActive": row.is_active, "inForce": row.in_force}
    dates = {"effectiveFrom": row.effective_from, "createdAt": row.created_at}
    return head | _shown(row.rates) | state | dates


def _shown(rates: Rates) -> dict[str, Any]:
    found = {shown: getattr(rates, name) for name, shown in _NAMES.items()}
    return {shown: None if nanos is None else dollars(nanos) for shown, nanos in found.items()}
