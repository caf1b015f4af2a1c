"""An upgrade under load: three proxies and two writers are replaced one after the other, Postgres is restarted in the
middle, and no request fails.
"""

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.migrate import migrate
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.embedded.valkey import EmbeddedValkey
from runtime.processes import Child
from runtime.tasks import TaskSet
from tests.support.balancer import Balancer
from tests.support.calling import CHAT, PROMPT_TOKENS, Caller, chat, events
from tests.support.office import RATES, Customer, Office, open_office, set_prices
from tests.support.program import TINY, Program
from tests.support.restartable import Server
from tests.support.waiting import UNTIL_TIMEOUT_S, until

PROXIES = 3
CALLERS = 12
TOKENS = 25
# A stream takes half a second; those that ask for long ones are in the middle of one whenever a proxy is told to stop.
SHORT, LONG = 20, 100
# For the balancer to see that a proxy leaves: it looks twenty times a second.
DELAY_S = 1.5


@pytest.fixture
async def postgres(reachable_dir: Path) -> AsyncIterator[Server]:
    server = Server(EmbeddedPostgres, reachable_dir / "postgres")
    await server.start()
    await migrate(server.url)
    yield server
    await server.stop()


@pytest.fixture
async def program(postgres: Server, reachable_dir: Path, tmp_path: Path) -> AsyncIterator[Program]:
    valkey = Server(EmbeddedValkey, reachable_dir / "valkey")
    await valkey.start()
    await set_prices(postgres.url)
    program = Program(tmp_path, postgres.url, valkey.url, {"listen": {"shutdown_delay_s": DELAY_S}})
    try:
        await program.start()
        yield program
    finally:
        await program.stop()
        await valkey.stop()


@pytest.fixture
async def office(program: Program) -> AsyncIterator[Office]:
    async with open_office(program) as office:
        yield office


class Load:
    """Callers who ask without pause until told to stop; half of them for streams. What each answer was is kept."""

    def __init__(self, balancer: Balancer, customers: list[Customer]) -> None:
        self._balancer = balancer
        self._customers = itertools.cycle(customers)
        self._tasks = TaskSet()
        self._is_over = False
        self.outcomes: Counter[str] = Counter()
        self.asked: Counter[Customer] = Counter()

    def begin(self, callers: int) -> None:
        for number in range(callers):
            self._tasks.spawn(self._ask_on(number % 2 == 0, LONG if number % 4 == 0 else SHORT), name="caller")

    async def end(self) -> None:
        self._is_over = True
        assert await self._tasks.drain(UNTIL_TIMEOUT_S) == 0

    async def goes_on(self) -> None:
        """Until as many again as there are callers were answered."""
        wanted = self.outcomes.total() + CALLERS
        await until(lambda: self.outcomes.total() >= wanted)

    async def _ask_on(self, is_streamed: bool, delay_ms: int) -> None:
        while not self._is_over:
            customer = next(self._customers)
            self.asked[customer] += 1
            try:
                self.outcomes[await self._ask(customer, is_streamed, delay_ms)] += 1
            except Exception as error:
                self.outcomes[f"{type(error).__name__}: {error}"] += 1

    async def _ask(self, customer: Customer, is_streamed: bool, delay_ms: int) -> str:
        simulate = {"tokens": TOKENS, "chunk_delay_ms": delay_ms if is_streamed else 1}
        body = chat(simulate=simulate, stream=is_streamed)
        backend = self._balancer.next()
        async with backend.http.post(backend.url + CHAT, json=body, headers=customer.auth) as answer:
            got = await answer.read()
        if answer.status != 200:
            return f"{answer.status}: {got[:200]!r}"
        if is_streamed and len(events(got)) != 1 + TOKENS + 1 + 1:
            return f"cut: {got[-200:]!r}"
        return "whole"


async def exit_code_of(child: Child) -> int:
    async with asyncio.timeout(UNTIL_TIMEOUT_S):
        return await child.wait()


async def test_a_rolling_restart_under_load_with_postgres_restarted_in_its_middle_loses_no_request(
    call: Caller, office: Office, program: Program, postgres: Server
) -> None:
    customers = [await office.customer(1000 * 10**9) for _ in range(4)]
    for customer in customers:  # from now on their keys are known without Postgres
        assert (await call.ask(customer, chat(simulate={"tokens": TOKENS}))).status == 200
    assert program.proxy is not None and program.ledger is not None
    proxies = [(program.proxy, program.base_url)] + [await program.start_proxy() for _ in range(PROXIES - 1)]
    writers = [program.ledger, program.start_ledger()]
    async with Balancer() as balancer:
        for _, url in proxies:
            await balancer.add(url)
        load = Load(balancer, customers)
        load.begin(CALLERS)
        await load.goes_on()
        for number, (proxy, _) in enumerate(proxies):
            if number == 1:
                await postgres.stop()
                await load.goes_on()
                await postgres.start()
            _, url = await program.start_proxy()
            await balancer.add(url)
            proxy.send(signal.SIGTERM)
            assert await exit_code_of(proxy) == 0
            if number < len(writers):
                writers[number].send(signal.SIGTERM)
                assert await exit_code_of(writers[number]) == 0
                program.start_ledger()
            await load.goes_on()
        await load.end()
    assert set(load.outcomes) == {"whole"}, load.outcomes
    await office.settled()
    cost = RATES[TINY].cost(PROMPT_TOKENS, TOKENS)
    for customer in customers:
        rows = await office.usage_rows(customer)
        assert {(row["end_reason"], row["cost"]) for row in rows} == {("completed", cost)}
        assert len(rows) == load.asked[customer] + 1
        assert await office.balance_nanos(customer) == customer.start_nanos - len(rows) * cost
