"""The Lua on a real server against its twin in Python (metering/model.py), step by step, over generated histories."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis.asyncio import Redis

from ledger.entries import NO_LIMITS, NOTHING_SPENT, KeyLimits, KeySpent, KeyState
from ledger.money import MAX_NANOS
from metering.bucket import DAY_MS, MAX_CAPACITY, MINUTE_MS
from metering.budget import day_at, month_of
from metering.model import Outcome
from runtime.clock import wall_ms
from runtime.redis_cluster import RedisCluster
from tests.support.both_shards import HOLDS, NAMES, Asked, Both, Ended
from tests.support.redis_server import REDIS_SERVER, a_redis
from tests.support.valkey_cluster import SHARDS

T = TypeVar("T")

# A Redis where there is one: no package of Python's brings it.
SERVERS = ["valkey", "cluster", *(["redis"] if REDIS_SERVER else [])]
FAR_FUTURE_MS = 4_000_000_000_000

small = st.integers(0, 200)
money = st.one_of(small, st.integers(MAX_NANOS - 200, MAX_NANOS), st.integers(0, MAX_NANOS))
names = st.sampled_from(NAMES)
requests = st.integers(0, 5)
limits = st.sampled_from([0, 1, 1, 2, 60, MAX_CAPACITY])
expiries = st.sampled_from([0, 0, 0, 1, FAR_FUTURE_MS])
pauses = st.one_of(st.integers(-5_000, 120_000), st.integers(0, 2 * DAY_MS))
versions = st.integers(1, 6)

token_counts = st.one_of(small, st.integers(0, 10**9))
# Keys have few policies, so that what a request was judged by is often the current one, and often is not.
POLICIES = ["", '{"models":["a"]}', '{"models":["b"]}']
policy_ids = [
    KeyState(UUID(int=0), UUID(int=0), UUID(int=0), True, 0, 0, 0, 1, policy=text).policy_id for text in POLICIES
]
verdicts = st.sampled_from(["", "", "", *policy_ids, *(f"!{i}" for i in policy_ids)])
no_limit: st.SearchStrategy[None] = st.none()
key_limits = st.one_of(
    st.just(NO_LIMITS),
    st.builds(
        KeyLimits,
        no_limit | st.sampled_from([0, 1, 60, 200, MAX_CAPACITY]),
        no_limit | st.integers(0, 3),
        no_limit | money,
        no_limit | money,
        no_limit | money,
    ),
)
TODAY = day_at(wall_ms())
periods = st.sampled_from(
    [(TODAY, month_of(TODAY)), (TODAY - 1, month_of(TODAY)), (TODAY + 9, month_of(TODAY) + 1), (0, 0)]
)
key_spent = st.builds(lambda period, *nanos: KeySpent(period[0], period[1], *nanos), periods, money, money, money)

asked = st.builds(Asked, requests, names, names, money, token_counts, verdicts)
ended = st.builds(Ended, requests, names, names, money, st.booleans(), token_counts)
admissions = st.lists(asked, min_size=1, max_size=6)
settlements = st.lists(ended, min_size=1, max_size=6)
bounded_keys = st.tuples(
    names, st.just(True), st.just(0), st.just(60), st.just(60), versions, st.sampled_from([False] * 9 + [True]),
    st.sampled_from(["", "", "", *POLICIES]), key_limits, key_spent,
)  # fmt: skip
steps = st.one_of(
    st.tuples(st.just("admit"), st.tuples(admissions)),
    st.tuples(st.just("settle"), st.tuples(settlements)),
    st.tuples(st.just("acknowledge"), st.tuples(st.integers(1, 4), money)),
    st.tuples(st.just("put_wallet"), st.tuples(names, money, st.just(0), versions)),
    st.tuples(st.just("put_wallet"), st.tuples(names, st.integers(-200, 200), small, versions)),
    st.tuples(st.just("put_wallet"), st.tuples(names, money, st.just(0), versions, st.booleans())),
    st.tuples(st.just("put_key"), st.tuples(names, st.booleans(), expiries, limits, limits, versions)),
    st.tuples(st.just("put_key"), bounded_keys),
    st.tuples(st.just("put_key"), bounded_keys),
    st.tuples(st.just("wait"), st.tuples(names, pauses)),
    st.tuples(st.just("let_days_pass"), st.tuples(names, st.integers(-2, 40), st.integers(-1, 2))),
)
# Most histories begin with keys and wallets that can be used; what is unknown comes up in the others.
known = [("put_wallet", (n, 150, 0, 1)) for n in NAMES] + [
    ("put_key", (n, True, 0, limit, 60, 1)) for n, limit in zip(NAMES, (60, 2, 1), strict=True)
]
limited = [("put_wallet", (n, 150, 0, 1)) for n in NAMES] + [
    ("put_key", (n, True, 0, 60, 60, 1, False, "", limits, KeySpent(TODAY, month_of(TODAY), 5, 10, 20)))
    for n, limits in enumerate(
        (
            KeyLimits(tokens_per_minute=100, max_concurrent_requests=2),
            KeyLimits(None, None, 60, 90, 200),
            KeyLimits(200, 3, 90),
        )
    )
]
histories = st.tuples(st.sampled_from([known, limited, limited, []]), st.lists(steps, max_size=25)).map(
    lambda h: h[0] + h[1]
)


# One key and one wallet, with money for most of it, so that what only some keys have is what decides.
little = st.integers(0, 60)
own_limits = st.sampled_from(
    [
        NO_LIMITS,
        KeyLimits(tokens_per_minute=100),
        KeyLimits(tokens_per_minute=100, max_concurrent_requests=1),
        KeyLimits(tokens_per_minute=30, budget_day_nanos=60),
        KeyLimits(max_concurrent_requests=2, budget_month_nanos=100),
        KeyLimits(budget_day_nanos=60, budget_month_nanos=100, budget_total_nanos=150),
        KeyLimits(budget_total_nanos=0),
    ]
)
spent_little = st.builds(lambda period, *nanos: KeySpent(period[0], period[1], *nanos), periods, little, little, little)
put_one = st.tuples(
    st.just(0), st.just(True), st.just(0), st.just(10**6), st.just(10**6), st.just(0),
    st.sampled_from([False] * 5 + [True]), st.sampled_from([*[""] * 5, *POLICIES]), own_limits, spent_little,
)  # fmt: skip
ask_one = st.builds(Asked, requests, st.just(0), st.just(0), little, little | st.just(500), st.just("") | verdicts)
end_one = st.builds(
    Ended, requests, st.just(0), st.just(0), little, st.booleans(), little | st.sampled_from([0, 500, 10**9])
)
steps_of_one = st.one_of(
    st.tuples(st.just("admit"), st.tuples(st.lists(ask_one, min_size=1, max_size=3))),
    st.tuples(st.just("admit"), st.tuples(st.lists(ask_one, min_size=1, max_size=3))),
    st.tuples(st.just("settle"), st.tuples(st.lists(end_one, min_size=1, max_size=3))),
    st.tuples(st.just("put_key"), put_one),
    st.tuples(st.just("put_wallet"), st.tuples(st.just(0), st.just(9_000), st.just(0), st.just(0), st.booleans())),
    st.tuples(st.just("wait"), st.tuples(st.just(0), pauses)),
    st.tuples(
        st.just("let_days_pass"),
        st.sampled_from([(0, days, months) for days in (-1, 0, 1, 2) for months in (-1, 0, 1)]),
    ),
)


def in_order(history: list[tuple[str, tuple[Any, ...]]]) -> list[tuple[str, tuple[Any, ...]]]:
    """Each state that is put is newer than the one before: a key's version is in the sixth place, a wallet's fourth."""
    place = {"put_key": 5, "put_wallet": 3}
    found = []
    for version, (name, args) in enumerate(history, start=2):
        at = place.get(name)
        found.append((name, args if at is None else (*args[:at], version, *args[at + 1 :])))
    return found


histories_of_one = st.tuples(put_one, st.lists(steps_of_one, min_size=5, max_size=40)).map(
    lambda h: in_order([("put_wallet", (0, 9_000, 0, 0)), ("put_key", h[0]), *h[1]])
)


@pytest.fixture(scope="module", params=SERVERS)
def both_runner(request: pytest.FixtureRequest, servers_dir: Path) -> Iterator[tuple[asyncio.Runner, Redis]]:
    with asyncio.Runner() as runner, ExitStack() as stack:
        if request.param == "cluster":
            client: Redis = request.getfixturevalue("valkey_cluster").client()
        elif request.param == "redis":
            client = Redis.from_url(stack.enter_context(a_redis(servers_dir)).url)
        else:
            client = Redis.from_url(request.getfixturevalue("valkey_server").url)
        yield runner, client
        runner.run(client.aclose())


def play(server: tuple[asyncio.Runner, Redis], history: list[tuple[str, tuple[Any, ...]]]) -> Both:
    runner, client = server

    async def all_steps() -> Both:
        both = Both(client, SHARDS if isinstance(client, RedisCluster) else 1)
        await both.empty()
        for name, args in history:
            await both.step(name, args)
        return both

    return _run(runner, all_steps())


def _run(runner: asyncio.Runner, work: Coroutine[Any, Any, T]) -> T:
    return runner.run(asyncio.wait_for(work, 60))


@example([*known, ("admit", ([Asked(0)],)), ("settle", ([Ended(0)],))])
@example([*known, ("admit", ([Asked(0, hold=100)],)), ("settle", ([Ended(0, cost=999), Ended(0, cost=999)],))])
@example([*known, *[step for n in (0, 1) for step in (("admit", ([Asked(n, hold=1)],)), ("wait", (0, -5_000)))]])
@example(
    [*limited, ("admit", ([Asked(0, tokens=999)],)), ("settle", ([Ended(0, tokens=10**9)],)), ("wait", (0, DAY_MS))]
)
@example(
    [*limited, ("admit", ([Asked(0, 1, 1, 50)],)), ("let_days_pass", (1, 1, 0)), ("admit", ([Asked(1, 1, 1, 50)],))]
)
@given(histories)
def test_the_scripts_do_what_the_model_does(
    both_runner: tuple[asyncio.Runner, Redis], history: list[tuple[str, tuple[Any, ...]]]
) -> None:
    play(both_runner, history)


@given(histories_of_one)
def test_the_scripts_do_for_one_key_with_limits_what_the_model_does(
    both_runner: tuple[asyncio.Runner, Redis], history: list[tuple[str, tuple[Any, ...]]]
) -> None:
    play(both_runner, history)


def test_the_calendar_in_the_lua_is_the_calendar(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    """It is asked about today only, so the histories above cannot try it."""
    runner, client = both_runner
    source = (resources.files("metering") / "lua/admit.lua").read_text()
    month = source[source.index("local function month_of(") : source.index("local time = ")]
    days = range(60_000)
    script = (
        f"{month} local found = {{}} for day = ARGV[1], ARGV[2] do found[#found + 1] = month_of(day) end return found"
    )

    async def found() -> Any:
        return await client.register_script(script)(keys=[HOLDS], args=[days.start, days.stop - 1])

    assert _run(runner, found()) == [month_of(day) for day in days]


def test_every_outcome_in_turn(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    """By hand, so that the comparison above is known to have something to compare."""
    history: list[tuple[str, tuple[Any, ...]]] = [
        ("admit", ([Asked(0, hold=1)],)),
        ("put_key", (0, True, 0, 1, 60, 1)),
        ("admit", ([Asked(0, hold=1)],)),
        ("put_wallet", (0, 100, 0, 1)),
        ("admit", ([Asked(0, hold=101)],)),
        ("admit", ([Asked(0, hold=100), Asked(1)],)),
        ("put_key", (1, True, 0, 60, 1, 1)),
        ("admit", ([Asked(2, 1), Asked(3, 1)],)),
        ("put_key", (1, False, 0, 60, 1, 2)),
        ("admit", ([Asked(4, 1)],)),
        ("put_key", (1, True, 1, 60, 1, 3)),
        ("admit", ([Asked(4, 1)],)),
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


def with_limits(
    limits: KeyLimits, spent: KeySpent = NOTHING_SPENT, policy: str = ""
) -> list[tuple[str, tuple[Any, ...]]]:
    return [
        ("put_wallet", (0, 10**9, 0, 1)),
        ("put_key", (0, True, 0, 60, 60, 1, False, policy, limits, spent)),
    ]


@pytest.mark.parametrize(
    ("history", "outcomes"),
    [
        (
            [*with_limits(KeyLimits(max_concurrent_requests=2)), ("admit", ([Asked(n) for n in range(3)],))],
            [Outcome.ADMITTED, Outcome.ADMITTED, Outcome.TOO_MANY_OPEN],
        ),
        (
            [*with_limits(KeyLimits(tokens_per_minute=9)), ("admit", ([Asked(0, tokens=99), Asked(1, tokens=1)],))],
            [Outcome.ADMITTED, Outcome.OVER_TOKENS],
        ),
        (
            [*with_limits(KeyLimits(tokens_per_minute=9)), ("admit", ([Asked(0), Asked(1)],)),
             ("settle", ([Ended(0, tokens=10**9), Ended(1, tokens=10**9)],)),
             ("wait", (0, DAY_MS - MINUTE_MS)), ("admit", ([Asked(2)],)), ("wait", (0, 2 * MINUTE_MS)),
             ("admit", ([Asked(3)],))],
            [Outcome.ADMITTED, Outcome.ADMITTED, Outcome.OVER_TOKENS, Outcome.ADMITTED],
        ),
        (
            [*with_limits(KeyLimits(budget_day_nanos=60)), ("admit", ([Asked(0, hold=60), Asked(1)],)),
             ("admit", ([Asked(2, hold=1)],)), ("let_days_pass", (0, 1, 0)), ("admit", ([Asked(3, hold=60)],)),
             ("settle", ([Ended(0, cost=60)],)), ("admit", ([Asked(4, hold=1)],))],
            [Outcome.ADMITTED, Outcome.ADMITTED, Outcome.OVER_BUDGET_DAY, Outcome.ADMITTED, Outcome.OVER_BUDGET_DAY],
        ),
        (
            [*with_limits(KeyLimits(budget_month_nanos=60)), ("admit", ([Asked(0, hold=50)],)),
             ("let_days_pass", (0, 1, 0)), ("admit", ([Asked(1, hold=11)],)), ("let_days_pass", (0, 1, 1)),
             ("admit", ([Asked(2, hold=60)],)), ("let_days_pass", (0, -2, -1)), ("admit", ([Asked(3, hold=1)],))],
            [Outcome.ADMITTED, Outcome.OVER_BUDGET_MONTH, Outcome.ADMITTED, Outcome.OVER_BUDGET_MONTH],
        ),
        (
            [*with_limits(KeyLimits(budget_total_nanos=60)), ("admit", ([Asked(0, hold=60)],)),
             ("settle", ([Ended(0, cost=59), Ended(0, cost=59)],)), ("admit", ([Asked(1, hold=2), Asked(2, hold=1)],))],
            [Outcome.ADMITTED, Outcome.OVER_BUDGET_TOTAL, Outcome.ADMITTED],
        ),
        (
            [*with_limits(NO_LIMITS, policy=POLICIES[1]),
             ("admit", ([Asked(0), Asked(1, judged=f"!{policy_ids[1]}"), Asked(2, judged=policy_ids[1])],)),
             ("admit", ([Asked(3, judged=policy_ids[2]), Asked(4, judged="!")],)),
             ("admit", ([Asked(5, judged=f"!{policy_ids[2]}")],))],
            [Outcome.STALE_POLICY, Outcome.POLICY_REFUSED, Outcome.ADMITTED, *[Outcome.STALE_POLICY] * 3],
        ),
        (  # a budget that is set, or set anew, while a request runs
            [*with_limits(NO_LIMITS), ("admit", ([Asked(0, hold=10)],)),
             ("put_key", (0, True, 0, 60, 60, 2, False, "", KeyLimits(budget_total_nanos=60))),
             ("settle", ([Ended(0, cost=9), Ended(0, cost=9)],)), ("admit", ([Asked(1, hold=52), Asked(2, hold=20)],)),
             ("put_key", (0, True, 0, 60, 60, 3, False, "", KeyLimits(budget_total_nanos=30))),
             ("admit", ([Asked(3, hold=2), Asked(4, hold=1)],)), ("put_key", (0, True, 0, 60, 60, 4)),
             ("put_key", (0, True, 0, 60, 60, 5, False, "", KeyLimits(budget_total_nanos=30))),
             ("settle", ([Ended(2, cost=20), Ended(4)],)), ("admit", ([Asked(5, hold=11)],))],
            [Outcome.ADMITTED, Outcome.OVER_BUDGET_TOTAL, Outcome.ADMITTED, Outcome.OVER_BUDGET_TOTAL, Outcome.ADMITTED,
             Outcome.OVER_BUDGET_TOTAL],
        ),
        (  # a clock that is set back
            [*with_limits(KeyLimits(tokens_per_minute=60)), ("admit", ([Asked(0, tokens=60)],)), ("wait", (0, -5_000)),
             ("admit", ([Asked(1, tokens=0)],)), ("wait", (0, 6_000)), ("admit", ([Asked(2, tokens=3)],))],
            [Outcome.ADMITTED, Outcome.ADMITTED, Outcome.OVER_TOKENS],
        ),
        (
            [*with_limits(NO_LIMITS), ("put_wallet", (0, 0, 0, 2, True)), ("admit", ([Asked(0)],)),
             ("put_key", (0, True, 0, 60, 60, 2, True)), ("admit", ([Asked(0)],))],
            [Outcome.WALLET_FROZEN, Outcome.KEY_FROZEN],
        ),
    ],
)  # fmt: skip
def test_what_only_some_keys_have(
    both_runner: tuple[asyncio.Runner, Redis], history: list[tuple[str, tuple[Any, ...]]], outcomes: list[Outcome]
) -> None:
    assert play(both_runner, history).outcomes == outcomes


def test_a_batch_is_its_requests_one_by_one(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    requests = [Asked(n, n % 3, n % 2, 40) for n in range(12)]
    settlements = [Ended(n, n % 3, n % 2, 39, n % 5 > 0) for n in range(12)]
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
            ("admit", ([Asked(0, hold=odd), Asked(1, hold=1)],)),
            ("settle", ([Ended(0, cost=odd - 2)],)),
            ("admit", ([Asked(2, hold=3), Asked(3, hold=2)],)),
            ("settle", ([Ended(3, cost=MAX_NANOS), Ended(4, cost=MAX_NANOS)],)),
        ],
    )
    assert [charge for _, _, charge in both.model.events] == [odd - 2, 2, 0]
