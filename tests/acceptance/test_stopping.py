"""SIGTERM: what runs may finish, what is over is settled, and the process says that all went well."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.support.calling import CHAT, PROMPT_TOKENS, Caller, chat, events
from tests.support.installation import descendants, free_port
from tests.support.office import RATES, Customer, Office
from tests.support.program import TINY, Program
from tests.support.waiting import UNTIL_TIMEOUT_S, until, until_gone

TOKENS = 60
STREAMS = 20
# They last four seconds: longer than a proxy that waits for nobody takes to end.
PACED: dict[str, Any] = chat(simulate={"tokens": TOKENS, "chunk_delay_ms": 65}, stream=True)
ENDLESS: dict[str, Any] = chat(simulate={"tokens": 100_000, "chunk_delay_ms": 20}, stream=True)


@pytest.fixture
def program(module_program: Program) -> Program:
    return module_program


class Streams:
    """Streams that have begun, of which the rest is yet to be read."""

    def __init__(self, call: Caller, customer: Customer, base_url: str) -> None:
        self._call = call
        self._customer = customer
        self._url = base_url + CHAT
        self.answers: list[aiohttp.ClientResponse] = []

    async def begin(self, count: int, body: dict[str, Any]) -> None:
        async def one() -> None:
            answer = await self._call.http.post(self._url, json=body, headers=self._customer.auth)
            self.answers.append(answer)
            await answer.content.readline()

        await asyncio.gather(*(one() for _ in range(count)))

    async def rest(self) -> list[bytes]:
        return list(await asyncio.gather(*(answer.read() for answer in self.answers)))

    @property
    def request_ids(self) -> list[str]:
        return [answer.headers["x-request-id"] for answer in self.answers]


@pytest.fixture
async def customer(office: Office) -> AsyncIterator[Customer]:
    customer = await office.customer(1000 * 10**9)
    yield customer
    await office.settled()
    rows = await office.usage_rows(customer)
    assert await office.balance_nanos(customer) == customer.start_nanos - sum(row["cost"] for row in rows)


async def exit_code_of(child: Any) -> int:
    async with asyncio.timeout(UNTIL_TIMEOUT_S):
        code: int = await child.wait()
        return code


async def test_streams_that_run_finish_and_are_settled(
    call: Caller, office: Office, program: Program, customer: Customer
) -> None:
    proxy, base_url = await program.start_proxy()
    streams = Streams(call, customer, base_url)
    await streams.begin(STREAMS, PACED)
    proxy.send(signal.SIGTERM)
    rest = await streams.rest()
    assert await exit_code_of(proxy) == 0
    # each was read up to its first event
    assert {len(events(got)) for got in rest} == {TOKENS + 1 + 1}
    for request_id in streams.request_ids:
        row = await office.usage(request_id)
        assert (row["end_reason"], row["cost"]) == ("completed", RATES[TINY].cost(PROMPT_TOKENS, TOKENS))
    with pytest.raises(aiohttp.ClientConnectorError):
        await call.post(PACED, base_url=base_url)


async def test_streams_that_are_cut_are_not_said_to_have_been_left_by_their_clients(
    call: Caller, office: Office, program: Program, customer: Customer
) -> None:
    (row,) = await cut_streams(call, office, program, customer, 1)
    assert row["end_reason"] == "shutdown"


async def test_streams_that_would_run_for_ever_are_cut_and_what_was_delivered_is_settled(
    call: Caller, office: Office, program: Program, customer: Customer
) -> None:
    for row in await cut_streams(call, office, program, customer, STREAMS):
        assert (row["usage_source"], row["status_code"] in (200, 499)) == ("estimated", True)
        assert row["cost"] == RATES[TINY].cost(row["input_tokens"], row["output_tokens"]) > 0
        assert (await call.ended_upstream(str(row["id"])))["state"] == "client_left"


async def cut_streams(
    call: Caller, office: Office, program: Program, customer: Customer, count: int
) -> list[dict[str, Any]]:
    """The usage rows of streams that a proxy did not wait for when it was told to stop."""
    proxy, base_url = await program.start_proxy(listen={"shutdown_timeout_s": 0.5})
    streams = Streams(call, customer, base_url)
    await streams.begin(count, ENDLESS)
    proxy.send(signal.SIGTERM)
    assert await exit_code_of(proxy) == 0
    for answer in streams.answers:
        answer.close()
    return [await office.usage(request_id) for request_id in streams.request_ids]


async def test_an_idle_proxy_with_open_connections_stops_at_once(
    call: Caller, program: Program, customer: Customer
) -> None:
    """A client that keeps its connection for the next request must not hold up a restart."""
    proxy, base_url = await program.start_proxy()
    assert (await call.ask(customer, chat(simulate={"tokens": 1}), base_url=base_url)).status == 200
    proxy.send(signal.SIGTERM)
    async with asyncio.timeout(10):  # the streams' grace is 30 s
        assert await proxy.wait() == 0


async def test_what_a_proxy_had_answered_is_debited_though_it_is_killed(
    call: Caller, office: Office, program: Program, customer: Customer
) -> None:
    proxy, base_url = await program.start_proxy()
    answers = await asyncio.gather(
        *(call.ask(customer, chat(simulate={"tokens": 1}), base_url=base_url) for _ in range(50))
    )
    proxy.send(signal.SIGKILL)
    await proxy.wait()
    for answer in answers:
        assert (await office.usage(answer.request_id))["cost"] == RATES[TINY].cost(PROMPT_TOKENS, 1)


async def test_the_ledger_finishes_what_it_has_in_hand(
    call: Caller, office: Office, program: Program, customer: Customer
) -> None:
    for round_number in range(1, 4):
        await call.ask(customer, chat(simulate={"tokens": 1}))
        await office.settled()  # by then the process that was just started runs
        ledger = program.ledger
        assert ledger is not None
        asking = asyncio.get_running_loop().create_task(_many(call, customer))
        ledger.send(signal.SIGTERM)
        assert await exit_code_of(ledger) == 0
        await asking
        program.start_ledger()
        await office.settled()
        assert len(await office.usage_rows(customer)) == 51 * round_number


async def _many(call: Caller, customer: Customer) -> None:
    answers = await asyncio.gather(*(call.ask(customer, chat(simulate={"tokens": 1})) for _ in range(50)))
    assert {answer.status for answer in answers} == {200}


async def test_several_workers_stop_like_one(
    call: Caller, office: Office, program: Program, customer: Customer
) -> None:
    supervisor, base_url = await program.start_workers(2, free_port())
    workers = list(descendants(supervisor.pid))
    assert len(workers) == 2
    streams = Streams(call, customer, base_url)
    await streams.begin(STREAMS, PACED)
    supervisor.send(signal.SIGTERM)
    rest = await streams.rest()
    assert await exit_code_of(supervisor) == 0
    assert all(json.loads(events(got)[-2])["choices"][0]["finish_reason"] == "stop" for got in rest)
    await until_gone(*workers)


async def test_when_a_worker_is_killed_the_others_streams_go_on_and_another_takes_its_place(
    call: Caller, office: Office, program: Program, customer: Customer
) -> None:
    supervisor, base_url = await program.start_workers(2, free_port())
    workers = set(descendants(supervisor.pid))
    streams = Streams(call, customer, base_url)
    await streams.begin(STREAMS, PACED)
    killed = workers.pop()
    os.kill(killed, signal.SIGKILL)
    ends = await asyncio.gather(*(answer.read() for answer in streams.answers), return_exceptions=True)
    # the kernel dealt them out: that all of twenty came to the one that was killed happens once in a million times
    assert {len(events(got)) for got in ends if isinstance(got, bytes)} == {TOKENS + 1 + 1}
    await until(lambda: len(descendants(supervisor.pid)) == 2)
    assert killed not in descendants(supervisor.pid) and workers < set(descendants(supervisor.pid))
    supervisor.send(signal.SIGTERM)
    assert await exit_code_of(supervisor) == 0


async def test_a_proxy_and_its_ledger_are_one_service(
    call: Caller, office: Office, program: Program, customer: Customer
) -> None:
    supervisor, base_url = await program.start_workers(1, free_port(), with_ledger=True)
    below = descendants(supervisor.pid)
    assert sorted("ledger" if " ledger " in words else "worker" for words in below.values()) == ["ledger", "worker"]
    answer = await call.ask(customer, chat(simulate={"tokens": 1}), base_url=base_url)
    assert (await office.usage(answer.request_id))["cost"] == RATES[TINY].cost(PROMPT_TOKENS, 1)
    supervisor.send(signal.SIGTERM)
    assert await exit_code_of(supervisor) == 0
    await until_gone(*below)


async def test_workers_do_not_outlive_whoever_started_them(program: Program) -> None:
    supervisor, _ = await program.start_workers(2, free_port())
    workers = list(descendants(supervisor.pid))
    supervisor.send(signal.SIGKILL)
    await supervisor.wait()
    await until_gone(*workers)
