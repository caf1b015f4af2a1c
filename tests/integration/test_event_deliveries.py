"""The outbox: decided once, claimed under a lease, tried again, given up, replayed, thrown away."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from accounts.as_user import as_user
from accounts.errors import EventNotFound, InvalidRequest
from accounts.notices.outbox import announce
from accounts.notices.preferences import Choices, Preferences
from accounts.notices.records import EventFilter, Events
from accounts.notices.signing import Event
from accounts.notices.worker import Undelivered, Worker
from runtime.postgres import Pool, create_pool
from runtime.settings import Notices
from tests.support.events import POLICY, deliveries, happened, make_due, states
from tests.support.ledger import USD

SHOP = "webhook:shop"
WANTED = [(SHOP, "topup.succeeded"), (SHOP, "key.revoked"), ("webhook:other", "topup.succeeded")]
ACTOR = "cli:tester"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    made = await create_pool(database_url)
    yield made
    await made.close()


async def dispatched(pool: Pool, *, has_mail: bool = False, mails_per_day: int = 20) -> int:
    return await deliveries(pool).dispatch(WANTED, has_mail, mails_per_day)


class Receiver:
    def __init__(self, *failures: Undelivered) -> None:
        self.events: list[Event] = []
        self.failures = list(failures)

    async def send(self, event: Event) -> None:
        self.events.append(event)
        if self.failures:
            raise self.failures.pop(0)

    def worker(self, pool: Pool, concurrent: int = 4, channel: str = SHOP) -> Worker:
        return Worker(deliveries(pool), POLICY, channel, self.send, concurrent=concurrent, dice=lambda: 1.0)


async def test_an_event_is_there_exactly_if_its_transaction_is(pool: Pool) -> None:
    user_id = uuid4()
    for is_committed in (False, True):
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            for _ in range(2):
                await announce(connection, "topup.failed", user_id, {"id": user_id, "nul": "a\x00b"}, once="that")
            await (transaction.commit() if is_committed else transaction.rollback())
        assert await pool.fetchval("SELECT count(*) FROM farebox_events") == int(is_committed)
    (row,) = (await Events(pool).page()).rows
    assert (row.kind, row.user_id, row.facts) == ("topup.failed", user_id, {"id": str(user_id), "nul": "a\ufffdb"})


async def test_a_key_switched_off_by_hand_is_announced_and_by_its_owner_too(pool: Pool) -> None:
    user_id = uuid4()
    insert = "INSERT INTO ai_api_keys (user_id, key_prefix, key_hash, name) VALUES ($1, 'pp_live-AbCdEfG', 'hash', $2)"
    for name in ("by hand", "by its owner", "stays"):
        await pool.execute(insert, user_id, name)
    await pool.execute("UPDATE ai_api_keys SET is_active = false WHERE name = 'by hand'")
    await pool.execute("UPDATE ai_api_keys SET is_active = false, name = 'renamed' WHERE name = 'by hand'")
    async with as_user(pool, user_id) as connection:
        await connection.execute("UPDATE ai_api_keys SET is_active = false WHERE name = 'by its owner'")
        await connection.execute("UPDATE ai_api_keys SET is_active = true WHERE name = 'by its owner'")
        await connection.execute("UPDATE ai_api_keys SET is_active = false WHERE name = 'by its owner'")
        await connection.execute("UPDATE ai_api_keys SET name = 'stays on' WHERE name = 'stays'")
    rows = (await Events(pool).page()).rows
    assert [(row.kind, row.user_id, row.facts["name"]) for row in reversed(rows)] == [
        ("key.revoked", user_id, name) for name in ("by hand", "by its owner", "by its owner")
    ]
    assert set(rows[0].facts) == {"key_id", "key_prefix", "name"}


@pytest.mark.parametrize("table", ["farebox_events", "farebox_deliveries", "farebox_balance_watch"])
async def test_users_see_nothing_of_the_outbox(pool: Pool, table: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with as_user(pool, uuid4()) as connection:
            await connection.execute(f"SELECT * FROM {table}")


async def test_users_see_and_set_their_own_choices_and_not_what_tokens_say(pool: Pool) -> None:
    ann, bob, preferences = uuid4(), uuid4(), Preferences(pool)
    assert await preferences.of_user(ann) == Choices()
    await preferences.remember(ann, "ann@example.com")
    await preferences.choose(bob, {"email": "bob@example.com", "low_balance_nanos": 7 * USD})
    assert await preferences.of_user(ann) == Choices(token_email="ann@example.com")
    chosen = await preferences.choose(bob, {"email_events": ["balance.low"]})
    assert chosen == Choices("bob@example.com", None, 7 * USD, ("balance.low",))
    assert await preferences.choose(bob, {"low_balance_nanos": None, "email": None, "email_events": []}) == Choices(
        email_events=()
    )
    async with as_user(pool, ann) as connection:
        assert len(await connection.fetch("SELECT * FROM farebox_notice_settings")) == 1
        assert await connection.execute("UPDATE farebox_notice_settings SET email = 'x@example.com'") == "UPDATE 1"
    for statement in (
        "UPDATE farebox_notice_settings SET token_email = 'x@example.com'",
        "UPDATE farebox_notice_settings SET user_id = gen_random_uuid()",
        "DELETE FROM farebox_notice_settings",
        f"INSERT INTO farebox_notice_settings (user_id) VALUES ('{uuid4()}')",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with as_user(pool, ann) as connection:
                await connection.execute(statement)


async def test_who_is_told_is_decided_once_by_kind(pool: Pool) -> None:
    await happened(pool, "topup.succeeded")
    await happened(pool, "key.revoked")
    await happened(pool, "balance.low")
    found = await asyncio.gather(*(dispatched(pool) for _ in range(3)))
    assert sum(found) == 3
    assert [state[:2] for state in await states(pool)] == [
        ("webhook:other", "pending"),
        (SHOP, "pending"),
        (SHOP, "pending"),
    ]
    assert await dispatched(pool) == 0


async def test_mails_only_to_who_has_an_address_and_wants_them(pool: Pool) -> None:
    told, silent, choosy, unknown, preferences = uuid4(), uuid4(), uuid4(), uuid4(), Preferences(pool)
    await preferences.remember(told, "told@example.com")
    await preferences.choose(silent, {"email": "silent@example.com", "email_events": []})
    await preferences.choose(choosy, {"email": "choosy@example.com", "email_events": ["key.revoked"]})
    for user_id in (told, silent, choosy, unknown):
        await happened(pool, "topup.failed", user_id)
        await happened(pool, "key.revoked", user_id)
    await deliveries(pool).dispatch([], True, 20)
    rows = await pool.fetch(
        "SELECT user_id, kind FROM farebox_deliveries d JOIN farebox_events e ON e.id = event_id ORDER BY number"
    )
    assert [tuple(row) for row in rows] == [(told, "topup.failed"), (told, "key.revoked"), (choosy, "key.revoked")]
    (first, *_) = await deliveries(pool).claim("email", 10)
    assert await deliveries(pool).address(first.event) in ("told@example.com", "choosy@example.com")
    await preferences.choose(first.event.user_id, {"email_events": []})
    assert await deliveries(pool).address(first.event) is None


async def test_without_a_mail_server_nothing_is_enqueued_for_mail(pool: Pool) -> None:
    user_id = uuid4()
    await Preferences(pool).remember(user_id, "ann@example.com")
    await happened(pool, "topup.failed", user_id)
    assert await deliveries(pool).dispatch([], False, 20) == 1
    assert await states(pool) == []


async def test_nobody_is_mailed_more_often_than_allowed_in_a_day(pool: Pool) -> None:
    ann, bob = uuid4(), uuid4()
    for user_id in (ann, bob):
        await Preferences(pool).remember(user_id, "x@example.com")
    await happened(pool, "key.revoked", bob)
    for count in (2, 2):
        for _ in range(count):
            await happened(pool, "key.revoked", ann)
        await deliveries(pool).dispatch([], True, 3)
    assert [state for _, state, _, _ in await states(pool)] == ["pending"] * 4 + ["dead"]
    assert (await states(pool))[-1] == ("email", "dead", 0, "daily_limit")


async def test_a_delivery_comes_with_its_event_and_is_delivered(pool: Pool) -> None:
    event_id, receiver = await happened(pool, amount="12.5"), Receiver()
    await dispatched(pool)
    await receiver.worker(pool).round()
    (event,) = receiver.events
    assert (event.id, event.kind, event.facts["amount"]) == (event_id, "topup.succeeded", "12.5")
    assert (await states(pool))[1] == (SHOP, "delivered", 1, "")
    await receiver.worker(pool).round()
    assert len(receiver.events) == 1


async def test_two_workers_at_once_deliver_each_once(pool: Pool) -> None:
    ids = {await happened(pool) for _ in range(30)}
    await dispatched(pool)
    receiver = Receiver()

    async def work() -> None:
        worker = receiver.worker(pool, concurrent=3)
        while await worker.round() is not None:
            pass

    await asyncio.gather(work(), work())
    assert len(receiver.events) == 30 and {event.id for event in receiver.events} == ids


async def test_a_failure_waits_and_is_given_up_after_the_last_attempt_with_its_reason(pool: Pool) -> None:
    await happened(pool, "key.revoked")
    await dispatched(pool)
    receiver = Receiver(*(Undelivered("status_500") for _ in range(3)))
    for attempts in (1, 2):
        await receiver.worker(pool).round()
        assert await states(pool) == [(SHOP, "pending", attempts, "status_500")]
        wait_s = await pool.fetchval(
            "SELECT extract(epoch FROM due_at - clock_timestamp())::float8 FROM farebox_deliveries"
        )
        assert 0 < wait_s <= 10 * attempts
        await receiver.worker(pool).round()  # it is not due
        assert len(receiver.events) == attempts
        await make_due(pool)
    await receiver.worker(pool).round()
    assert await states(pool) == [(SHOP, "dead", 3, "status_500")]


async def test_what_a_killed_worker_had_comes_back_when_its_lease_lapses(pool: Pool) -> None:
    await happened(pool, "key.revoked")
    await dispatched(pool)
    (lost,) = await deliveries(pool).claim(SHOP, 5)
    receiver = Receiver()
    await receiver.worker(pool).round()
    assert receiver.events == []
    await make_due(pool)
    await receiver.worker(pool).round()
    assert [event.id for event in receiver.events] == [lost.event.id]
    assert await states(pool) == [(SHOP, "delivered", 2, "")]
    # the one that was only frozen changes nothing any more
    await deliveries(pool).bury(lost, "late")
    await deliveries(pool).again(lost, 0, "late")
    assert await states(pool) == [(SHOP, "delivered", 2, "")]


async def test_a_lease_is_as_long_as_it_says(pool: Pool) -> None:
    await happened(pool, "key.revoked")
    await dispatched(pool)
    impatient = deliveries(pool, timedelta(0))
    assert [len(await impatient.claim(SHOP, 5)) for _ in range(4)] == [1, 1, 1, 0]  # and three attempts, no more
    await deliveries(pool).tidy(Notices())
    assert await states(pool) == [(SHOP, "dead", 3, "interrupted")]


async def test_what_nobody_takes_any_more_is_given_up_and_what_waits_is_not(pool: Pool) -> None:
    for _ in range(3):
        await happened(pool, "key.revoked")
    await dispatched(pool)
    old = f"clock_timestamp() - interval '{POLICY.max_age_s + 1000} seconds'"
    numbers = [row["id"] for row in await pool.fetch("SELECT id FROM farebox_deliveries ORDER BY id")]
    await pool.execute(f"UPDATE farebox_deliveries SET enqueued_at = {old}, due_at = {old} WHERE id = $1", numbers[0])
    await pool.execute(f"UPDATE farebox_deliveries SET enqueued_at = {old} WHERE id = $1", numbers[1])
    assert not await deliveries(pool).tidy(Notices())
    states_by_id = await pool.fetch("SELECT state, reason FROM farebox_deliveries ORDER BY id")
    assert [tuple(row) for row in states_by_id] == [("dead", "not_taken"), ("pending", ""), ("pending", "")]


async def test_what_is_old_is_thrown_away(pool: Pool) -> None:
    receiver = Receiver()
    for _ in range(2):
        await happened(pool, "key.revoked")
    await dispatched(pool)
    await receiver.worker(pool).round()
    dead = await happened(pool, "key.revoked")
    new = await happened(pool, "balance.low")
    await dispatched(pool)
    await Receiver(Undelivered("status_410", is_final=True)).worker(pool).round()
    kept = Notices(keep_days=30, keep_dead_days=90)

    async def age(days: int) -> None:
        await pool.execute(
            "UPDATE farebox_deliveries SET finished_at = clock_timestamp() - make_interval(days => $1)", days
        )  # fmt: skip
        older = "UPDATE farebox_events SET created_at = clock_timestamp() - make_interval(days => $1) WHERE id <> $2"
        await pool.execute(older, days, new)
        await deliveries(pool).tidy(kept)

    for days, left in ((29, 4), (31, 2), (91, 1)):
        await age(days)
        assert len((await Events(pool).page()).rows) == left
        if days == 31:
            assert {row.id for row in (await Events(pool).page()).rows} == {dead, new}


async def test_replay_delivers_once_more_with_the_same_id(pool: Pool) -> None:
    event_id, receiver = await happened(pool, "key.revoked"), Receiver()
    await dispatched(pool)
    await receiver.worker(pool).round()
    await Events(pool).replay(event_id, None, ACTOR)
    assert await states(pool) == [(SHOP, "pending", 0, "")]
    await receiver.worker(pool).round()
    assert [event.id for event in receiver.events] == [event_id, event_id]
    # and whoever wants it by now is told too
    await deliveries(pool).dispatch([(SHOP, "key.revoked"), ("webhook:new", "key.revoked")], False, 20)
    assert [state[:2] for state in await states(pool)] == [("webhook:new", "pending"), (SHOP, "delivered")]


async def test_replay_on_one_channel_leaves_the_others_alone(pool: Pool) -> None:
    event_id = await happened(pool)
    await dispatched(pool)
    for channel in (SHOP, "webhook:other"):
        await Receiver().worker(pool, channel=channel).round()
    await Events(pool).replay(event_id, SHOP, ACTOR)
    assert [state[:2] for state in await states(pool)] == [("webhook:other", "delivered"), (SHOP, "pending")]


async def test_what_is_pending_keeps_its_place_when_it_is_replayed(pool: Pool) -> None:
    event_id = await happened(pool, "key.revoked")
    await dispatched(pool)
    await deliveries(pool).claim(SHOP, 1)
    await Events(pool).replay(event_id, None, ACTOR)
    assert await states(pool) == [(SHOP, "pending", 1, "")]
    assert await deliveries(pool).claim(SHOP, 1) == []


async def test_dead_letters_are_replayed_by_channel_or_all(pool: Pool) -> None:
    events, gone = Events(pool), Undelivered("status_410", is_final=True)
    for _ in range(2):
        await happened(pool)
    await dispatched(pool)
    for channel in (SHOP, "webhook:other"):
        await Receiver(gone, gone).worker(pool, channel=channel).round()
    assert await events.replay_dead(SHOP, ACTOR) == 2
    assert [state[:3] for state in await states(pool)] == [("webhook:other", "dead", 1), (SHOP, "pending", 0)] * 2
    assert await events.replay_dead(None, ACTOR) == 2
    assert await events.replay_dead(None, ACTOR) == 0
    acts = await pool.fetch("SELECT actor, action, target_id FROM farebox_admin_log ORDER BY id")
    assert [tuple(row) for row in acts] == [(ACTOR, "event.replay_dead", SHOP), (ACTOR, "event.replay_dead", "all")]


async def test_an_event_that_is_not_there_is_not_replayed_and_not_shown(pool: Pool) -> None:
    for ask in (Events(pool).replay(uuid4(), None, ACTOR), Events(pool).one(uuid4())):
        with pytest.raises(EventNotFound):
            await ask
    assert await pool.fetchval("SELECT count(*) FROM farebox_admin_log") == 0


async def test_events_are_paged_newest_first_and_found_by_kind_user_and_state(pool: Pool) -> None:
    events, ann = Events(pool), uuid4()
    ids = [await happened(pool, kind, ann) for kind in ("topup.succeeded", "key.revoked", "topup.failed")]
    await happened(pool)
    await dispatched(pool)
    seen, cursor = [], None
    while True:
        page = await events.page(EventFilter(user_id=ann), 2, cursor)
        seen += [row.id for row in page.rows]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == ids[::-1]
    assert [row.id for row in (await events.page(EventFilter(kind="key.revoked"))).rows] == [ids[1]]
    assert len((await events.page(EventFilter(state="pending"))).rows) == 3
    assert (await events.page(EventFilter(state="dead"))).rows == ()
    assert (await events.one(ids[1])).deliveries[0]["channel"] == SHOP
    with pytest.raises(InvalidRequest):
        await events.page(cursor="none of ours")
