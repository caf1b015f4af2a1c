"""What a run has learned and made so far, and the few requests that its steps repeat."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from ledger.money import MoneyError, format_dollars, parse_dollars
from proxy.smoke.client import OK, Deployment, Reply
from proxy.smoke.steps import StepFailed
from runtime.clock import wall_ms

KEYS, WALLET = "/api/ai-api/keys", "/api/ai-api/wallet"
CREDITS = "/api/ai-api/admin/credits"
CHAT = "/v1/chat/completions"
NOTE = "farebox smoke"
# A run that is killed cannot clean up: its keys end by themselves.
_KEY_LIVES_MS = 3_600_000
_FEW_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to use; `model` None is the first that the key may use. `posting_wait_s`: for a debit to be posted."""

    user_token: str
    admin_token: str
    model: str | None
    credit_nanos: int
    posting_wait_s: float


@dataclass(frozen=True, slots=True)
class Wallet:
    user_id: str
    balance_nanos: int
    overdraft_nanos: int
    available_nanos: int

    @property
    def on_its_way_nanos(self) -> int:
        """Of the balance: held by what runs, or charged and not posted yet."""
        return self.balance_nanos + self.overdraft_nanos - self.available_nanos


@dataclass(slots=True)
class Run:
    """`admin` is where the deployment answers administrators: a port of its own, or the same."""

    deployment: Deployment
    admin: Deployment
    wanted: Wanted
    before: Wallet | None = None
    credited_nanos: int = 0
    key: str = ""
    model: str = ""
    key_ids: list[str] = field(default_factory=list)  # made and not revoked yet
    costs: dict[str, int | None] = field(default_factory=dict)  # request id -> x-farebox-cost; None: it has none

    async def wallet(self) -> Wallet:
        found = (await self.deployment.ok("GET", WALLET, self.wanted.user_token)).field("wallet")
        try:
            amounts = [nanos(found[name]) for name in ("balance", "overdraft", "available")]
            return Wallet(str(found["userId"]), *amounts)
        except (TypeError, KeyError):
            raise StepFailed("the answer has no whole wallet in it") from None

    async def new_key(self, **fields: Any) -> str:
        expires_at = datetime.fromtimestamp((wall_ms() + _KEY_LIVES_MS) / 1000, UTC).isoformat()
        body = {"name": NOTE, "expiresAt": expires_at} | fields
        made = await self.deployment.ok("POST", KEYS, self.wanted.user_token, body)
        self.key_ids.append(str(made.field("id")))
        return str(made.field("apiKey"))

    async def revoke(self, key_id: str) -> None:
        await self.deployment.ok("DELETE", KEYS, self.wanted.user_token, {"keyId": key_id})
        self.key_ids.remove(key_id)

    async def chat(self, key: str, **fields: Any) -> Reply:
        """Whatever is answered; of a 200, what it says that it cost is kept."""
        body = {"model": self.model, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": _FEW_TOKENS}
        reply = await self.deployment.ask("POST", CHAT, key, body | fields)
        if reply.status == OK:
            cost = reply.headers.get("x-farebox-cost")
            self.costs[reply.headers.get("x-request-id", "")] = None if cost is None else nanos(cost)
        return reply

    async def answered(self, key: str, **fields: Any) -> Reply:
        reply = await self.chat(key, **fields)
        expect(reply.status == OK, str(reply))
        return reply


def expect(condition: bool, otherwise: str) -> None:
    """Raises StepFailed with `otherwise`."""
    if not condition:
        raise StepFailed(otherwise)


def nanos(amount: Any) -> int:
    """Dollars as JSON or a header has them. Raises StepFailed."""
    try:
        if isinstance(amount, Decimal | int | str) and not isinstance(amount, bool):
            return parse_dollars(amount)
    except MoneyError:
        pass
    raise StepFailed("an amount is no exact number of dollars")


def usd(amount_nanos: int) -> str:
    return f"${format_dollars(amount_nanos)}"


def json_dollars(amount_nanos: int) -> orjson.Fragment:
    return orjson.Fragment(format_dollars(amount_nanos))
