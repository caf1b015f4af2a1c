"""What Limits makes of a Redis that fails in part; the scripts are played. On a real server: tests/integration."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast
from uuid import UUID

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from metering.admission import Admission, Decision, Limits, LimitsUnavailable, StateLoader
from metering.bucket import DAY_MS, MINUTE_MS, Bucket
from metering.leases import Lease
from metering.settlements import Settlement
from metering.verdict import Outcome
from runtime.tasks import TaskSet
from tests.support.waiting import until

REQUEST = Admission(UUID(int=1), UUID(int=2), UUID(int=3), 10)
FAILURES_TO_OPEN = 5
Script = Callable[[list[str], list[Any]], Awaitable[list[Any]]]


class Scripts:
    """A client whose admissions succeed or fail as told; settlements and renewals come back when they may."""

    def __init__(self) -> None:
        self.is_away = False
        self.admissions = 0
        self.policies_read = 0
        self.settled: list[bytes] = []
        self.may_settle, self.may_renew, self.may_admit = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.may_admit.set()
        self.answer: list[int] = [Outcome.ADMITTED, 5, 4 * MINUTE_MS, 9, 8 * DAY_MS, 990, 10]

    def register_script(self, source: str) -> Script:
        if "local function renew(" in source:
            return self._renew
        return self._admit if "local function admit(" in source else self._settle

    async def _admit(self, keys: list[str], args: list[Any]) -> list[Any]:
        self.admissions += 1
        await self.may_admit.wait()
        if self.is_away:
            raise RedisConnectionError
        return [0, *[self.answer] * ((len(args) - 2) // 5)]

    def pipeline(self, *, transaction: bool) -> "Scripts":
        return self

    def hmget(self, name: str, fields: list[str]) -> None:
        self.policies_read += 1

    async def execute(self) -> list[list[bytes | None]]:
        return [[None, None]]

    async def _settle(self, keys: list[str], args: list[Any]) -> list[Any]:
        self.settled += args[::5]
        await self.may_settle.wait()
        return [0] * (len(args) // 5)

    async def _renew(self, keys: list[str], args: list[Any]) -> list[Any]:
        await self.may_renew.wait()
        return args[2::4]


class NoLoader:
    async def push_keys(self, ids: Sequence[UUID]) -> None: ...
    async def push_wallets(self, ids: Sequence[UUID]) -> None: ...


def limits_over(scripts: Scripts, now_ms: Callable[[], int] = lambda: 0, shards: int = 1) -> Limits:
    loader: StateLoader = NoLoader()
    return Limits(cast(Redis, scripts), loader, shards=shards, clock_ms=now_ms)


async def fail(limits: Limits, times: int) -> list[str]:
    reasons = []
    for _ in range(times):
        with pytest.raises(LimitsUnavailable) as caught:
            await limits.admit(REQUEST)
        reasons.append(str(caught.value))
    return reasons


async def test_a_decision_is_what_the_script_said() -> None:
    decision = await limits_over(Scripts()).admit(REQUEST)
    assert (decision.outcome, decision.available_nanos) == (Outcome.ADMITTED, 990)
    assert (decision.minute.capacity, decision.minute.remaining) == (5, 4)
    assert (decision.day.capacity, decision.day.remaining) == (9, 8)


async def test_a_key_without_limits_of_its_own_is_told_none() -> None:
    decision = await limits_over(Scripts()).admit(REQUEST)
    assert (decision.tokens, decision.max_concurrent_requests, decision.refused) == (None, None, None)


async def test_limits_of_its_own_come_after_the_rest_and_a_bucket_may_owe() -> None:
    scripts = Scripts()
    scripts.answer += [100, -3 * MINUTE_MS, -1]
    decision = await limits_over(scripts).admit(REQUEST)
    assert decision.tokens == Bucket(100, MINUTE_MS, -3 * MINUTE_MS)
    assert decision.max_concurrent_requests is None
    scripts.answer[7:] = [-1, -1, 7]
    decision = await limits_over(scripts).admit(REQUEST)
    assert (decision.tokens, decision.max_concurrent_requests) == (None, 7)


async def test_a_policy_that_changes_all_the_time_is_not_asked_about_for_ever() -> None:
    scripts = Scripts()
    scripts.answer[0] = Outcome.STALE_POLICY
    with pytest.raises(LimitsUnavailable, match="policy"):
        await limits_over(scripts).admit(REQUEST)
    assert scripts.admissions == scripts.policies_read == 4


async def test_failures_in_a_row_open_the_breaker_and_then_nothing_is_sent() -> None:
    scripts = Scripts()
    scripts.is_away = True
    limits = limits_over(scripts)
    assert await fail(limits, FAILURES_TO_OPEN + 3) == ["ConnectionError"] * FAILURES_TO_OPEN + ["breaker open"] * 3
    assert not limits.is_available
    assert scripts.admissions == FAILURES_TO_OPEN
    await limits.drain(0)


async def test_an_admission_in_between_starts_the_count_again() -> None:
    scripts = Scripts()
    limits = limits_over(scripts)
    for _ in range(3):
        scripts.is_away = True
        await fail(limits, FAILURES_TO_OPEN - 1)
        scripts.is_away = False
        await limits.admit(REQUEST)
    assert limits.is_available
    await limits.drain(0)


async def test_the_one_that_may_try_closes_it_again() -> None:
    scripts = Scripts()
    now_ms = [0]
    limits = limits_over(scripts, lambda: now_ms[0])
    scripts.is_away = True
    await fail(limits, FAILURES_TO_OPEN)
    now_ms[0] = 1_000
    assert await fail(limits, 2) == ["ConnectionError", "breaker open"]
    now_ms[0], scripts.is_away = 2_000, False
    assert (await limits.admit(REQUEST)).outcome is Outcome.ADMITTED
    assert limits.is_available
    await limits.drain(0)


async def test_a_shard_that_is_away_does_not_keep_the_others_from_being_asked() -> None:
    scripts = Scripts()
    limits = limits_over(scripts, shards=2)
    scripts.is_away = True
    await fail(limits, FAILURES_TO_OPEN + 1)
    scripts.is_away = False
    of_the_other = replace(REQUEST, wallet_id=UUID(int=4))
    assert (await limits.admit(of_the_other)).outcome is Outcome.ADMITTED
    assert await fail(limits, 1) == ["breaker open"]
    assert limits.is_available
    await limits.drain(0)


@pytest.mark.parametrize("outcome", [Outcome.ADMITTED, Outcome.NO_FUNDS])
@pytest.mark.parametrize("moment", ["before", "just after"])
async def test_whoever_leaves_before_it_hears_the_answer_holds_nothing(outcome: Outcome, moment: str) -> None:
    """Also where there is an answer already, and the caller has not been woken to see it."""
    scripts, tasks = Scripts(), TaskSet()
    scripts.may_settle.set()
    scripts.may_admit.clear()
    scripts.answer[0] = outcome
    limits = limits_over(scripts)
    answered = futures_of(limits, lambda: moment == "just after" and caller.cancel())
    caller = tasks.spawn(limits.admit(REQUEST), name="caller")
    await until(lambda: scripts.admissions == 1)
    if moment == "before":
        caller.cancel()
    scripts.may_admit.set()
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert answered[0].cancelled() == (moment == "before")
    await until(lambda: not len(limits._admissions[0]) and limits._admissions[0]._in_flight == 0)
    assert await limits.drain(30.0) == 0
    assert scripts.settled == ([REQUEST.request_id.bytes] if outcome is Outcome.ADMITTED else [])


def futures_of(limits: Limits, at_answer: Callable[[], object]) -> list[asyncio.Future[Decision]]:
    """Of all that will be submitted. `at_answer` is called before the caller is woken."""
    found: list[asyncio.Future[Decision]] = []
    submit = limits._admissions[0].submit

    def noted(item: tuple[Admission, str]) -> asyncio.Future[Decision]:
        found.append(submit(item))
        found[-1].add_done_callback(lambda _: at_answer())
        return found[-1]

    limits._admissions[0].submit = noted  # type: ignore[method-assign]
    return found


def settlement_of(request: Admission) -> Settlement:
    return Settlement(request.request_id, request.key_id, request.wallet_id, 5, b"{}")


def open_lease(limits: Limits) -> Lease:
    lease = Lease(REQUEST.request_id, REQUEST.key_id, REQUEST.wallet_id, 10, lambda: b"", is_due=True)
    limits.leases.open(lease)
    return lease


async def test_a_hold_may_be_lowered_and_the_decision_says_to_what() -> None:
    scripts = Scripts()
    scripts.answer[6] = 7
    assert (await limits_over(scripts).admit(replace(REQUEST, least_nanos=1))).held_nanos == 7


async def test_a_settlement_is_sent_when_the_renewal_under_way_is_over() -> None:
    scripts, tasks = Scripts(), TaskSet()
    limits = limits_over(scripts)
    scripts.may_settle.set()
    lease = open_lease(limits)
    renewing = tasks.spawn(limits.leases.renew_due(), name="renew")
    await until(lambda: lease.renewal is not None)
    charge = limits.settle(settlement_of(REQUEST))
    for _ in range(5):
        await asyncio.sleep(0)
    assert (scripts.settled, charge.done()) == ([], False)
    scripts.may_renew.set()
    assert await charge == 0
    await renewing
    assert scripts.settled == [REQUEST.request_id.bytes]


@pytest.mark.parametrize("is_renewed", [False, True])
async def test_a_settlement_for_which_nobody_waits_any_more_is_made_all_the_same(is_renewed: bool) -> None:
    scripts, tasks = Scripts(), TaskSet()
    limits = limits_over(scripts)
    scripts.may_settle.set()
    lease = open_lease(limits)
    renewing = tasks.spawn(limits.leases.renew_due(), name="renew") if is_renewed else None
    if is_renewed:
        await until(lambda: lease.renewal is not None)
    limits.settle(settlement_of(REQUEST)).cancel()
    scripts.may_renew.set()
    await until(lambda: scripts.settled == [REQUEST.request_id.bytes])
    if renewing is not None:
        await renewing


async def test_what_waits_for_a_renewal_when_all_ends_is_counted_as_lost() -> None:
    scripts, tasks = Scripts(), TaskSet()
    limits = limits_over(scripts)
    lease = open_lease(limits)
    tasks.spawn(limits.leases.renew_due(), name="renew")
    await until(lambda: lease.renewal is not None)
    charge = limits.settle(settlement_of(REQUEST))
    limits.settle(settlement_of(replace(REQUEST, request_id=UUID(int=9))))
    await until(lambda: bool(scripts.settled))
    assert await limits.drain(0) == 2
    assert charge.cancelled()
    await tasks.cancel()


async def test_a_renewal_that_is_answered_closes_the_breaker_and_one_that_fails_counts() -> None:
    scripts = Scripts()
    scripts.is_away = True
    limits = limits_over(scripts)
    await fail(limits, FAILURES_TO_OPEN)
    open_lease(limits)
    scripts.may_renew.set()
    await limits.leases.renew_due()
    assert limits.is_available
    await limits.drain(0)
