"""What each step asks of the deployment, and what it must find."""

import asyncio
from typing import Any

from proxy.smoke.client import OK, Reply
from proxy.smoke.run import CREDITS, KEYS, NOTE, Run, Wallet, expect, json_dollars, nanos, usd
from proxy.smoke.steps import Step, StepFailed, StepSkipped

# Ten million tokens, a hundred and twenty-eight times: more than nearly every wallet can pay for.
_MORE_THAN_ANYBODY_HAS = {"max_tokens": 10_000_000}
_ASK_AGAIN_S = 0.1
_UNAUTHORIZED, _NOT_FOUND, _TOO_MANY = 401, 404, 429


def flow(run: Run) -> list[Step]:
    """In order. The refusal for want of funds comes before the credit: an empty wallet shows it best."""
    checks = Checks(run)
    return [
        Step("health", checks.health),
        Step("wallet", checks.wallet, ("health",)),
        Step("key", checks.key, ("wallet",)),
        Step("model", checks.choose_model, ("key",)),
        Step("refused without funds", checks.refused_without_funds, ("model",)),
        Step("credit", checks.credit, ("wallet",)),
        Step("request", checks.request, ("model", "credit")),
        Step("streamed request", checks.streamed_request, ("model", "credit")),
        Step("rate limit", checks.rate_limit, ("request",)),
        Step("usage", checks.usage, ("request",)),
        Step("debit", checks.debit, ("usage",)),
        Step("revoke", checks.revoke, ("model",)),
    ]


