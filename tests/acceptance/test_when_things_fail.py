"""Each row of the table of failures: what becomes of new requests, of running streams, and of the money.

Every test ends in the same verdict (tests/support/chaos/verdict.py): the audit holds, no hold is open, every delivered
response is billed once, whole ones exactly and cut ones within the bound.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from ledger.audit import audit
from ledger.lives import accept_losses
from ledger.redis_schema import usage_stream
from tests.support.chaos.clients import Receipt
from tests.support.chaos.links import Mode, Pace
from tests.support.chaos.rig import Rig, make_rig
from tests.support.chaos.scene import UNKNOWN, Scene, open_scene, row_of
from tests.support.chaos.schedule import Blow, Topology
from tests.support.chaos.verdict import RECOVERED, billed_tokens
from tests.support.chaos.visits import ALONG, AT_END, NEVER
from tests.support.ledger import until as until_asked
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
# Not an expectation but a bound: far less than a client's patience, far more than any timeout of the proxy's.
AT_ONCE_S = 10
# Of a redis client, 0.5 s: every answer comes later than that.
TOO_SLOW = Pace(latency_s=2.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    async with make_rig(Topology(proxies=2, ledgers=1)) as rig:
        yield rig


@pytest_asyncio.fixture(loop_scope="module")
async def scene(rig: Rig) -> AsyncIterator[Scene]:
    async with open_scene(rig) as scene:
        yield scene


def assert_refused(receipt: Receipt, status: int, code: str) -> None:
    assert (receipt.status, receipt.code) == (status, code), receipt


async def are_waiting(scene: Scene, count: int) -> bool:
    """The last settlement follows the last byte."""
    return int(await scene.rig.office.redis.xlen(usage_stream(0))) >= count


async def says_it_was_emptied(scene: Scene) -> bool:
    return "redis_was_not_emptied" in (await audit(scene.rig.office.pool)).broken


async def ask_at_once(scene: Scene, proxy: int = 0, customer: int = 0) -> Receipt:
    async with asyncio.timeout(AT_ONCE_S):
        return await scene.ask(proxy, customer=customer)


async def test_a_proxy_is_killed_others_serve_and_its_streams_are_billed_to_the_last_checkpoint(scene: Scene) -> None:
    killed, other = scene.stream(0, delay_ms=20), scene.stream(1, delay_ms=20)
    await killed.has(150)  # in three seconds it was written down twice
    await scene.kill("proxy-0")
    assert (await ask_at_once(scene, 1)).is_complete
    assert not (await killed.end()).is_complete
    assert (await other.end()).is_complete
    # nobody starts it again: what it held is settled by others
    facts = await scene.settled()
    row = row_of(facts, killed.receipt)
    assert row["end_reason"] == RECOVERED
    assert 0 < billed_tokens(row) <= facts.books[str(row["id"])]["completion_tokens"]


async def test_a_ledger_writer_is_killed_nobody_notices_and_all_is_posted_once(scene: Scene) -> None:
    running = scene.stream()
    await running.has(1)
    async with scene.fault("ledger-0", Blow.KILL):
        answers = [await ask_at_once(scene) for _ in range(10)]
        assert all(answer.is_complete for answer in answers)
        assert (await running.end()).is_complete
        await until_asked(lambda: are_waiting(scene, 11))
    await scene.rig.mend()
    facts = await scene.settled()
    assert all(row_of(facts, answer)["end_reason"] == "completed" for answer in [*answers, running.receipt])


@pytest.mark.parametrize("how", [Blow.KILL, Blow.RESTART])
async def test_postgres_is_away_known_keys_go_on_and_what_they_use_waits_in_the_stream(scene: Scene, how: Blow) -> None:
    running = scene.stream()
    await running.has(1)
    async with scene.fault("postgres", how):
        answers = [await ask_at_once(scene) for _ in range(10)]
        assert all(answer.is_complete for answer in answers)
        assert_refused(await ask_at_once(scene, customer=UNKNOWN), 503, "accounts_unavailable")
        assert (await running.end()).is_complete
        await until_asked(lambda: are_waiting(scene, 11))
    facts = await scene.settled()
    assert all(row_of(facts, answer)["end_reason"] == "completed" for answer in [*answers, running.receipt])


async def test_valkey_is_killed_new_requests_are_refused_and_streams_go_on_and_are_paid_once(scene: Scene) -> None:
    running = scene.stream()
    await running.has(1)
    async with scene.fault("valkey", Blow.KILL):
        for _ in range(10):
            assert_refused(await ask_at_once(scene), 503, "limits_unavailable")
        assert (await running.end()).is_complete
    await scene.until_served()
    assert row_of(await scene.settled(), running.receipt)["end_reason"] == "completed"


async def test_what_ended_while_valkey_was_away_is_paid_even_if_its_proxy_is_killed_too(scene: Scene) -> None:
    """It is on disk by then, and replayed by the next who starts there."""
    running = scene.stream()
    await running.has(1)
    async with scene.fault("valkey", Blow.KILL):
        assert (await running.end()).is_complete
        folder = scene.rig.processes["proxy-0"].folder
        await until(lambda: is_kept(folder, str(running.receipt.request_id)))
        await scene.kill("proxy-0")
    await scene.rig.mend()
    row = row_of(await scene.settled(), running.receipt)
    assert (row["end_reason"], billed_tokens(row)) == ("completed", running.receipt.visit.tokens)


async def test_what_valkey_said_it_had_and_lost_when_it_was_killed_is_sent_again(scene: Scene) -> None:
    """Its journal is written once a second. Here, it comes back with that of a moment ago."""
    await scene.settled()
    journal = scene.rig.valkey.folder / "appendonlydir"
    async with scene.fault("ledger-0", Blow.KILL):  # or it would be posted before it is lost
        scene.rig.valkey.freeze()
        copy_folder(journal, journal.with_name("before"))
        scene.rig.valkey.thaw()
        lost = await scene.ask()
        assert lost.is_complete
        async with scene.fault("valkey", Blow.KILL):
            replace_folder(journal, journal.with_name("before"))
        await scene.until_served()
    row = row_of(await scene.settled(), lost)
    assert (row["end_reason"], billed_tokens(row)) == ("completed", 1)


async def test_valkey_is_slow_the_wait_is_bounded_and_streams_go_on(scene: Scene) -> None:
    running = scene.stream()
    await running.has(1)
    link = scene.rig.links["proxy-0>valkey"]
    async with scene.fault(link.name, Mode.SLOW):
        link.set(Mode.SLOW, TOO_SLOW)
        for _ in range(10):
            assert_refused(await ask_at_once(scene), 503, "limits_unavailable")
        assert (await ask_at_once(scene, 1)).is_complete, "the other proxy's way to it is not slow"
        assert (await running.end()).is_complete
    await scene.until_served()
    assert row_of(await scene.settled(), running.receipt)["end_reason"] == "completed"


async def test_valkey_is_emptied_wallets_and_keys_are_loaded_again_and_only_what_was_unposted_is_lost(
    scene: Scene,
) -> None:
    posted = await scene.ask()
    await scene.settled()
    running = scene.stream()
    await running.has(1)
    async with scene.fault("ledger-0", Blow.KILL):
        unposted = await scene.ask()
        assert unposted.is_complete
        await scene.rig.office.redis.flushall()
        await scene.rig.office.redis.script_flush()
        scene.receipts.remove(unposted)  # of this, nobody knows any more
    await scene.until_served()
    assert (await running.end()).is_complete
    await until_asked(lambda: says_it_was_emptied(scene))
    async with scene.rig.office.pool.acquire() as connection:
        await accept_losses(connection)
    facts = await scene.settled()
    assert row_of(facts, running.receipt)["end_reason"] == row_of(facts, posted)["end_reason"] == "completed"
    assert unposted.visit.name not in facts.rows_of


UPSTREAM_FAILS = {
    "down": ("upstream", Blow.KILL, 502, "upstream_error"),
    "cuts": ("proxy-0>upstream", Mode.CUT, 502, "upstream_error"),
    "stalls": ("proxy-0>upstream", Mode.HANG, 504, "upstream_timeout"),
}


@pytest.mark.parametrize(("part", "kind", "status", "code"), UPSTREAM_FAILS.values(), ids=UPSTREAM_FAILS)
async def test_the_upstream_fails_new_requests_are_told_and_streams_end_with_an_error_and_pay_what_was_delivered(
    scene: Scene, part: str, kind: str, status: int, code: str
) -> None:
    running = scene.stream()
    await running.has(50)
    async with scene.fault(part, kind):
        assert_refused(await ask_at_once(scene), status, code)
        cut = await running.end()
    assert (cut.status, cut.code, cut.is_complete) == (200, code, False)
    row = row_of(await scene.settled(), cut)
    assert (row["end_reason"], billed_tokens(row)) == (code, cut.tokens)
    await scene.until_served()


@pytest.mark.parametrize("model", [ALONG, AT_END, NEVER])
async def test_a_client_leaves_and_pays_what_was_delivered(scene: Scene, model: str) -> None:
    left = await scene.stream(model=model, tokens=90, leaves_after=20).end()
    assert left.has_left
    row = row_of(await scene.settled(), left)
    assert row["end_reason"] == "client_left"
    assert 20 <= billed_tokens(row) < 90


async def test_a_clients_connection_is_reset_and_it_pays_what_was_delivered(scene: Scene) -> None:
    running = scene.stream()
    await running.has(50)
    async with scene.fault("client>proxy-0", Mode.CUT):
        cut = await running.end()
    assert cut.problem and not cut.is_complete
    row = row_of(await scene.settled(), cut)
    assert row["end_reason"] == "client_left"
    assert cut.tokens <= billed_tokens(row) < 200


def is_kept(folder: Path, request_id: str) -> bool:
    """Is a settlement of this request in a file below the proxy's folder, beside its log?"""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".log", ".yaml")]
    return any(request_id.encode() in path.read_bytes() for path in files)


def copy_folder(source: Path, target: Path) -> None:
    shutil.copytree(source, target)


def replace_folder(target: Path, source: Path) -> None:
    shutil.rmtree(target)
    source.rename(target)
