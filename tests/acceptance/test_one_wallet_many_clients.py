"""Five hundred clients on one wallet: what the money buys is served, no more and no less, to the last cent."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.calling import Answer, Caller, chat
from tests.support.chaos.customers import FEE_NANOS, insert_price
from tests.support.office import RATES, Customer, Office, eventually
from tests.support.program import OUTPUT_ONLY, TINY, Program

CLIENTS = 500
SERVED = 100
# Served by the same upstream as TINY; there it stands for no price yet.
FEE_ONLY = "unpriced"
TOKEN_NANOS = RATES[OUTPUT_ONLY].output // 1_000


@pytest.fixture(scope="module")
def program(module_program: Program) -> Program:
    """Of this module's own: it sets a price, and asks more at once than others should have to wait for."""
    return module_program


@pytest.fixture
async def three_proxies(program: Program) -> AsyncIterator[list[str]]:
    """Their addresses."""
    more = [await program.start_proxy() for _ in range(2)]
    yield [program.base_url, *(base_url for _, base_url in more)]
    await asyncio.gather(*(child.stop() for child, _ in more))


async def assert_exactly_what_the_money_buys(call: Caller, office: Office, base_urls: list[str]) -> None:
    await insert_price(office.pool, FEE_ONLY, fee_nanos=FEE_NANOS)
    await until_priced(call, await office.customer(), base_urls)
    customer = await office.customer(SERVED * FEE_NANOS)
    body = chat(FEE_ONLY, simulate={"tokens": 1})
    asked = [call.ask(customer, body, base_url=base_urls[number % len(base_urls)]) for number in range(CLIENTS)]
    answers = await asyncio.gather(*asked)
    assert Counter(map(told, answers)) == {(200, None): SERVED, (402, "insufficient_balance"): CLIENTS - SERVED}
    await office.settled()
    assert await office.balance_nanos(customer) == 0
    assert await office.available_nanos(customer) == 0


def told(answer: Answer) -> tuple[int, str | None]:
    return answer.status, None if answer.status == 200 else str(answer.error["code"])


async def until_priced(call: Caller, customer: Customer, base_urls: list[str]) -> None:
    """A price that was just set is known within a second; each proxy is asked until it knows."""
    for base_url in base_urls:

        async def status(base_url: str = base_url) -> int:
            return (await call.ask(customer, chat(FEE_ONLY, simulate={"tokens": 1}), base_url=base_url)).status

        await eventually(status, 200)


async def test_of_five_hundred_clients_a_hundred_are_served_if_the_money_is_for_a_hundred(
    call: Caller, office: Office
) -> None:
    await assert_exactly_what_the_money_buys(call, office, [call.program.base_url])


async def test_the_same_through_three_proxies(call: Caller, office: Office, three_proxies: list[str]) -> None:
    await assert_exactly_what_the_money_buys(call, office, three_proxies)


async def test_with_prices_by_token_nothing_is_overspent_and_the_last_cent_can_be_used(
    call: Caller, office: Office, three_proxies: list[str]
) -> None:
    """Clients of all sizes come again until they are refused; then one alone uses up what is left."""
    start_nanos = 20_000 * TOKEN_NANOS
    customer = await office.customer(start_nanos)
    chance = random.Random(5)
    bodies = [order(chance) for _ in range(CLIENTS)]
    served = await asyncio.gather(
        *(until_refused(call, customer, body, three_proxies[number % 3]) for number, body in enumerate(bodies))
    )
    await office.settled()
    rows = await office.usage_rows(customer)
    charged = sum(row["cost"] - row["uncollected"] for row in rows)
    rest = await office.balance_nanos(customer)
    assert len(rows) == sum(served) > 0
    assert charged + rest == start_nanos and rest >= 0
    assert charged >= start_nanos // 2, "there was money for far more"

    alone = await until_refused(call, customer, smallest(), call.program.base_url)
    await office.settled()
    assert await office.balance_nanos(customer) == rest - alone * TOKEN_NANOS == 0
    assert await office.available_nanos(customer) == 0


def order(chance: random.Random) -> dict[str, Any]:
    limit = chance.randint(1, 60)
    return chat(OUTPUT_ONLY, max_tokens=limit, stream=chance.random() < 0.5, simulate={"tokens": chance.randint(1, 60)})


def smallest() -> dict[str, Any]:
    return chat(OUTPUT_ONLY, max_tokens=1, simulate={"tokens": 1})


async def until_refused(call: Caller, customer: Customer, body: dict[str, Any], base_url: str) -> int:
    """How many were served before the 402."""
    served = 0
    while (answer := await call.ask(customer, body, base_url=base_url)).status == 200:
        served += 1
    assert told(answer) == (402, "insufficient_balance"), answer
    return served


async def test_with_input_to_pay_for_too_one_client_alone_can_use_what_covers_the_smallest_request(
    call: Caller, office: Office
) -> None:
    customer = await office.customer(3_000_000)
    body = chat(TINY, max_tokens=50, simulate={"tokens": 50})
    await asyncio.gather(*(until_refused(call, customer, body, call.program.base_url) for _ in range(50)))
    await office.settled()
    small = chat(TINY, max_tokens=1, simulate={"tokens": 1})
    refused: Answer | None = None
    while refused is None:
        answer = await call.ask(customer, small)
        refused = answer if answer.status != 200 else None
    assert told(refused) == (402, "insufficient_balance")
    await office.settled()
    rest = await office.balance_nanos(customer)
    # the hold of a prompt is a bound, so a little more than the request comes to must be there
    assert 0 <= rest < 20 * RATES[TINY].cost(7, 1)