class Checks:
    """Each returns a line about what it found, or raises StepFailed or StepSkipped."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._debited_nanos: dict[str, int] = {}

    async def health(self) -> str:
        for path in ("/healthz", "/readyz"):
            await self._run.deployment.ok("GET", path)
        return "lives and is ready"

    async def wallet(self) -> str:
        self._run.before = await self._run.wallet()
        return f"balance {usd(self._run.before.balance_nanos)}"

    async def key(self) -> str:
        run = self._run
        run.key = await run.new_key()
        listed = (await run.deployment.ok("GET", KEYS, run.wanted.user_token)).field("keys") or []
        expect(any(key.get("id") == run.key_ids[0] for key in listed), "the new key is not listed")
        return f"{run.key_ids[0]} is made and listed"

    async def choose_model(self) -> str:
        run = self._run
        listed = (await run.deployment.ok("GET", "/v1/models", run.key)).field("data") or []
        names = [str(model.get("id")) for model in listed]
        expect(bool(names), "no model is served at a price")
        run.model = run.wanted.model or names[0]
        expect(run.model in names, f"{run.model} is not among the models that this key may use")
        return run.model

    async def refused_without_funds(self) -> str:
        """An empty wallet is asked for little, a full one for more than it has, and gets less or nothing."""
        run = self._run
        is_empty = (await run.wallet()).available_nanos <= 0
        reply = await run.chat(run.key, **({} if is_empty else _MORE_THAN_ANYBODY_HAS))
        lowered = reply.headers.get("x-farebox-max-tokens")
        if lowered is not None:
            return f"a wallet buys no more than it has: {lowered} tokens"
        if reply.code != "insufficient_balance" and not is_empty:
            raise StepSkipped("the wallet can pay for ten million tokens of this model, or they cost nothing")
        if reply.status == OK and nanos(reply.headers.get("x-farebox-cost")) == 0:
            raise StepSkipped("the model costs nothing")
        expect(reply.code == "insufficient_balance", f"not refused for want of funds: {reply}")
        return "an empty wallet buys nothing" if is_empty else "a wallet buys no more than it has"

    async def credit(self) -> str:
        run, amount_nanos = self._run, self._run.wanted.credit_nanos
        before = await run.wallet()
        body = {"userId": before.user_id, "amount": json_dollars(amount_nanos), "description": NOTE}
        await run.admin.ok("POST", f"{CREDITS}/bonus", run.wanted.admin_token, body)
        run.credited_nanos = amount_nanos
        balance_nanos, due_nanos = (await run.wallet()).balance_nanos, before.balance_nanos + amount_nanos
        # the request of the step before may be posted just now
        expect(
            0 <= due_nanos - balance_nanos <= before.on_its_way_nanos,
            f"the balance is {usd(balance_nanos)}, not {usd(due_nanos)}",
        )
        return f"{usd(amount_nanos)} more, balance {usd(balance_nanos)}"

    async def request(self) -> str:
        reply = await self._run.answered(self._run.key)
        expect(bool(reply.field("choices")), "the answer has no choices in it")
        return f"{_id(reply)} cost {usd(nanos(reply.headers.get('x-farebox-cost')))}"

    async def streamed_request(self) -> str:
        reply = await self._run.answered(self._run.key, stream=True)
        expect(reply.headers.get("content-type", "").startswith("text/event-stream"), "the answer is no stream")
        expect(b"data: [DONE]" in reply.body, "the stream did not end with [DONE]")
        return f"{_id(reply)} streamed to its end"

    async def rate_limit(self) -> str:
        """A key that may ask once a minute."""
        key = await self._run.new_key(rateLimitPerMinute=1)
        await self._run.answered(key)
        reply = await self._run.chat(key)
        expect(
            reply.status == _TOO_MANY and reply.code == "rate_limit_exceeded",
            f"the second request within a minute was not refused: {reply}",
        )
        expect("retry-after" in reply.headers, "the refusal does not say when to come back")
        return "the second request within a minute is refused"

    async def usage(self) -> str:
        """Each request is recorded, at the cost that its answer told, and all of it was paid."""
        for request_id, cost_nanos in self._run.costs.items():
            recorded = await self._recorded(request_id)
            told_nanos = nanos(recorded.field("cost")) if cost_nanos is None else cost_nanos
            for name in ("cost", "charged"):
                found_nanos = nanos(recorded.field(name))
                expect(found_nanos == told_nanos, f"{request_id}: {name} is {usd(found_nanos)}, not {usd(told_nanos)}")
            self._debited_nanos[request_id] = told_nanos
        return f"{len(self._debited_nanos)} requests are recorded at what they cost"

    async def _recorded(self, request_id: str) -> Reply:
        """Posted by the ledger, usually within a second."""
        run = self._run
        try:
            async with asyncio.timeout(run.wanted.posting_wait_s):
                while True:
                    reply = await run.deployment.ask("GET", f"/v1/usage/{request_id}", run.key)
                    if reply.status == OK:
                        return reply
                    expect(reply.status == _NOT_FOUND and reply.code == "usage_not_found", str(reply))
                    await asyncio.sleep(_ASK_AGAIN_S)
        except TimeoutError:
            wait = f"{run.wanted.posting_wait_s:g} s"
            raise StepFailed(f"{request_id} is not posted after {wait}: does `farebox ledger` run?") from None

    async def debit(self) -> str:
        """The wallet has one line for each request that cost something, and its balance is less by exactly those."""
        run = self._run
        assert run.before is not None
        page = await run.deployment.ok("GET", "/api/ai-api/transactions?limit=100", run.wanted.user_token)
        lines = {str(line.get("request_id")): nanos(line.get("amount")) for line in page.field("transactions") or []}
        for request_id, debited_nanos in self._debited_nanos.items():
            found_nanos = -lines.get(request_id, 0)
            expect(found_nanos == debited_nanos, f"{request_id}: {usd(found_nanos)} debited, not {usd(debited_nanos)}")
        spent_nanos = sum(self._debited_nanos.values())
        due_nanos = run.before.balance_nanos + run.credited_nanos - spent_nanos
        wallet = await run.wallet()
        expect(
            wallet.balance_nanos == due_nanos,
            f"the balance is {usd(wallet.balance_nanos)}, not {usd(due_nanos)}; does somebody else use this wallet?",
        )
        return f"{usd(spent_nanos)} taken, balance {usd(wallet.balance_nanos)}"

    async def revoke(self) -> str:
        await self._run.revoke(self._run.key_ids[0])
        reply = await self._run.chat(self._run.key)
        expect(
            reply.status == _UNAUTHORIZED and reply.code == "invalid_api_key",
            f"the revoked key was not refused: {reply}",
        )
        return "the key is refused at once"


def _id(reply: Reply) -> str:
    return reply.headers.get("x-request-id", "a request without an id")


def balance_to_leave(wallet: Wallet, credited_nanos: int) -> int:
    """The balance that takes a credit back, and leaves what is on its way to be debited to be paid.

    Never below zero, to which no balance can be set: what the requests cost was then paid from the credit.
    """
    return max(wallet.balance_nanos - credited_nanos, wallet.on_its_way_nanos, 0)


async def clean_up(run: Run) -> str:
    """Revokes the keys that are left and takes the credit back; tries all of it, then raises StepFailed."""
    had_something = bool(run.key_ids or run.credited_nanos)
    problems = []
    for work in (_revoke_all, _take_back):
        try:
            await work(run)
        except StepFailed as failed:
            problems.append(str(failed))
    expect(not problems, "; ".join(problems))
    return "keys revoked, credit taken back" if had_something else "nothing is left of it"


async def _revoke_all(run: Run) -> None:
    for key_id in tuple(run.key_ids):
        await run.revoke(key_id)


async def _take_back(run: Run) -> None:
    if not run.credited_nanos:
        return
    wallet = await run.wallet()
    balance = json_dollars(balance_to_leave(wallet, run.credited_nanos))
    body: dict[str, Any] = {"userId": wallet.user_id, "balance": balance, "description": NOTE}
    await run.admin.ok("POST", f"{CREDITS}/set", run.wanted.admin_token, body)
    run.credited_nanos = 0
