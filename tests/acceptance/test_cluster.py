"""The program on a real cluster, with more shards than nodes: what it serves, and what a node that is away costs."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from ledger.redis_schema import holds_key, shard_of
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.tasks import TaskSet
from tests.acceptance.conftest import running
from tests.support.calling import PROMPT_TOKENS, Answer, Caller, chat
from tests.support.ledger import until
from tests.support.office import RATES, Customer, Office
from tests.support.program import TINY, Program
from tests.support.valkey_cluster import NODES, SHARDS, ValkeyCluster, slot_of_shard

ONE_TOKEN = chat(simulate={"tokens": 1})
FOR_LONG = chat(simulate={"tokens": 3_000, "chunk_delay_ms": 20})
COST = RATES[TINY].cost(PROMPT_TOKENS, 1)
OF_EACH_SHARD = 2
# Far more than a request takes, far less than a test may.
ENOUGH_REQUESTS = 40


@pytest.fixture(scope="module")
def nodes(servers_dir: Path) -> Iterator[ValkeyCluster]:
    """A cluster of this module's own: it is harmed, and put right again."""
    nodes = asyncio.run(ValkeyCluster.start(servers_dir / "harmed-cluster"))
    yield nodes
    asyncio.run(nodes.stop())


@pytest.fixture(scope="module")
def cluster_program(
    postgres_server: EmbeddedPostgres, nodes: ValkeyCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    others = [f"{host}:{port}" for host, port in nodes.nodes]
    sections = {"redis": {"cluster": True, "nodes": others, "shards": SHARDS, "timeout_s": 2}}
    with running(postgres_server, nodes.url, tmp_path_factory.mktemp("on-a-cluster"), sections) as program:
        yield program


@pytest.fixture
def program(cluster_program: Program) -> Program:
    return cluster_program


@pytest.fixture
async def customers(office: Office) -> list[Customer]:
    """Some of each shard; which one a wallet is of is chance."""
    found: list[Customer] = []
    count: Counter[int] = Counter()
    while min(count[shard] for shard in range(SHARDS)) < OF_EACH_SHARD:
        found.append(await office.customer())
        count[office.shard(found[-1])] += 1
    return found


class Asking:
    """Clients that ask one after the other until they are told to stop; what they were answered."""

    def __init__(self, call: Caller, customers: list[Customer]) -> None:
        self._call = call
        self.answers: dict[Customer, list[Answer]] = {customer: [] for customer in customers}
        self._is_over = False

    async def run(self, customer: Customer) -> None:
        while not self._is_over:
            await self.ask(customer)

    async def ask(self, customer: Customer) -> int:
        answer = await self._call.ask(customer, ONE_TOKEN)
        self.answers[customer].append(answer)
        return answer.status

    async def are_all(self, status: int, customers: list[Customer]) -> None:
        """Returns when all of these are answered so, whatever was before."""

        async def all_are() -> bool:
            return set(await asyncio.gather(*map(self.ask, customers))) == {status}

        await until(all_are)

    def stop(self) -> None:
        self._is_over = True

    @property
    def count(self) -> int:
        return sum(map(len, self.answers.values()))

    async def go_on(self, requests: int = ENOUGH_REQUESTS) -> None:
        """Returns when so many more were answered."""
        wanted = self.count + requests

        async def enough() -> bool:
            return self.count >= wanted

        await until(enough)


@asynccontextmanager
async def asking(call: Caller, customers: list[Customer]) -> AsyncIterator[Asking]:
    clients, tasks = Asking(call, customers), TaskSet()
    running = [tasks.spawn(clients.run(customer), name="client") for customer in customers]
    try:
        yield clients
    finally:
        clients.stop()
        await asyncio.gather(*running)


async def _has_nothing_open(office: Office, customer: Customer) -> bool:
    return await office.available_nanos(customer) == await office.balance_nanos(customer)


async def assert_paid_once(
    office: Office, answers: dict[Customer, list[Answer]], also: tuple[Customer, str] | None = None
) -> None:
    """Whoever was served paid, each time and once; whoever was not did not. `also`: a request that the client left."""
    await office.settled()
    for customer, of_customer in answers.items():
        served = {answer.request_id: COST for answer in of_customer if answer.status == 200}
        assert {answer.status for answer in of_customer} <= {200, 503}
        if also is not None and also[0] == customer:
            served[also[1]] = (await office.usage(also[1]))["cost"]
            assert served[also[1]] > 0
        assert await office.debits(customer) == served
        assert await office.balance_nanos(customer) == customer.start_nanos - sum(served.values())
        # what a proxy sends again, because its shard is with another server now, counts until it is found to be known
        await until(partial(_has_nothing_open, office, customer))


async def test_wallets_of_all_shards_are_served_and_posted_and_the_books_hold(
    call: Caller, office: Office, customers: list[Customer], nodes: ValkeyCluster
) -> None:
    async with asking(call, customers) as clients:
        await clients.go_on(5 * len(customers))
    assert {answer.status for answers in clients.answers.values() for answer in answers} == {200}
    await assert_paid_once(office, clients.answers)
    assert {await nodes.owner_of_shard(shard) for shard in range(SHARDS)} == set(range(NODES))


async def test_the_wallet_that_people_see_is_that_of_its_shard(call: Caller, office: Office) -> None:
    customer = await office.customer()
    while office.shard(customer) == 0:
        customer = await office.customer()
    async with call.stream(customer, FOR_LONG) as answer:
        assert answer.status == 200
        await answer.content.readline()
        assert (await office.cached(customer))["held"] > 0
        assert await office.redis.hlen(holds_key(office.shard(customer))) == 1
        assert await office.redis.hlen(holds_key(0)) == 0
    await office.settled()


async def test_a_node_that_is_killed_costs_its_wallets_only_and_these_until_it_is_back(
    call: Caller, office: Office, customers: list[Customer], nodes: ValkeyCluster
) -> None:
    victim = await nodes.owner_of_shard(0)
    owners = [await nodes.owner_of_shard(shard) for shard in range(SHARDS)]
    away = [customer for customer in customers if owners[office.shard(customer)] == victim]
    well = [customer for customer in customers if customer not in away]
    assert away and well
    async with asking(call, customers) as clients:
        await clients.go_on()
        await nodes.kill(victim)
        try:
            before = {customer: len(answers) for customer, answers in clients.answers.items()}
            await clients.are_all(503, away)
            await clients.go_on()
            assert (await call.get("/readyz")).status == 200
            # of those that are well, keys that no proxy has seen yet as well, wherever their names are kept
            later = [await new_customer(office, owners, victim) for _ in range(6)]
            fresh = await asyncio.gather(*(call.ask(customer, ONE_TOKEN) for customer in later))
            assert {answer.status for answer in fresh} == {200}
            since = {customer: answers[before[customer] :] for customer, answers in clients.answers.items()}
        finally:
            await nodes.start_again(victim)
        await clients.are_all(200, away)
    assert {answer.status for customer in well for answer in since[customer]} == {200}
    refused = [answer for customer in away for answer in since[customer] if answer.status == 503]
    assert refused and {answer.error["code"] for answer in refused} == {"limits_unavailable"}
    await assert_paid_once(office, clients.answers)


async def new_customer(office: Office, owners: list[int], victim: int) -> Customer:
    """Of a node that is well. Telling Redis of one of the other fails, as it should."""
    while True:
        wallet = await office.store.ensure_wallet(user := uuid4())
        if owners[shard_of(wallet.wallet_id, SHARDS)] != victim:
            return await office.customer(user_id=user)


async def test_a_shard_that_moves_key_by_key_while_requests_run_loses_nothing(
    call: Caller, office: Office, customers: list[Customer], nodes: ValkeyCluster
) -> None:
    shard = 1
    there = (await nodes.owner_of_shard(shard) + 1) % NODES
    moving = [customer for customer in customers if office.shard(customer) == shard]
    async with asking(call, customers) as clients, call.stream(moving[0], FOR_LONG) as answer:
        assert answer.status == 200
        await answer.content.readline()  # something is held from here on, and its key is one of those that move
        await clients.go_on()
        move = await nodes.begin_to_move(slot_of_shard(shard), there)
        await move.bring(await move.keys(3))
        await clients.go_on()  # it is on both nodes: who needs both parts waits, or is refused
        await move.bring_all()
        await clients.are_all(200, moving)  # sent on by the old node, for this time (ASK)
        await move.end()
        await clients.are_all(200, moving)  # sent on for good (MOVED)
        await clients.go_on()
    assert await nodes.owner_of_shard(shard) == there
    await assert_paid_once(office, clients.answers, also=(moving[0], answer.headers["x-request-id"]))


async def test_a_shard_that_moves_at_once_while_requests_run_is_served_all_the_time(
    call: Caller, office: Office, customers: list[Customer], nodes: ValkeyCluster
) -> None:
    shard = 2
    there = (await nodes.owner_of_shard(shard) + 1) % NODES
    async with asking(call, customers) as clients:
        await clients.go_on()
        await nodes.move_at_once(slot_of_shard(shard), there)
        await clients.go_on()
    assert await nodes.owner_of_shard(shard) == there
    assert {answer.status for answers in clients.answers.values() for answer in answers} == {200}
    await assert_paid_once(office, clients.answers)


async def test_another_number_of_shards_is_refused_and_cannot_be_had_while_it_runs(program: Program) -> None:
    path = program.folder / "other-shards.yaml"
    path.write_text(program.config.read_text().replace(f"shards: {SHARDS}", "shards: 3"))
    for command in ("serve", "ledger"):
        code, said = await program.run_to_end(command, config=path)
        assert code == 1
        assert "farebox reshard --to 3" in said
    code, said = await program.run_to_end("reshard", "--to", "3")
    assert code == 1
    assert "stop every proxy" in said


async def test_once_all_is_posted_and_stopped_the_number_can_be_changed(program: Program, office: Office) -> None:
    """The last of this module: it stops the program."""
    await office.settled()
    await asyncio.gather(*(child.stop() for child in program.children if child.name in ("serve", "ledger")))
    code, said = await program.run_to_end("reshard", "--to", "3")
    assert (code, "redis.shards: 3" in said) == (0, True), said
    code, said = await program.run_to_end("ledger")
    assert code == 1
    assert f"farebox reshard --to {SHARDS}" in said
    proxy, _ = await program.start_proxy(redis={**program.sections["redis"], "shards": 3})
    await proxy.stop()
