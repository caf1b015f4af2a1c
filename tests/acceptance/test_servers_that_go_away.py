"""Postgres or Valkey away: what can go on goes on, what cannot says so at once, and no money is lost or taken twice."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.migrate import migrate
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.embedded.valkey import EmbeddedValkey
from tests.support import waiting
from tests.support.calling import PROMPT_TOKENS, Answer, Caller, chat, events
from tests.support.office import RATES, Customer, Office, eventually, open_office, set_prices
from tests.support.program import TINY, Program
from tests.support.restartable import Server
from tests.support.spools import records_in, segment_files

ONE_TOKEN = chat(simulate={"tokens": 1})
TOKENS = 150
LONG = chat(simulate={"tokens": TOKENS, "chunk_delay_ms": 20})
# Not an expectation but a bound: far less than a client's patience, far more than any timeout configured here.
AT_ONCE_S = 10


@pytest.fixture
async def postgres(reachable_dir: Path) -> AsyncIterator[Server]:
    server = Server(EmbeddedPostgres, reachable_dir / "postgres")
    await server.start()
    await migrate(server.url)
    yield server
    await server.stop()


@pytest.fixture
async def valkey(reachable_dir: Path) -> AsyncIterator[Server]:
    server = Server(EmbeddedValkey, reachable_dir / "valkey")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def program(postgres: Server, valkey: Server, tmp_path: Path) -> AsyncIterator[Program]:
    """Takes the place of the module's own: these tests do harm."""
    await set_prices(postgres.url)
    program = Program(tmp_path, postgres.url, valkey.url)
    try:
        await program.start()
        yield program
    finally:
        await program.stop()


@pytest.fixture
async def office(program: Program) -> AsyncIterator[Office]:
    async with open_office(program) as office:
        yield office


async def whole_stream(call: Caller, customer: Customer, begun: asyncio.Event) -> tuple[str, bytes]:
    async with call.stream(customer, LONG) as answer:
        assert answer.status == 200
        first = await answer.content.readline()
        begun.set()
        return answer.headers["x-request-id"], first + await answer.read()


async def ask_in_time(call: Caller, customer: Customer) -> Answer:
    async with asyncio.timeout(AT_ONCE_S):
        return await call.ask(customer, ONE_TOKEN)


def assert_unavailable(answer: Answer, code: str) -> None:
    assert (answer.status, answer.error["code"]) == (503, code), answer
    assert answer.error["type"] == "server_error"
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_without_valkey_new_requests_are_refused_and_streams_go_on_and_are_paid_when_it_is_back(
    call: Caller, office: Office, valkey: Server, kill: bool
) -> None:
    customer = await office.customer()
    assert (await call.ask(customer, ONE_TOKEN)).status == 200
    begun = asyncio.Event()
    streaming = asyncio.get_running_loop().create_task(whole_stream(call, customer, begun))
    await begun.wait()
    await valkey.stop(kill=kill)

    for _ in range(10):
        assert_unavailable(await ask_in_time(call, customer), "limits_unavailable")
    assert_unavailable(await call.get("/v1/models", headers=customer.auth), "limits_unavailable")
    request_id, got = await streaming
    assert len(events(got)) == 1 + TOKENS + 1 + 1
    assert_unavailable(await ask_in_time(call, customer), "limits_unavailable")

    await valkey.start()

    async def status() -> int:
        return (await call.ask(customer, ONE_TOKEN)).status

    await eventually(status, 200)
    row = await office.usage(request_id)
    assert (row["end_reason"], row["cost"]) == ("completed", RATES[TINY].cost(PROMPT_TOKENS, TOKENS))
    await office.settled()
    rows = await office.usage_rows(customer)
    assert await office.balance_nanos(customer) == customer.start_nanos - sum(row["cost"] for row in rows)
    assert await office.available_nanos(customer) == await office.balance_nanos(customer)


async def test_a_hundred_streams_that_end_while_valkey_is_away_are_each_paid_once(
    call: Caller, office: Office, valkey: Server
) -> None:
    customer = await office.customer()
    begun = [asyncio.Event() for _ in range(100)]
    loop = asyncio.get_running_loop()
    streaming = [loop.create_task(whole_stream(call, customer, event)) for event in begun]
    await asyncio.gather(*(event.wait() for event in begun))
    await valkey.stop(kill=True)
    outcomes = await asyncio.gather(*streaming)
    await valkey.start()
    for request_id, got in outcomes:
        assert len(events(got)) == 1 + TOKENS + 1 + 1
        assert (await office.usage(request_id))["cost"] == RATES[TINY].cost(PROMPT_TOKENS, TOKENS)
    await office.settled()
    assert await office.balance_nanos(customer) == customer.start_nanos - 100 * RATES[TINY].cost(PROMPT_TOKENS, TOKENS)


