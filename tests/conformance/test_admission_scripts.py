"""The Lua on a real server against its twin in Python (metering/model.py), step by step, over generated histories."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
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
from metering.scripts import source_of
from metering.verdict import Outcome
from runtime.clock import wall_ms
from runtime.redis_cluster import RedisCluster
from tests.support.both_shards import HOLDS, LEASE_MS, MAX_EVENTS, NAMES, Asked, Both, Ended, Running
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

leasts = st.none() | small
lapses = st.sampled_from([None, None, 0, 1])
checkpoints = st.sampled_from(["", "a", "so far"])
asked = st.builds(Asked, requests, names, names, money, token_counts, verdicts, leasts)
ended = st.builds(Ended, requests, names, names, money, st.booleans(), token_counts, lapses)
running = st.builds(Running, requests, names, names, small, small, checkpoints)
admissions = st.lists(asked, min_size=1, max_size=6)
settlements = st.lists(ended, min_size=1, max_size=6)
bounded_keys = st.tuples(
    names, st.just(True), st.just(0), st.just(60), st.just(60), versions, st.sampled_from([False] * 9 + [True]),
    st.sampled_from(["", "", "", *POLICIES]), key_limits, key_spent,
)  # fmt: skip
steps = st.one_of(
    st.tuples(st.just("admit"), st.tuples(admissions)),
    st.tuples(st.just("settle"), st.tuples(settlements)),
    st.tuples(st.just("renew"), st.tuples(st.lists(running, min_size=1, max_size=4))),
    st.tuples(st.just("lapse"), st.tuples(requests, st.booleans())),
    st.tuples(st.just("look"), st.just(())),
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
ask_one = st.builds(
    Asked, requests, st.just(0), st.just(0), little, little | st.just(500), st.just("") | verdicts, st.none() | little
)
renew_one = st.builds(Running, requests, st.just(0), st.just(0), little, little, checkpoints)
end_one = st.builds(
    Ended, requests, st.just(0), st.just(0), little, st.booleans(), little | st.sampled_from([0, 500, 10**9])
)
steps_of_one = st.one_of(
    st.tuples(st.just("admit"), st.tuples(st.lists(ask_one, min_size=1, max_size=3))),
    st.tuples(st.just("admit"), st.tuples(st.lists(ask_one, min_size=1, max_size=3))),
    st.tuples(st.just("settle"), st.tuples(st.lists(end_one, min_size=1, max_size=3))),
    st.tuples(
        st.just("renew"),
        st.tuples(
            st.lists(st.builds(Running, requests, st.just(0), st.just(0), little, little, checkpoints), min_size=1)
        ),
    ),
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
    source = source_of("admit")
    month = source[source.index("local function month_of(") : source.index("-- Read apart")]
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


# Holds that fit, leases, and what becomes of a request whose proxy is gone: by hand, one after the other.


def charges(both: Both) -> list[tuple[str, int]]:
    return [(request, charge) for request, _, charge in both.model.events]


def holds(both: Both) -> dict[str, int]:
    return {request: hold.nanos for request, hold in both.model.holds.items()}


@pytest.mark.parametrize(
    ("limits", "spent", "held"),
    [
        (NO_LIMITS, NOTHING_SPENT, 100),
        (KeyLimits(max_concurrent_requests=1), NOTHING_SPENT, 100),
        (KeyLimits(budget_day_nanos=60), NOTHING_SPENT, 60),
        (KeyLimits(budget_month_nanos=60), NOTHING_SPENT, 60),
        (KeyLimits(budget_total_nanos=60), NOTHING_SPENT, 60),
        (KeyLimits(None, None, 60, 50, 70), NOTHING_SPENT, 50),
        (KeyLimits(budget_day_nanos=500), NOTHING_SPENT, 100),
        (KeyLimits(None, None, 60, 60, 60), KeySpent(TODAY, month_of(TODAY), 1, 2, 3), 57),
        (KeyLimits(None, None, 60, 60, 60), KeySpent(TODAY - 1, month_of(TODAY), 59, 2, 3), 57),
    ],
)
def test_a_hold_is_lowered_to_what_wallet_and_budgets_have(
    both_runner: tuple[asyncio.Runner, Redis], limits: KeyLimits, spent: KeySpent, held: int
) -> None:
    both = play(
        both_runner,
        [
            ("put_wallet", (0, 100, 0, 1)),
            ("put_key", (0, True, 0, 60, 60, 1, False, "", limits, spent)),
            ("admit", ([Asked(0, hold=900, least=held + 1)],)),
            ("admit", ([Asked(0, hold=900, least=held)],)),
        ],
    )
    assert both.outcomes[0] in (Outcome.NO_FUNDS, *range(Outcome.OVER_BUDGET_DAY, Outcome.NO_FUNDS))
    assert (both.outcomes[1], holds(both)) == (Outcome.ADMITTED, {"0": held})
    assert both.model.wallets["0"].held == held


def test_what_the_least_cannot_have_is_refused_and_takes_nothing(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    both = play(
        both_runner,
        [
            *with_limits(KeyLimits(budget_day_nanos=60)),
            ("put_wallet", (0, 50, 5, 2)),
            ("admit", ([Asked(0, hold=900, least=61), Asked(1, hold=900, least=56), Asked(2, hold=900)],)),
            ("admit", ([Asked(3, hold=54, least=1), Asked(4, hold=900, least=2), Asked(5, hold=900, least=0)],)),
        ],
    )
    assert both.outcomes == [
        Outcome.OVER_BUDGET_DAY, Outcome.NO_FUNDS, Outcome.OVER_BUDGET_DAY,
        Outcome.ADMITTED, Outcome.NO_FUNDS, Outcome.ADMITTED,
    ]  # fmt: skip
    assert holds(both) == {"3": 54, "5": 1}


def test_more_is_held_as_far_as_the_wallet_has_it(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    both = play(
        both_runner,
        [
            *known,
            ("admit", ([Asked(0, hold=60), Asked(1, hold=40)],)),
            ("renew", ([Running(0, believed=60, wanted=30)],)),
            ("renew", ([Running(1, believed=40, wanted=90), Running(0, believed=90, wanted=1)],)),
            ("settle", ([Ended(1, cost=7)],)),
            ("renew", ([Running(0, believed=90, wanted=20)],)),
        ],
    )
    assert (holds(both), both.model.wallets["0"].available) == ({"0": 110}, 150 - 110 - 7)


def test_more_is_held_as_far_as_the_budgets_have_it_and_is_given_back_whole(
    both_runner: tuple[asyncio.Runner, Redis],
) -> None:
    history: list[tuple[str, tuple[Any, ...]]] = [
        *with_limits(KeyLimits(None, None, 100, 90, 200)),
        ("admit", ([Asked(0, hold=30), Asked(1, hold=20)],)),
        ("renew", ([Running(0, believed=30, wanted=25)],)),
        ("renew", ([Running(0, believed=55, wanted=25)],)),
        ("renew", ([Running(0, believed=70, wanted=1), Running(1, believed=20, wanted=1)],)),
    ]
    both = play(both_runner, history)
    key = both.model.keys["0"]
    assert (holds(both), key.open["0"].hold, key.open["1"].hold) == ({"0": 70, "1": 20}, 70, 20)
    both = play(both_runner, [*history, ("settle", ([Ended(0, cost=41), Ended(1, has_entry=False)],))])
    key = both.model.keys["0"]
    assert key.used is not None and (key.used.day_nanos, key.used.month_nanos, key.used.total_nanos) == (41, 41, 41)
    assert (key.open, both.model.wallets["0"].held) == ({}, 0)


def test_what_is_held_more_counts_on_the_day_of_the_request(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    both = play(
        both_runner,
        [
            *with_limits(
                KeyLimits(budget_day_nanos=100, budget_total_nanos=200), KeySpent(TODAY + 1, month_of(TODAY), 0, 0, 0)
            ),
            ("admit", ([Asked(0, hold=30)],)),
            ("let_days_pass", (0, 2, 0)),
            ("admit", ([Asked(1, hold=60)],)),
            ("renew", ([Running(0, believed=30, wanted=60)],)),
        ],
    )
    used = both.model.keys["0"].used
    assert used is not None and (used.day_nanos, used.total_nanos) == (60, 30 + 60 + 40)


def test_what_was_admitted_before_its_key_had_a_budget_is_extended_without_it(
    both_runner: tuple[asyncio.Runner, Redis],
) -> None:
    both = play(
        both_runner,
        [
            *with_limits(KeyLimits(max_concurrent_requests=5)),
            ("admit", ([Asked(0, hold=30)],)),
            ("put_key", (0, True, 0, 60, 60, 2, False, "", KeyLimits(budget_day_nanos=10))),
            ("renew", ([Running(0, believed=30, wanted=30)],)),
        ],
    )
    used = both.model.keys["0"].used
    assert holds(both) == {"0": 60} and used is not None and used.day_nanos == 0


def test_a_hold_that_was_lost_is_placed_again_as_far_as_there_is(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    both = play(
        both_runner,
        [
            ("renew", ([Running(0, believed=60, wanted=5, checkpoint="so far")],)),
            *known,
            ("renew", ([Running(0, believed=60, wanted=5, checkpoint="so far"), Running(1, believed=200)],)),
            ("renew", ([Running(2, believed=10)],)),
        ],
    )
    assert holds(both) == {"0": 65, "1": 85, "2": 0}
    assert both.model.holds["0"].checkpoint == "so far"
    assert both.model.wallets["0"].available == 0


def test_a_checkpoint_stays_until_there_is_a_newer_one(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    history: list[tuple[str, tuple[Any, ...]]] = [*known, ("admit", ([Asked(0, hold=60)],))]
    for told, kept in (("", ""), ("one", "one"), ("", "one"), ("two words", "two words")):
        history.append(("renew", ([Running(0, believed=60, checkpoint=told)],)))
        assert play(both_runner, history).model.holds["0"].checkpoint == kept


def test_what_is_held_can_always_be_charged(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    """Between the posting of a charge and its acknowledgement the wallet seems to have less than it has."""
    both = play(
        both_runner,
        [
            *known,
            ("put_wallet", (0, 3, 0, 2)),
            ("admit", ([Asked(0, hold=1), Asked(1, hold=2)],)),
            ("settle", ([Ended(0, cost=1)],)),
            ("put_wallet", (0, 2, 0, 3)),
            ("settle", ([Ended(1, cost=2)],)),
            ("acknowledge", (2, 0)),
        ],
    )
    assert play(both_runner, [*known, ("settle", ([Ended(1, cost=200)],))]).model.events == [("1", "0", 150)]
    assert both.model.wallets["0"].available == 0
    assert (both.model.wallets["0"].balance, both.model.wallets["0"].unposted) == (0, 0)


def test_what_was_extended_can_be_charged_too(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    both = play(
        both_runner,
        [
            *known,
            ("admit", ([Asked(0, hold=10)],)),
            ("renew", ([Running(0, believed=10, wanted=140)],)),
            ("put_wallet", (0, -500, 0, 2)),
            ("settle", ([Ended(0, cost=151), Ended(1, cost=1)],)),
        ],
    )
    assert charges(both) == [("0", 150), ("1", 0)]


def test_what_lapsed_is_settled_as_it_was_seen_and_once(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    both = play(
        both_runner,
        [
            *limited,
            ("admit", ([Asked(0, hold=50)],)),
            ("renew", ([Running(0, believed=50, checkpoint="so far")],)),
            ("settle", ([Ended(0, cost=9, lapsed_ms=0), Ended(1, cost=9, lapsed_ms=0)],)),
            ("lapse", (0,)),
            ("look", ()),
            ("settle", ([Ended(0, cost=9, lapsed_ms=0), Ended(0, cost=9, lapsed_ms=0)],)),
            ("look", ()),
        ],
    )
    assert (charges(both), holds(both), both.model.keys["0"].open) == ([("0", 9)], {}, {})


def test_what_was_renewed_since_it_was_seen_is_not_settled_though_it_lapsed_again(
    both_runner: tuple[asyncio.Runner, Redis],
) -> None:
    both = play(
        both_runner,
        [
            *known,
            ("admit", ([Asked(0, hold=50)],)),
            ("renew", ([Running(0, believed=50, checkpoint="one")],)),
            ("lapse", (0, True, 17)),
            ("renew", ([Running(0, believed=50, checkpoint="two")],)),
            ("settle", ([Ended(0, cost=9, lapsed_ms=17)],)),
            ("lapse", (0, True, 18)),
            ("settle", ([Ended(0, cost=9, lapsed_ms=17)],)),
        ],
    )
    assert (charges(both), both.model.holds["0"].checkpoint) == ([], "two")


def test_what_was_recovered_goes_on_and_is_settled_truly(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    """Its proxy was only late. Both events are posted, and each takes off again what it added."""
    both = play(
        both_runner,
        [
            *known,
            ("admit", ([Asked(0, hold=50)],)),
            ("lapse", (0,)),
            ("settle", ([Ended(0, cost=20, lapsed_ms=0)],)),
            ("renew", ([Running(0, believed=50, wanted=10, checkpoint="later")],)),
            ("settle", ([Ended(0, cost=55)],)),
        ],
    )
    assert (charges(both), both.model.wallets["0"].unposted, holds(both)) == ([("0", 20), ("0", 55)], 75, {})


def test_after_a_pause_those_who_renew_get_the_time_of_a_lease(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    both = play(
        both_runner,
        [
            *known,
            ("admit", ([Asked(0, hold=50)],)),
            ("lapse", (0,)),
            ("look_after", (10, 60_000)),
            ("look_after", (60_001, 60_000)),
            # the clock was set back since
            ("look_after", (-60_000, 60_000)),
            # and while that time runs
            ("look_after", (10, 60_000, FAR_FUTURE_MS)),
            ("look_after", (10, 60_000)),
        ],
    )
    assert both.found == [["0"], [], [], [], ["0"]]
    assert both.waits_ms[1:3] == [LEASE_MS, LEASE_MS] and both.waits_ms[0] == both.waits_ms[4] == 0


def test_a_lease_from_before_the_clock_was_set_back_ends(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    both = play(
        both_runner,
        [
            *known,
            ("admit", ([Asked(0, hold=50), Asked(1, hold=50)],)),
            ("renew", ([Running(0, believed=50, checkpoint="so far")],)),
            ("lapse", (0, False)),
            ("look", ()),
            ("look", ()),
        ],
    )
    assert both.model.holds["0"].expiry_ms < FAR_FUTURE_MS
    assert (holds(both), both.model.holds["0"].checkpoint) == ({"0": 50, "1": 50}, "so far")


def test_while_too_much_waits_to_be_posted_nobody_is_admitted(both_runner: tuple[asyncio.Runner, Redis]) -> None:
    settled = [Ended(n, cost=1) for n in range(MAX_EVENTS)]
    both = play(
        both_runner,
        [
            *known,
            ("put_key", (1, False, 0, 60, 60, 2)),
            ("settle", (settled,)),
            ("admit", ([Asked(0, 0, 1, hold=1)],)),
            ("settle", (settled[:1],)),
            ("admit", ([Asked(1, 0, 1, hold=1), Asked(2, 1), Asked(3, 0, hold=999)],)),
            ("renew", ([Running(0, 0, 1, believed=1, wanted=5)],)),
            ("acknowledge", (1, 100)),
            ("admit", ([Asked(1, 0, 1, hold=1)],)),
        ],
    )
    assert both.outcomes == [
        Outcome.ADMITTED, Outcome.BACKLOGGED, Outcome.KEY_REFUSED, Outcome.BACKLOGGED, Outcome.ADMITTED,
    ]  # fmt: skip
    assert holds(both) == {"0": 6, "1": 1}, "what runs goes on"
