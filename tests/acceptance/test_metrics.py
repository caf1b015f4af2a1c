"""What Prometheus is told by the whole program: of every worker, of the ledger process, and of nobody's inventions."""

import asyncio
import json
import signal
from collections import Counter
from typing import Any

import aiohttp

from proxy.process.starting import free_port
from runtime.exposition import parse
from tests.support.calling import CHAT, Caller, chat
from tests.support.office import Office
from tests.support.program import TINY, Program
from tests.support.waiting import until

Samples = Counter[tuple[str, ...]]


async def scrape(base_url: str) -> Samples:
    """Name and label values, in the order of the labels' names -> value."""
    async with aiohttp.ClientSession() as session, session.get(f"{base_url}/metrics") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        page = await answer.text()
    found: Samples = Counter()
    for sample in parse(page):
        found[sample.name, *(value for _, value in sample.labels)] = sample.value  # type: ignore[assignment]
    return found


async def test_requests_refusals_tokens_and_dollars(program: Program, call: Caller, office: Office) -> None:
    customer = await office.customer()
    before = await scrape(program.base_url)
    await call.ask(customer, chat(TINY, simulate={"tokens": 7}))
    await call.ask(customer, chat(TINY, simulate={"tokens": 5}, stream=True))
    await call.ask(customer, chat(TINY, simulate={"fault": "status", "status": 500}))
    for count in range(20):
        await call.ask(customer, chat(f"made-up-{count}"))
    await call.post(chat(TINY), headers={"authorization": "Bearer nothing"})
    await office.settled()
    after = await scrape(program.base_url)
    grown = after - before
    assert grown["farebox_requests_total", CHAT, TINY, "completed"] == 2
    assert grown["farebox_requests_total", CHAT, TINY, "failed"] == 1
    assert grown["farebox_endings_total", "upstream_error", "502", "main"] == 1
    assert grown["farebox_refusals_total", "model_not_found", ""] == 20
    assert grown["farebox_refusals_total", "invalid_api_key", ""] == 1
    assert grown["farebox_tokens_total", "output", TINY] == 12
    assert grown["farebox_charged_dollars_total", TINY] > 0
    assert grown["farebox_time_to_first_token_seconds_count", TINY] == 1
    assert grown["farebox_added_seconds_count", "before"] == 3
    assert grown["farebox_redis_call_seconds_count",] >= 6
    assert (after["farebox_redis_up",], after["farebox_holds",]) == (1, 0)
    assert [name for name in after if any("made-up" in part for part in name)] == []


async def test_whichever_worker_is_asked_it_tells_of_all(program: Program, office: Office) -> None:
    customer, port, asked = await office.customer(), free_port("127.0.0.1"), 24
    child, base_url = await program.start_workers(3, port)
    try:
        for _ in range(asked):  # each over a connection of its own: they fall to different workers
            async with aiohttp.ClientSession() as session:
                await session.post(f"{base_url}{CHAT}", json=chat(TINY), headers=customer.auth)

        async def total() -> Samples:
            return await scrape(base_url)

        seen: list[Samples] = []
        async with asyncio.timeout(30):
            while not seen or seen[-1]["farebox_requests_total", CHAT, TINY, "completed"] < asked:
                seen.append(await total())
        later = [await total() for _ in range(6)]
        assert {each["farebox_requests_total", CHAT, TINY, "completed"] for each in later} == {asked}
        assert {each["farebox_workers",] for each in later} == {3}
        counts = [each["farebox_requests_total", CHAT, TINY, "completed"] for each in seen]
        assert counts == sorted(counts)
    finally:
        await child.stop()


async def test_a_ledger_process_tells_of_itself(program: Program) -> None:
    child, address = await program.start_ledger_with_metrics()
    try:
        found = await scrape(address)
        assert ("farebox_stream_events", "0") in found
        assert found["farebox_workers",] == 1
        async with aiohttp.ClientSession() as session, session.get(f"{address}/healthz") as answer:
            assert answer.status == 200
            assert (await answer.json())["status"] == "ok"

        joined = ("farebox_ledger_step_seconds_count", "join")
        async with asyncio.timeout(30):
            while not (await scrape(address))[joined]:
                pass
    finally:
        await child.stop()


async def test_a_signal_makes_every_worker_say_more(program: Program) -> None:
    child, _ = await program.start_workers(2, free_port("127.0.0.1"))
    try:
        child.send(signal.SIGUSR1)
        await until(lambda: [line["log_level"] for line in changes(program)] == ["debug"] * 2)
        child.send(signal.SIGUSR2)
        await until(lambda: sorted(line["log_level"] for line in changes(program)) == ["debug"] * 2 + ["info"] * 2)
    finally:
        await child.stop()


def changes(program: Program) -> list[dict[str, Any]]:
    lines = [line for line in program.logs().splitlines() if '"event":"log_level_changed"' in line]
    return [json.loads(line) for line in lines]