async def test_a_stream_that_ended_while_valkey_was_away_is_paid_though_its_proxy_was_killed_then(
    call: Caller, office: Office, valkey: Server, program: Program
) -> None:
    customer = await office.customer()
    begun = asyncio.Event()
    streaming = asyncio.get_running_loop().create_task(whole_stream(call, customer, begun))
    await begun.wait()
    await valkey.stop()
    request_id, got = await streaming
    assert len(events(got)) == 1 + TOKENS + 1 + 1
    assert program.proxy is not None
    await waiting.until(lambda: bool(records_in(program.spool)))
    program.proxy.send(signal.SIGKILL)
    await program.proxy.wait()
    await valkey.start()
    await program.start_proxy()
    row = await office.usage(request_id)
    assert (row["end_reason"], row["cost"]) == ("completed", RATES[TINY].cost(PROMPT_TOKENS, TOKENS))
    await office.settled()
    assert await office.balance_nanos(customer) == customer.start_nanos - row["cost"]
    await waiting.until(lambda: segment_files(program.spool) == [])


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_without_postgres_known_keys_go_on_and_what_they_use_is_posted_when_it_is_back(
    call: Caller, office: Office, postgres: Server, kill: bool
) -> None:
    customer, unknown = await office.customer(), await office.customer()
    assert (await call.ask(customer, ONE_TOKEN)).status == 200
    await office.settled()
    await postgres.stop(kill=kill)

    answers = [await ask_in_time(call, customer) for _ in range(20)]
    assert [answer.status for answer in answers] == [200] * 20
    assert_unavailable(await ask_in_time(call, unknown), "accounts_unavailable")
    assert (await call.get("/readyz")).status == 200
    listed = await call.get("/v1/models", headers=customer.auth)
    assert listed.status == 200
    for wanted in (answers[0].request_id, "an id of the client's"):
        assert_unavailable(await call.get(f"/v1/usage/{wanted}", headers=customer.auth), "accounts_unavailable")

    await postgres.start()
    for answer in answers:
        assert (await office.usage(answer.request_id))["cost"] == RATES[TINY].cost(PROMPT_TOKENS, 1)
    await office.settled()
    assert await office.balance_nanos(customer) == customer.start_nanos - 21 * RATES[TINY].cost(PROMPT_TOKENS, 1)

    async def status() -> int:
        return (await call.ask(unknown, ONE_TOKEN)).status

    await eventually(status, 200)


async def test_without_postgres_a_wallet_is_still_not_overspent(call: Caller, office: Office, postgres: Server) -> None:
    cost = RATES[TINY].cost(PROMPT_TOKENS, 1)
    body = chat(max_tokens=1, simulate={"tokens": 1})
    customer = await office.customer(30 * cost)
    assert (await call.ask(customer, body)).status == 200
    await office.settled()
    await postgres.stop(kill=True)
    statuses = [(await call.ask(customer, body)).status for _ in range(40)]
    assert set(statuses) == {200, 402}
    assert statuses == sorted(statuses)
    await postgres.start()
    await office.settled()
    rows = await office.usage_rows(customer)
    assert len(rows) == 1 + statuses.count(200)
    assert await office.balance_nanos(customer) == customer.start_nanos - len(rows) * cost >= 0


async def test_readiness_says_what_is_missing_and_liveness_does_not_care(call: Caller, valkey: Server) -> None:
    async def ready() -> tuple[int, list[str]]:
        answer = await call.get("/readyz")
        return answer.status, answer.json["missing"]

    assert await ready() == (200, [])
    await valkey.stop()
    await eventually(ready, (503, ["redis"]))
    assert (await call.get("/healthz")).status == 200
    await valkey.start()
    await eventually(ready, (200, []))


async def test_a_ledger_process_that_is_killed_is_made_up_for_by_the_next(
    call: Caller, office: Office, program: Program
) -> None:
    """What it had in hand is taken over by the next after half a minute; what is new is posted at once."""
    customer = await office.customer()

    async def ask_often() -> None:
        answers = await asyncio.gather(*(call.ask(customer, ONE_TOKEN) for _ in range(100)))
        assert {answer.status for answer in answers} == {200}

    await ask_often()
    assert program.ledger is not None
    program.ledger.send(signal.SIGKILL)
    await program.ledger.wait()
    await ask_often()
    program.start_ledger()
    await office.settled()
    assert len(await office.usage_rows(customer)) == 200
    assert await office.balance_nanos(customer) == customer.start_nanos - 200 * RATES[TINY].cost(PROMPT_TOKENS, 1)


async def test_valkey_emptied_keys_and_wallets_are_loaded_again(call: Caller, office: Office) -> None:
    customer = await office.customer()
    assert (await call.ask(customer, ONE_TOKEN)).status == 200
    await office.settled()
    await office.redis.flushall()
    await office.redis.script_flush()

    async def status() -> int:
        return (await call.ask(customer, ONE_TOKEN)).status

    await eventually(status, 200)
    await eventually(lambda: office.accept_losses(), 1)
    await office.settled()
    rows = await office.usage_rows(customer)
    assert await office.balance_nanos(customer) == customer.start_nanos - sum(row["cost"] for row in rows)
    assert await office.available_nanos(customer) == await office.balance_nanos(customer)


@pytest.mark.parametrize("command", ["serve", "ledger"])
@pytest.mark.parametrize("missing", ["database", "redis"])
async def test_a_process_that_cannot_reach_what_it_needs_ends_and_says_so_in_a_line(
    program: Program, postgres: Server, valkey: Server, command: str, missing: str
) -> None:
    await (postgres if missing == "database" else valkey).stop()
    code, said = await program.run_to_end(command)
    assert code == 1
    (line,) = said.splitlines()
    assert line.startswith(f"farebox: {missing}.url: ")
    assert "Traceback" not in said
    for url in (program.database_url, program.redis_url):
        assert url.split("@")[0].split(":")[-1] not in said


async def test_a_proxy_that_could_not_keep_settlements_does_not_start(program: Program) -> None:
    place = program.folder / "a-file"
    program.config.write_text(program.config.read_text().replace(str(program.spool), str(place / "spool")))
    place.touch()
    code, said = await program.run_to_end("serve")
    assert (code, said) == (1, f"farebox: spool.dir: {place / 'spool'} cannot be written to (Not a directory)\n")
