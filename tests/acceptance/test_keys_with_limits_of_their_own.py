"""Lists of models, routes and addresses, tokens per minute, requests at once, budgets, and what an operator froze.

The columns are set in SQL and pushed, as the account API does: what is answered after that is felt by every proxy.
"""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from ledger.balances import StateMirror
from ledger.redis_store import RedisStore
from tests.support.calling import Answer, Caller, chat
from tests.support.ledger import USD, until
from tests.support.office import RATES, Customer, Office, eventually
from tests.support.program import OUTPUT_ONLY, TINY, Program

ONE_TOKEN = chat(simulate={"tokens": 1})
PATH = "/v1/chat/completions"


class Desk:
    """Where keys are given limits of their own."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self._mirror = StateMirror(RedisStore(office.redis), office.store, "")

    async def set_key(self, customer: Customer, **columns: Any) -> None:
        for name, value in columns.items():
            await self.office.pool.execute(f"UPDATE ai_api_keys SET {name} = $2 WHERE id = $1", customer.key_id, value)
        await self._mirror.push_keys([customer.key_id])

    async def freeze_wallet(self, customer: Customer, is_frozen: bool) -> None:
        query = "UPDATE ai_wallets SET is_frozen = $2 WHERE id = $1"
        await self.office.pool.execute(query, customer.wallet_id, is_frozen)
        await self._mirror.push_wallets([customer.wallet_id])


@pytest.fixture
def desk(office: Office) -> Desk:
    return Desk(office)


@pytest.fixture
async def proxies(program: Program, second_proxy: str) -> AsyncIterator[list[str]]:
    yield [program.base_url, second_proxy]


def said(answer: Answer) -> tuple[int, str | None]:
    return answer.status, None if answer.status == 200 else answer.error["code"]


async def all_say(call: Caller, proxies: list[str], customer: Customer, body: Any = ONE_TOKEN) -> set[Any]:
    """What each proxy says to its very next request."""
    return {said(await call.ask(customer, body, base_url=base_url)) for base_url in proxies}


async def test_a_changed_list_is_felt_on_the_next_request_of_both_proxies(
    call: Caller, office: Office, desk: Desk, proxies: list[str]
) -> None:
    customer = await office.customer()
    assert await all_say(call, proxies, customer) == {(200, None)}
    steps: list[tuple[dict[str, Any], tuple[int, str | None]]] = [
        ({"allowed_models": [OUTPUT_ONLY]}, (403, "model_not_allowed")),
        ({"allowed_models": ["ti*"]}, (200, None)),
        ({"allowed_routes": ["/v1/embeddings"]}, (403, "route_not_allowed")),
        ({"allowed_routes": [PATH]}, (200, None)),
        ({"allowed_ips": ["192.0.2.0/24"]}, (403, "ip_not_allowed")),
        ({"allowed_ips": ["127.0.0.0/8", "::1/128"]}, (200, None)),
        ({"allowed_models": []}, (403, "model_not_allowed")),
        ({"allowed_models": None}, (200, None)),
    ]
    for columns, expected in steps:
        await desk.set_key(customer, **columns)
        assert await all_say(call, proxies, customer) == {expected}, columns


async def test_what_an_operator_freezes_is_felt_on_the_next_request_of_both_proxies(
    call: Caller, office: Office, desk: Desk, proxies: list[str]
) -> None:
    customer = await office.customer()
    assert await all_say(call, proxies, customer) == {(200, None)}
    await desk.set_key(customer, is_frozen=True)
    assert await all_say(call, proxies, customer) == {(403, "key_frozen")}
    assert said(await call.get("/v1/models", headers=customer.auth)) == (403, "key_frozen")
    await desk.set_key(customer, is_frozen=False)
    await desk.freeze_wallet(customer, True)
    assert await all_say(call, proxies, customer) == {(403, "wallet_frozen")}
    await desk.freeze_wallet(customer, False)
    assert await all_say(call, proxies, customer) == {(200, None)}


async def test_freezing_that_an_operator_only_writes_in_sql_is_felt_too(call: Caller, office: Office) -> None:
    customer = await office.customer()

    async def status() -> int:
        return (await call.ask(customer, ONE_TOKEN)).status

    assert await status() == 200
    for table, row_id in (("ai_api_keys", customer.key_id), ("ai_wallets", customer.wallet_id)):
        await office.pool.execute(f"UPDATE {table} SET is_frozen = true WHERE id = $1", row_id)
        await eventually(status, 403)
        await office.pool.execute(f"UPDATE {table} SET is_frozen = false WHERE id = $1", row_id)
        await eventually(status, 200)


async def test_a_stream_that_runs_when_its_wallet_is_frozen_is_settled(
    call: Caller, office: Office, desk: Desk
) -> None:
    customer = await office.customer()
    body = chat(OUTPUT_ONLY, max_tokens=9, simulate={"tokens": 9, "chunk_delay_ms": 20})
    async with call.stream(customer, body) as answer:
        await desk.freeze_wallet(customer, True)
        assert answer.status == 200 and (await answer.read()).endswith(b"data: [DONE]\n\n")
    await office.settled()
    assert await office.balance_nanos(customer) == customer.start_nanos - RATES[OUTPUT_ONLY].cost(0, 9)


async def test_a_bad_key_with_lists_gets_the_same_answer_as_any_other(call: Caller, office: Office, desk: Desk) -> None:
    customer = await office.customer()
    await desk.set_key(customer, allowed_models=[], allowed_ips=[], is_frozen=True, is_active=False)
    answer = await call.ask(customer, ONE_TOKEN)
    stranger = await call.post(ONE_TOKEN, headers={"authorization": "Bearer pp_live-" + "x" * 32})
    assert (answer.status, answer.body) == (stranger.status, stranger.body) == (401, stranger.body)


async def test_the_list_of_models_has_those_that_the_key_may_use(call: Caller, office: Office, desk: Desk) -> None:
    customer = await office.customer()

    async def listed() -> set[str]:
        return {model["id"] for model in (await call.get("/v1/models", headers=customer.auth)).json["data"]}

    assert {TINY, OUTPUT_ONLY} <= await listed()
    await desk.set_key(customer, allowed_models=["out*", "nothing"])
    assert await listed() == {OUTPUT_ONLY}


async def test_a_forged_address_opens_nothing(call: Caller, office: Office, desk: Desk) -> None:
    customer = await office.customer()
    await desk.set_key(customer, allowed_ips=["192.0.2.7/32"])
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP"):
        answer = await call.ask(customer, ONE_TOKEN, headers={name: "192.0.2.7"})
        assert said(answer) == (403, "ip_not_allowed"), name
    assert await office.untouched(customer)


async def test_behind_a_trusted_proxy_the_client_is_who_that_proxy_says(
    call: Caller, office: Office, desk: Desk, program: Program
) -> None:
    customer = await office.customer()
    await desk.set_key(customer, allowed_ips=["192.0.2.7/32"])
    child, base_url = await program.start_proxy(listen={"port": 0, "trusted_proxies": ["127.0.0.1", "10.0.0.0/8"]})
    try:
        for forwarded, status in [
            ("192.0.2.7", 200),
            ("192.0.2.7, 10.1.2.3", 200),
            ("192.0.2.7, 203.0.113.9", 403),
            ("192.0.2.7, nonsense", 403),
            ("", 403),
        ]:
            headers = {"X-Forwarded-For": forwarded}
            answer = await call.ask(customer, ONE_TOKEN, headers=headers, base_url=base_url)
            assert answer.status == status, forwarded
    finally:
        await child.stop()


async def test_a_budget_holds_over_both_proxies_and_is_felt_on_the_next_request(
    call: Caller, office: Office, desk: Desk, proxies: list[str]
) -> None:
    customer = await office.customer()
    tokens = 20
    cost = RATES[OUTPUT_ONLY].cost(0, tokens)
    body = chat(OUTPUT_ONLY, max_tokens=tokens, simulate={"tokens": tokens})
    assert await all_say(call, proxies, customer, body) == {(200, None)}
    await office.settled()
    await desk.set_key(customer, budget_monthly=Decimal(4 * cost) / USD)
    assert await all_say(call, proxies, customer, body) == {(200, None)}
    answers = [await call.ask(customer, body, base_url=base_url) for base_url in proxies]
    assert {said(answer) for answer in answers} == {(429, "budget_exceeded")}
    assert {answer.headers["x-should-retry"] for answer in answers} == {"false"}
    assert "monthly budget" in answers[0].error["message"]
    await desk.set_key(customer, budget_monthly=Decimal(5 * cost) / USD, budget_daily=None)
    assert said(await call.ask(customer, body)) == (200, None)
    await office.settled()
    assert await office.balance_nanos(customer) == customer.start_nanos - 5 * cost


async def test_so_many_at_once_and_one_more_when_one_has_ended(
    call: Caller, office: Office, desk: Desk, proxies: list[str]
) -> None:
    customer = await office.customer()
    await desk.set_key(customer, max_concurrent_requests=1)
    async with call.stream(customer, chat(simulate={"tokens": 1000, "chunk_delay_ms": 50})) as running:
        assert running.status == 200
        for base_url in proxies:
            answer = await call.ask(customer, ONE_TOKEN, base_url=base_url)
            assert said(answer) == (429, "rate_limit_exceeded")
            assert "1 requests at the same time" in answer.error["message"] and "retry-after" in answer.headers

    async def is_let_in() -> bool:
        return (await call.ask(customer, ONE_TOKEN)).status == 200

    await until(is_let_in)


async def test_tokens_per_minute_are_counted_by_what_was_used(call: Caller, office: Office, desk: Desk) -> None:
    customer = await office.customer()
    await desk.set_key(customer, tokens_per_minute=1_000)
    first = await call.ask(customer, chat(max_tokens=900, simulate={"tokens": 10}))
    assert first.headers["x-ratelimit-limit-tokens"] == "1000"
    assert int(first.headers["x-ratelimit-remaining-tokens"]) < 100
    # the bound was 900 and more; what was used leaves room for another one at once
    assert (await call.ask(customer, chat(max_tokens=900, simulate={"tokens": 500}))).status == 200
    answer = await call.ask(customer, chat(max_tokens=900, simulate={"tokens": 1}))
    assert said(answer) == (429, "rate_limit_exceeded")
    assert "1000 tokens per minute" in answer.error["message"]
    assert 0 < int(answer.headers["retry-after-ms"]) <= 60_000
    free = await call.ask(await office.customer(), ONE_TOKEN)
    assert not [name for name in free.headers if name.lower().endswith("-tokens")]
