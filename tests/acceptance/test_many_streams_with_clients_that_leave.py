"""Two hundred streams at once, of which many are left in the middle: every one ends in exactly one debit."""

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.support.calling import PROMPT_TOKENS, Caller, chat
from tests.support.office import RATES, Customer, Office
from tests.support.program import TINY

STREAMS = 200
CUSTOMERS = 5
TOKENS = 60
# The first event carries the role: who leaves there has had nothing yet.
FIRST_EVENT_TO_LEAVE_AFTER = 2
# A stream lasts about a second and a half: whoever leaves before half of it has left in the middle, on any machine.
CHUNK_DELAY_MS = 25
LAST_EVENT_TO_LEAVE_AFTER = TOKENS // 2


@dataclass(frozen=True)
class Visit:
    """One stream; `leaves_after` so many events, None: stays to the end."""

    name: str
    customer: Customer
    leaves_after: int | None
    starts_after_s: float


def plan(chance: random.Random, customers: list[Customer]) -> list[Visit]:
    return [
        Visit(
            f"visit-{number}",
            chance.choice(customers),
            chance.randint(FIRST_EVENT_TO_LEAVE_AFTER, LAST_EVENT_TO_LEAVE_AFTER) if chance.random() < 0.5 else None,
            chance.random() / 4,
        )
        for number in range(STREAMS)
    ]


async def pay(call: Caller, visit: Visit) -> tuple[str, int]:
    """The stream's request id, and how many events the client saw."""
    await asyncio.sleep(visit.starts_after_s)
    body = chat(simulate={"tokens": TOKENS, "chunk_delay_ms": CHUNK_DELAY_MS})
    async with call.stream(visit.customer, body, **{"x-client-request-id": visit.name}) as answer:
        assert answer.status == 200
        seen = 0
        async for line in answer.content:
            seen += line.startswith(b"data: ")
            if seen == visit.leaves_after:
                answer.close()
                break
        return answer.headers["x-request-id"], seen


def assert_exact(row: dict[str, Any], record: dict[str, Any]) -> None:
    """A stream that ended by itself: the LLM server's own count, at the price."""
    assert (row["end_reason"], row["usage_source"]) == ("completed", "reported"), row
    assert (record["state"], record["completion_tokens"]) == ("finished", TOKENS)
    assert row["cost"] == RATES[TINY].cost(record["prompt_tokens"], record["completion_tokens"])


def assert_delivered(row: dict[str, Any], record: dict[str, Any], seen: int) -> None:
    """A stream that its client left: no less than the client saw, no more than the LLM server made."""
    if row["usage_source"] == "reported":  # everything was slow, and the server had told its count by then
        assert (row["end_reason"], row["output_tokens"]) == ("client_left", record["completion_tokens"]), row
        return
    assert (row["end_reason"], row["usage_source"]) == ("client_left", "estimated"), row
    assert record["state"] == "client_left", record
    words_seen = seen - 1  # the first event carries the role
    assert words_seen <= row["output_tokens"] <= record["completion_tokens"] < TOKENS
    assert row["cost"] == RATES[TINY].cost(row["input_tokens"], row["output_tokens"])
    assert row["input_tokens"] >= PROMPT_TOKENS


def seeded() -> random.Random:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    return random.Random(seed)


async def test_every_stream_ends_in_exactly_one_debit(call: Caller, office: Office) -> None:
    customers = [await office.customer() for _ in range(CUSTOMERS)]
    visits = plan(seeded(), customers)
    outcomes = await asyncio.gather(*(pay(call, visit) for visit in visits))
    await office.settled()

    for visit, (request_id, seen) in zip(visits, outcomes, strict=True):
        row = await office.usage(request_id)
        record = await call.ended_upstream(request_id)
        assert row["metadata"]["client_request_id"] == visit.name
        assert row["uncollected"] == 0
        if visit.leaves_after is None:
            assert_exact(row, record)
        else:
            assert_delivered(row, record, seen)

    for customer in customers:
        debits = await office.debits(customer)
        rows = await office.usage_rows(customer)
        assert debits == {str(row["id"]): row["cost"] for row in rows if row["cost"]}
        assert len(rows) == sum(visit.customer == customer for visit in visits)
        assert await office.balance_nanos(customer) == customer.start_nanos - sum(debits.values())
        assert await office.available_nanos(customer) == await office.balance_nanos(customer)


async def test_clients_that_leave_while_the_proxy_works_on_their_request_leave_nothing_behind(
    call: Caller, office: Office
) -> None:
    """They leave at any moment, from the connection's first packet on: some are not even known yet."""
    customer = await office.customer()
    chance = seeded()

    async def come_and_go(leaves_after_s: float) -> None:
        try:
            async with asyncio.timeout(leaves_after_s):
                await call.ask(customer, chat(simulate={"tokens": 5, "first_delay_ms": 200}))
        except (TimeoutError, aiohttp.ClientError):
            pass

    await asyncio.gather(*(come_and_go(chance.random() / 5) for _ in range(STREAMS)))
    await office.settled()
    rows = await office.usage_rows(customer)
    prompt_alone = {("client_left", 0)} | {("client_left", RATES[TINY].cost(row["input_tokens"], 0)) for row in rows}
    assert {(row["end_reason"], row["cost"]) for row in rows} <= prompt_alone | {
        ("completed", RATES[TINY].cost(PROMPT_TOKENS, 5)),
    }
    assert await office.balance_nanos(customer) == customer.start_nanos - sum(row["cost"] for row in rows)
    assert await office.available_nanos(customer) == await office.balance_nanos(customer)
