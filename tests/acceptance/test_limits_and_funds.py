"""Requests per minute and day, and money: what is over a limit is refused with the reason, and takes nothing."""

import asyncio
from decimal import Decimal

import pytest

from ledger.money import format_dollars
from tests.support.calling import Answer, Caller, chat
from tests.support.ledger import USD
from tests.support.office import RATES, Customer, Office, eventually, nanos
from tests.support.program import OUTPUT_ONLY, TINY, Program

ONE_TOKEN = chat(simulate={"tokens": 1})


def go_duration_ms(text: str) -> float:
    """OpenAI's `1.5s`, `20ms`, `6m0s`."""
    if text.endswith("ms"):
        return float(text[:-2])
    minutes, _, seconds = text.removesuffix("s").rpartition("m")
    return 60_000 * float(minutes or 0) + 1_000 * float(seconds)


def assert_over_limit(answer: Answer, which: str) -> None:
    assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded"), answer
    assert which in answer.error["message"]
    wait_ms = int(answer.headers["retry-after-ms"])
    assert wait_ms > 0
    assert int(answer.headers["retry-after"]) == max(1, -(-wait_ms // 1000))


async def test_the_fourth_of_three_a_minute_is_refused_and_the_headers_count_down(call: Caller, office: Office) -> None:
    customer = await office.customer(rpm=3)
    answers = [await call.ask(customer, ONE_TOKEN) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert {answer.headers["x-ratelimit-limit-requests"] for answer in answers} == {"3"}
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["2", "1", "0", "0"]
    resets_ms = [go_duration_ms(answer.headers["x-ratelimit-reset-requests"]) for answer in answers]
    assert resets_ms[:3] == sorted(resets_ms[:3])
    # each takes 20 s to come back; some of it may be over already
    assert all(0 < reset_ms <= 20_000 * taken for taken, reset_ms in zip((1, 2, 3, 3), resets_ms, strict=True))
    assert_over_limit(answers[3], "3 requests per minute")
    assert int(answers[3].headers["retry-after-ms"]) <= 20_000
    await office.settled()
    assert len(await office.usage_rows(customer)) == 3


async def test_streams_count_and_say_so_too(call: Caller, office: Office) -> None:
    customer = await office.customer(rpm=2)
    for remaining in ("1", "0"):
        async with call.stream(customer, ONE_TOKEN) as answer:
            assert answer.headers["x-ratelimit-remaining-requests"] == remaining
            await answer.read()
    async with call.stream(customer, ONE_TOKEN) as answer:
        assert answer.status == 429


async def test_a_request_that_is_refused_takes_nothing_from_the_bucket(call: Caller, office: Office) -> None:
    """Bad bodies and empty wallets must not use up somebody's minute."""
    customer = await office.customer(0, rpm=2)
    assert [(await call.ask(customer, ONE_TOKEN)).status for _ in range(4)] == [402] * 4
    assert [(await call.ask(customer, chat(max_tokens=-1))).status for _ in range(4)] == [400] * 4
    await office.wallets.give_bonus(customer.user_id, USD, "at last", "a test")
    assert [(await call.ask(customer, ONE_TOKEN)).status for _ in range(3)] == [200, 200, 429]


async def test_the_bucket_fills_again(call: Caller, office: Office) -> None:
    """120 a minute bring one every half second."""
    customer = await office.customer(rpm=120)

    async def status() -> int:
        return (await call.ask(customer, ONE_TOKEN)).status

    answers = await asyncio.gather(*(call.ask(customer, ONE_TOKEN) for _ in range(150)))
    assert {answer.status for answer in answers} == {200, 429}
    await eventually(status, 200)


async def test_the_day_is_limited_too(call: Caller, office: Office) -> None:
    customer = await office.customer(rpd=2)
    answers = [await call.ask(customer, ONE_TOKEN) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert_over_limit(answers[2], "2 requests per day")
    assert 0 < int(answers[2].headers["retry-after"]) <= 43_200


async def test_two_proxies_share_one_limit(call: Caller, office: Office, program: Program, second_proxy: str) -> None:
    customer = await office.customer(rpm=10)
    both = [program.base_url, second_proxy] * 15
    answers = await asyncio.gather(*(call.ask(customer, ONE_TOKEN, base_url=base_url) for base_url in both))
    assert sum(answer.status == 200 for answer in answers) in (10, 11)  # one comes back after six seconds
    assert {answer.status for answer in answers} == {200, 429}


@pytest.mark.parametrize(("column", "which"), [("minute", "1 requests per minute"), ("day", "1 requests per day")])
async def test_a_limit_that_an_operator_changes_in_sql_is_felt(
    call: Caller, office: Office, column: str, which: str
) -> None:
    customer = await office.customer()
    assert (await call.ask(customer, ONE_TOKEN)).status == 200
    await office.pool.execute(f"UPDATE ai_api_keys SET rate_limit_per_{column} = 1 WHERE id = $1", customer.key_id)

    async def status() -> int:
        return (await call.ask(customer, ONE_TOKEN)).status

    await eventually(status, 429)
    assert_over_limit(await call.ask(customer, ONE_TOKEN), which)


async def test_a_limit_of_zero_lets_nothing_through(call: Caller, office: Office) -> None:
    customer = await office.customer(rpm=0)
    assert_over_limit(await call.ask(customer, ONE_TOKEN), "0 requests per minute")


async def test_a_wallet_that_cannot_afford_it_is_told_what_it_would_take(call: Caller, office: Office) -> None:
    customer = await office.customer(999)
    answer = await call.ask(customer, chat(OUTPUT_ONLY, max_tokens=21, simulate={"tokens": 1}))
    assert (answer.status, answer.error["code"]) == (402, "insufficient_balance")
    assert answer.headers["x-should-retry"] == "false"
    assert "retry-after" not in answer.headers
    assert b'"details":{"balance":0.000000999,"required":0.000001}' in answer.body
    assert answer.error["details"] == {"balance": 0.000000999, "required": 0.000001}
    assert await office.untouched(customer)


@pytest.mark.parametrize(
    ("asked", "lowered", "tokens"),
    [({"max_tokens": 10}, 9, 9), ({"max_completion_tokens": 10}, 9, 9), ({"max_tokens": 5, "n": 2}, 4, 8), ({}, 9, 9)],
)
async def test_a_wallet_that_cannot_pay_the_limit_gets_a_lower_one(
    call: Caller, office: Office, asked: dict[str, int], lowered: int, tokens: int
) -> None:
    body = chat(OUTPUT_ONLY, simulate={"tokens": 99}, **asked)
    poor = await office.customer(9_999)
    answer = await call.ask(poor, body)
    assert (answer.status, answer.headers["x-farebox-max-tokens"]) == (200, str(lowered))
    assert answer.json["usage"]["completion_tokens"] == tokens
    assert {choice["finish_reason"] for choice in answer.json["choices"]} == {"length"}
    await office.settled()
    assert await office.balance_nanos(poor) == 9_999 - tokens * 1_000
    rich = await call.ask(await office.customer(), body)
    assert rich.status == 200 and "x-farebox-max-tokens" not in rich.headers


async def test_a_stream_holds_step_by_step_and_needs_no_more_than_it_uses(call: Caller, office: Office) -> None:
    """Its limit would cost a hundred times what is there; what it says does not."""
    tokens = 2_000
    customer = await office.customer(tokens * 1_000)
    body = chat(OUTPUT_ONLY, stream=True, max_tokens=200_000, simulate={"tokens": tokens})
    async with call.stream(customer, body) as answer:
        text = await answer.text()
    assert answer.status == 200 and text.endswith("data: [DONE]\n\n")
    assert text.count('"content":"w') == tokens
    await office.settled()
    assert await office.balance_nanos(customer) == 0
    (row,) = await office.usage_rows(customer)
    assert (row["output_tokens"], row["end_reason"], row["uncollected"]) == (tokens, "completed", 0)


async def test_a_stream_that_nobody_can_pay_any_more_is_cut_and_told(call: Caller, office: Office) -> None:
    customer = await office.customer(700_000)
    body = chat(OUTPUT_ONLY, stream=True, simulate={"tokens": 100_000, "chunk_delay_ms": 1})
    async with call.stream(customer, body) as answer:
        text = await answer.text()
    assert answer.status == 200
    assert '"code":"insufficient_balance"' in text.rsplit("data: ", 1)[1]
    said = text.count('"content":"w')
    # counted by length, a word of five letters is a quarter more than a token
    assert 500 <= said < 1_400
    await office.settled()
    assert await office.balance_nanos(customer) == 0
    (row,) = await office.usage_rows(customer)
    assert (row["end_reason"], row["status_code"]) == ("funds_ended", 200)
    assert row["cost"] - row["uncollected"] == 700_000
    (seen,) = await call.seen_upstream(answer.headers["x-request-id"])
    assert seen["completion_tokens"] < 100_000, "the server was told to stop"


async def test_a_credit_is_felt_at_once(call: Caller, office: Office) -> None:
    customer = await office.customer(0)
    assert (await call.ask(customer, ONE_TOKEN)).status == 402
    await office.wallets.give_bonus(customer.user_id, USD, "at last", "a test")
    assert (await call.ask(customer, ONE_TOKEN)).status == 200
    await office.wallets.set_balance(customer.user_id, 0, "and gone", "a test")
    assert (await call.ask(customer, ONE_TOKEN)).status == 402


async def test_an_overdraft_that_an_operator_grants_in_sql_is_felt_and_is_the_end_of_it(
    call: Caller, office: Office
) -> None:
    customer = await office.customer(0)
    body = chat(OUTPUT_ONLY, max_tokens=10, simulate={"tokens": 10})
    assert (await call.ask(customer, body)).status == 402
    await office.pool.execute("UPDATE ai_wallets SET overdraft = 0.00002 WHERE id = $1", customer.wallet_id)

    async def available() -> int:
        return await office.available_nanos(customer)

    await eventually(available, 20_000)
    assert [(await call.ask(customer, body)).status for _ in range(3)] == [200, 200, 402]
    await office.settled()
    assert await office.balance_nanos(customer) == -20_000


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_exactly_as_many_requests_as_the_money_buys_are_served(
    call: Caller, office: Office, program: Program, second_proxy: str, streamed: bool
) -> None:
    """Fifty at once over two proxies, each holding exactly what it will cost, and money for ten and most of another."""
    tokens, bought = 20, 10
    cost = RATES[OUTPUT_ONLY].cost(0, tokens)
    customer = await office.customer(bought * cost + cost - 1)
    body = chat(OUTPUT_ONLY, stream=streamed, max_tokens=tokens, simulate={"tokens": tokens, "chunk_delay_ms": 5})
    both = [program.base_url, second_proxy] * 25
    answers = await asyncio.gather(*(call.ask(customer, body, base_url=base_url) for base_url in both))
    statuses = [answer.status for answer in answers]
    assert (statuses.count(200), statuses.count(402)) == (bought + 1, 49 - bought)
    await office.settled()
    rest = await office.balance_nanos(customer)
    assert 0 <= rest < 1_000, "the last token that could be paid was"
    assert sum((await office.debits(customer)).values()) == bought * cost + cost - 1 - rest
    assert sum(row["output_tokens"] >= tokens - 1 for row in await office.usage_rows(customer)) == bought + 1


async def test_wallets_with_little_money_are_never_overspent(call: Caller, office: Office) -> None:
    """Holds are larger than what is used, and customers come again and again until nothing more can be had."""
    customers = [await office.customer(60_000) for _ in range(5)]

    async def spend(customer: Customer) -> int:
        served = 0
        for tokens in (20, 7, 1):
            body = chat(OUTPUT_ONLY, max_tokens=tokens, simulate={"tokens": max(1, tokens // 2)})
            while (await call.ask(customer, body)).status == 200:
                served += 1
        return served

    served = await asyncio.gather(*(spend(customer) for customer in customers for _ in range(6)))
    assert sum(served) > 0
    await office.settled()
    for customer in customers:
        assert await office.balance_nanos(customer) == 0
        assert all(row["uncollected"] == 0 for row in await office.usage_rows(customer))


async def test_what_is_used_beyond_the_hold_is_taken_as_far_as_the_wallet_goes(call: Caller, office: Office) -> None:
    """A prompt that is worth more tokens than its bytes say: no bound holds for ever, and no wallet goes below zero."""
    rate = RATES[TINY]
    body = chat(max_tokens=1, messages=[{"role": "user", "content": "a " * 40}] * 2, simulate={"tokens": 1})
    costly = await office.customer()
    answer = await call.ask(costly, body)
    (seen,) = await call.seen_upstream(answer.request_id)
    cost = rate.cost(seen["prompt_tokens"], 1)
    assert answer.headers["x-farebox-cost"] == format_dollars(cost)
    assert nanos(Decimal(answer.headers["x-farebox-cost"])) == cost
    await office.settled()
    assert await office.balance_nanos(costly) == costly.start_nanos - cost
