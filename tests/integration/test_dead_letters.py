"""Usage that could not be posted is kept whole, and posted once its cause is mended: once, and on record."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from click.testing import CliRunner, Result
from msgspec.structs import replace

from accounts.admin_log import AdminLog, LogFilter
from accounts.dead_letters import DeadLetters
from accounts.errors import DeadLetterNotFound, DeadLetterNotPosted, InvalidRequest
from ledger.audit import audit
from ledger.entries import RECOVERED, SettledEntry, WalletState
from ledger.postgres import Store
from proxy.cli import cli
from runtime.postgres import create_pool
from tests.support.ledger import USD, funded_wallet, settled

RULE = "no_usage_was_set_aside"
FORBID = "ALTER TABLE ai_usage_logs ADD CONSTRAINT no_tiny CHECK (model <> 'tiny') NOT VALID"
ALLOW = "ALTER TABLE ai_usage_logs DROP CONSTRAINT no_tiny"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    pool = await create_pool(database_url)
    yield Store(pool)
    await pool.close()


async def bury(store: Store, *entries: SettledEntry) -> None:
    """As a ledger writer does, while something is wrong with the database."""
    await store.pool.execute(FORBID)
    assert (await store.post(entries)).buried == len(entries)
    await store.pool.execute(ALLOW)


async def balance(store: Store, wallet: WalletState) -> int:
    (found,) = await store.wallet_states([wallet.wallet_id])
    return found.balance_nanos


async def acts(store: Store) -> list[tuple[str, str, Any, Any, str]]:
    page = await AdminLog(store.pool).page(LogFilter())
    return [(row.act.action, row.act.target_id, row.act.user_id, row.act.after, row.act.reason) for row in page.rows]


async def test_what_was_mended_is_posted_once_and_on_record(store: Store) -> None:
    wallet = await funded_wallet(store)
    entry = settled(wallet, 30)
    await bury(store, entry)
    letters = DeadLetters(store.pool)
    (letter,) = await letters.page()
    assert letter.event_id == "1-1" and "no_tiny" in letter.reason
    assert await letters.post("1-1", "mended", "cli:me") == "posted"
    assert await balance(store, wallet) == 10 * USD - 30
    after = {"outcome": "posted", "request_id": str(entry.entry.request_id)}
    assert await acts(store) == [("dead_letter.post", "1-1", wallet.user_id, after, "mended")]
    report = await audit(store.pool)
    assert report.holds, report.violations
    with pytest.raises(DeadLetterNotFound):
        await letters.post("1-1", "", "cli:me")
    assert (await store.post([entry])).duplicates == 1


async def test_what_still_cannot_be_posted_stays_and_nothing_is_changed(store: Store) -> None:
    wallet = await funded_wallet(store)
    nowhere = WalletState(wallet.user_id, wallet.user_id, 0, 0, 1)
    bad = [settled(wallet, output_tokens=-1), settled(nowhere)]
    await store.post([replace(entry, event_id=f"{n}-9") for n, entry in enumerate(bad)])
    await store.bury("2-9", "nonsense", "not an event")
    letters = DeadLetters(store.pool)
    for event, said in (("0-9", "output_tokens_not_negative"), ("1-9", "no such wallet"), ("2-9", "cannot be read")):
        with pytest.raises(DeadLetterNotPosted, match=said):
            await letters.post(event, "", "cli:me")
    assert (await audit(store.pool)).broken == {RULE: 3}
    assert (await balance(store, wallet), await acts(store)) == (10 * USD, [])


async def test_an_event_that_an_older_version_could_not_read_is_posted_by_this_one(store: Store) -> None:
    wallet = await funded_wallet(store)
    entry = settled(wallet, 5, images=1)
    await store.bury("4-4", repr({b"entry": entry.entry.to_json(), b"charge": b"5"}), "an unexpected field")
    assert await DeadLetters(store.pool).post("4-4", "", "cli:me") == "posted"
    assert await balance(store, wallet) == 10 * USD - 5


async def test_what_is_known_by_now_or_corrects_something_is_said(store: Store) -> None:
    wallet = await funded_wallet(store)
    true, known = settled(wallet, 30), settled(wallet, 7)
    await bury(store, replace(true, event_id="5-5"), replace(known, event_id="6-6"))
    recovered = replace(true.entry, end_reason=RECOVERED, cost_nanos=20)
    await store.post([SettledEntry("4-4", recovered, 20), known])
    letters = DeadLetters(store.pool)
    assert await letters.post("5-5", "", "cli:me") == "corrected"
    assert await letters.post("6-6", "", "cli:me") == "known before"
    assert await balance(store, wallet) == 10 * USD - 37
    assert (await audit(store.pool)).holds


async def test_of_two_who_act_on_one_event_one_does(store: Store) -> None:
    wallet = await funded_wallet(store)
    await bury(store, settled(wallet, 30))
    letters = DeadLetters(store.pool)
    done = await asyncio.gather(
        letters.post("1-1", "", "a"), letters.post("1-1", "", "b"), letters.drop("1-1", "", "c"), return_exceptions=True
    )
    assert sum(isinstance(result, DeadLetterNotFound) for result in done) == 2
    assert len(await acts(store)) == 1
    assert await balance(store, wallet) in (10 * USD, 10 * USD - 30)
    assert (await audit(store.pool)).holds


async def test_what_is_dropped_costs_nothing_and_is_in_the_log(store: Store) -> None:
    wallet = await funded_wallet(store)
    await bury(store, settled(wallet, 30))
    await DeadLetters(store.pool).drop("1-1", "a test of ours", "cli:me")
    assert await balance(store, wallet) == 10 * USD
    (row,) = (await AdminLog(store.pool).page(LogFilter(action="dead_letter.drop"))).rows
    assert row.act.before is not None and str(wallet.wallet_id) in row.act.before["payload"]
    assert (row.act.user_id, row.act.reason) == (wallet.user_id, "a test of ours")


async def test_however_long_it_is_it_can_be_dropped(store: Store) -> None:
    await store.bury("8-8", '\x01\u20ac"' * 100_000, "\x02\u20ac" * 5000)
    await DeadLetters(store.pool).drop("8-8", "no", "cli:me")
    assert len(await acts(store)) == 1


async def test_two_shards_may_have_the_same_event_id(store: Store) -> None:
    wallet = await funded_wallet(store)
    await bury(store, settled(wallet, 1), settled(wallet, 2))
    letters = DeadLetters(store.pool)
    first, second = await letters.find("1-1")
    with pytest.raises(InvalidRequest, match=f"{first.number}, {second.number}"):
        await letters.post("1-1", "", "cli:me")
    assert await letters.post(str(second.number), "", "cli:me") == "posted"
    assert await balance(store, wallet) == 10 * USD - 2
    assert await letters.find("1-1") == [first]


async def test_proxies_are_told(store: Store) -> None:
    wallet = await funded_wallet(store)
    await bury(store, settled(wallet, 30))
    heard: list[object] = []
    async with store.pool.acquire() as connection:

        def hear(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            heard.append(payload)

        await connection.add_listener("farebox_wallets", hear)
        await DeadLetters(store.pool).post("1-1", "", "cli:me")
        await connection.execute("SELECT 1")
        await connection.remove_listener("farebox_wallets", hear)
    assert heard == [str(wallet.wallet_id)]


async def test_on_the_command_line(store: Store, database_url: str, tmp_path: Path) -> None:
    wallet = await funded_wallet(store)
    await bury(store, *(replace(settled(wallet, n), event_id=f"{n}-0") for n in (1, 2, 3, 4)))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"database": {"url": database_url}}))

    async def farebox(*arguments: str) -> Result:
        command = ["dead-letters", *arguments, "--config", str(path)]
        return await asyncio.to_thread(CliRunner().invoke, cli, command)

    listed = orjson.loads((await farebox("list", "--json", "--limit", "3")).stdout)["dead_letters"]
    assert [letter["event_id"] for letter in listed] == ["4-0", "3-0", "2-0"]
    before = str(listed[-1]["number"])
    assert "1-0" in (await farebox("list", "--before", before)).stdout
    shown = orjson.loads((await farebox("show", "3-0", "--json")).stdout)["dead_letters"]
    assert orjson.loads(shown[0]["payload"])["charge"] == 3
    ended = await farebox("post", "1-0", "9-9", "2-0", "--json")
    assert ended.exit_code == 1
    assert orjson.loads(ended.stdout) == {
        "done": {"1-0": "posted", "2-0": "posted"},
        "failed": {"9-9": "no event 9-9 was set aside"},
    }
    ended = await farebox("drop", "3-0", "--reason", "no")
    assert (ended.exit_code, ended.stdout) == (0, "3-0: dropped\n")
    ended = await farebox("post", "4-0")
    assert (ended.exit_code, ended.stdout) == (0, "4-0: posted\n")
    assert (await farebox("list")).stdout == "nothing was set aside\n"
    assert (await audit(store.pool)).holds
