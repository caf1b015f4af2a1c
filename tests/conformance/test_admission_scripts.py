"""The Lua on a real server against its twin in Python (metering/model.py), step by step, over generated histories."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis.asyncio import Redis

from ledger.money import MAX_NANOS
from metering.bucket import DAY_MS, MAX_CAPACITY
from metering.model import Outcome
from runtime.embedded.valkey import EmbeddedValkey
from tests.support.both_shards import NAMES, Both

T = TypeVar("T")

FAR_FUTURE_MS = 4_000_000_000_000

small = st.integers(0, 200)
money = st.one_of(small, st.integers(MAX_NANOS - 200, MAX_NANOS), st.integers(0, MAX_NANOS))
names = st.sampled_from(NAMES)
requests = st.integers(0, 5)
limits = st.sampled_from([0, 1, 1, 2, 60, MAX_CAPACITY])
expiries = st.sampled_from([0, 0, 0, 1, FAR_FUTURE_MS])
pauses = st.one_of(st.integers(-5_000, 120_000), st.integers(0, 2 * DAY_MS))
versions = st.integers(1, 6)

admissions = st.lists(st.tuples(requests, names, names, money), min_size=1, max_size=6)
settlements = st.lists(st.tuples(requests, names, money, st.booleans()), min_size=1, max_size=6)
steps = st.one_of(
    st.tuples(st.just("admit"), st.tuples(admissions)),
    st.tuples(st.just("settle"), st.tuples(settlements)),
    st.tuples(st.just("acknowledge"), st.tuples(st.integers(1, 4), money)),
    st.tuples(st.just("put_wallet"), st.tuples(names, money, st.just(0), versions)),
    st.tuples(st.just("put_wallet"), st.tuples(names, st.integers(-200, 200), small, versions)),
    st.tuples(st.just("put_key"), st.tuples(names, st.booleans(), expiries, limits, limits, versions)),
    st.tuples(st.just("wait"), st.tuples(names, pauses)),
)
# Most histories begin with keys and wallets that can be used; what is unknown comes up in the others.
known = [("put_wallet", (n, 150, 0, 1)) for n in NAMES] + [
    ("put_key", (n, True, 0, limit, 60, 1)) for n, limit in zip(NAMES, (60, 2, 1), strict=True)
]
histories = st.tuples(st.sampled_from([known, known, []]), st.lists(steps, max_size=25)).map(lambda h: h[0] + h[1])


@pytest.fixture(scope="module")
def both_runner(valkey_server: EmbeddedValkey) -> Iterator[tuple[asyncio.Runner, Redis]]:
    with asyncio.Runner() as runner:
        client = Redis.from_url(valkey_server.url)
        yield runner, client
        runner.run(client.aclose())


def play(server: tuple[asyncio.Runner, Redis], history: list[tuple[str, tuple[Any, ...]]]) -> Both:
    runner, client = server

    async def all_steps() -> Both:
        both = Both(client)
        await both.empty()
        for name, args in history:
            await both.step(name, args)
        return both

    return _run(runner, all_steps())


def _run(runner: asyncio.Runner, work: Coroutine[Any, Any, T]) -> T:
    return runner.run(asyncio.wait_for(work, 60))


@example([*known, ("admit", ([(0, 0, 0, 0)],)), ("settle", ([(0, 0, 0, True)],))])
@example([*known, ("admit", ([(0, 0, 0, 100)],)), ("settle", ([(0, 0, 999, True), (0, 0, 999, True)],))])
@example([*known, ("admit", ([(0, 0, 0, 1)],)), ("wait", (0, -5_000)), ("admit", ([(1, 0, 0, 1)],)), ("wait", (0, 1))])
@given(histories)
def test_the_scripts_do_what_the_model_does(
    both_runner: tuple[asyncio.Runner, Redis], history: list[tuple[str, tuple[Any, ...]]]
) -> None:
    play(both_runner, history)


def test_every_outcome_in_turn(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    """By hand, so that the comparison above is known to have something to compare."""
    history: list[tuple[str, tuple[Any, ...]]] = [
        ("admit", ([(0, 0, 0, 1)],)),
        ("put_key", (0, True, 0, 1, 60, 1)),
        ("admit", ([(0, 0, 0, 1)],)),
        ("put_wallet", (0, 100, 0, 1)),
        ("admit", ([(0, 0, 0, 101)],)),
        ("admit", ([(0, 0, 0, 100), (1, 0, 0, 0)],)),
        ("put_key", (1, True, 0, 60, 1, 1)),
        ("admit", ([(2, 1, 0, 0), (3, 1, 0, 0)],)),
        ("put_key", (1, False, 0, 60, 1, 2)),
        ("admit", ([(4, 1, 0, 0)],)),
        ("put_key", (1, True, 1, 60, 1, 3)),
        ("admit", ([(4, 1, 0, 0)],)),
    ]
    assert play(both_runner, history).outcomes == [
        Outcome.UNKNOWN_KEY,
        Outcome.UNKNOWN_WALLET,
        Outcome.NO_FUNDS,
        Outcome.ADMITTED,
        Outcome.OVER_MINUTE,
        Outcome.ADMITTED,
        Outcome.OVER_DAY,
        Outcome.KEY_REFUSED,
        Outcome.KEY_REFUSED,
    ]


def test_a_batch_is_its_requests_one_by_one(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    requests = [(n, n % 3, n % 2, 40) for n in range(12)]
    settlements = [(n, n % 2, 39, n % 5 > 0) for n in range(12)]
    whole = play(both_runner, [*known, ("admit", (requests,)), ("settle", (settlements,))])
    one_by_one = [("admit", ([r],)) for r in requests] + [("settle", ([s],)) for s in settlements]
    apart = play(both_runner, [*known, *one_by_one])
    assert apart.model.events == whole.model.events
    assert apart.model.wallets == whole.model.wallets


def test_money_as_large_as_it_may_be_is_exact(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    odd = MAX_NANOS - 1
    both = play(
        both_runner,
        [
            ("put_key", (0, True, 0, 60, 60, 1)),
            ("put_wallet", (0, odd, 0, 1)),
            ("admit", ([(0, 0, 0, odd), (1, 0, 0, 1)],)),
            ("settle", ([(0, 0, odd - 2, True)],)),
            ("admit", ([(2, 0, 0, 3), (3, 0, 0, 2)],)),
            ("settle", ([(3, 0, MAX_NANOS, True), (4, 0, MAX_NANOS, True)],)),
        ],
    )
    assert [charge for _, _, charge in both.model.events] == [odd - 2, 2, 0]
