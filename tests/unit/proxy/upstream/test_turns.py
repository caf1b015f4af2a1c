"""What the pool decides, as a conversation: what happened, then whom it lets go on and what it closes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.turns import PoolLimits, PoolState

Pool = PoolState[str, str]


def pool(**limits: int) -> Pool:
    return PoolState(PoolLimits(**limits))


def assigned(state: Pool, now_s: float = 0.0) -> list[tuple[str, str | None]]:
    """Grants of this moment; asserts that nothing is to be closed."""
    plan = state.assign(now_s)
    assert plan.to_close == []
    return [(grant.ticket, grant.connection) for grant in plan.grants]


def test_the_first_request_opens_a_connection() -> None:
    state = pool()
    assert state.join("r1")
    assert assigned(state) == [("r1", None)]
    assert (state.leased, state.idle, state.waiting) == (1, 0, 0)


def test_the_connection_used_last_is_used_next() -> None:
    state = pool()
    for request in ("r1", "r2", "r3"):
        state.join(request)
    assigned(state)
    for at_s, connection in enumerate(["c1", "c2", "c3"]):
        state.release(connection, float(at_s))
    state.join("r4")
    state.join("r5")
    assert assigned(state, 2.0) == [("r4", "c3"), ("r5", "c2")]
    assert (state.leased, state.idle) == (2, 1)


def test_requests_beyond_the_limit_wait_and_are_served_in_order() -> None:
    state = pool(max_connections=2)
    for request in ("r1", "r2", "r3", "r4"):
        state.join(request)
    assert assigned(state) == [("r1", None), ("r2", None)]
    assert assigned(state) == []
    state.release("c1", 1.0)
    assert assigned(state, 1.0) == [("r3", "c1")]
    state.retire()
    assert assigned(state, 1.0) == [("r4", None)], "a closed connection makes room for a new one"


def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    state = pool(max_connections=1)
    for request in ("r1", "r2"):
        state.join(request)
    assigned(state)
    state.release("c1", 0.0)
    state.join("r3")
    assert assigned(state) == [("r2", "c1")]


def test_a_full_queue_refuses() -> None:
    state = pool(max_connections=1, max_waiting=1)
    assert state.join("r1")
    assigned(state)
    assert state.join("r2")
    assert not state.join("r3")
    assert state.waiting == 1


def test_without_a_queue_a_free_connection_still_serves() -> None:
    state = pool(max_connections=1, max_waiting=0)
    assert state.join("r1")
    assert assigned(state) == [("r1", None)]
    assert not state.join("r2")
    state.release("c1", 0.0)
    assert state.join("r3")
    assert assigned(state) == [("r3", "c1")]


def test_who_leaves_the_queue_is_passed_over() -> None:
    state = pool(max_connections=1)
    for request in ("r1", "r2", "r3"):
        state.join(request)
    assigned(state)
    state.leave("r2")
    state.leave("r2")
    state.release("c1", 0.0)
    assert assigned(state) == [("r3", "c1")]


def test_a_connection_unused_for_too_long_is_closed_and_never_handed_out() -> None:
    state = PoolState[str, str](PoolLimits(keep_alive_s=4.0))
    for request in ("r1", "r2"):
        state.join(request)
    state.assign(0.0)
    state.release("c1", 10.0)
    state.release("c2", 11.0)
    assert state.assign(13.9) == ([], [])
    state.join("r3")
    plan = state.assign(14.0)
    assert plan.to_close == ["c1"]
    assert plan.grants == [("r3", "c2")]
    state.join("r4")
    assert state.assign(14.0).grants == [("r4", None)]


def test_an_idle_connection_that_broke_is_forgotten() -> None:
    state = pool()
    state.join("r1")
    assigned(state)
    state.release("c1", 0.0)
    state.lose("c1")
    state.lose("c1")
    state.join("r2")
    assert assigned(state) == [("r2", None)]


def test_a_leased_connection_that_breaks_keeps_its_slot_until_its_lease_ends() -> None:
    state = pool(max_connections=1)
    state.join("r1")
    assigned(state)
    state.lose("c1")
    state.join("r2")
    assert assigned(state) == []
    state.retire()
    assert assigned(state) == [("r2", None)]


def test_the_end_lets_everyone_go() -> None:
    state = pool(max_connections=2)
    for request in ("r1", "r2", "r3"):
        state.join(request)
    assigned(state)
    assert state.empty() == (["r3"], [])
    state.leave("r3")
    state.release("c1", 0.0)
    assert state.empty() == ([], ["c1"])
    assert (state.leased, state.idle, state.waiting) == (1, 0, 0)


def test_a_slot_cannot_be_given_back_twice() -> None:
    state = pool()
    with pytest.raises(AssertionError, match="twice"):
        state.retire()


@pytest.mark.parametrize("name", ["connect_s", "idle_s", "keep_alive_s", "sweep_s", "max_connections"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_limit_of_nothing_is_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be more than 0, not {value}"):
        PoolLimits(**{name: value})


def test_we_close_unused_connections_before_uvicorn_does() -> None:
    limits = PoolLimits()
    uvicorn_timeout_keep_alive_s = 5.0
    assert limits.keep_alive_s + limits.sweep_s < uvicorn_timeout_keep_alive_s


@given(st.lists(st.sampled_from(["join", "release", "retire", "lose", "leave", "tick"]), max_size=60))
def test_no_slot_is_lost_and_nobody_waits_beside_a_free_one(actions: list[str]) -> None:
    limits = PoolLimits(max_connections=3, max_waiting=4, keep_alive_s=4.0)
    state = PoolState[int, int](limits)
    leased: list[int] = []
    queued: list[int] = []
    idle: set[int] = set()
    now_s, names = 0.0, iter(range(1_000))
    for action in actions:
        if action == "join":
            ticket = next(names)
            free = len(leased) < limits.max_connections
            assert state.join(ticket) is (free or len(queued) < limits.max_waiting)
            queued += [ticket] if free or len(queued) < limits.max_waiting else []
        elif action in ("release", "retire") and leased:
            connection = leased.pop(0)
            if action == "release":
                state.release(connection, now_s)
                idle.add(connection)
            else:
                state.retire()
        elif action == "lose" and idle:
            state.lose(idle.pop())
        elif action == "leave" and queued:
            state.leave(queued.pop())
        elif action == "tick":
            now_s += 3.0
        plan = state.assign(now_s)
        idle -= set(plan.to_close)
        for grant in plan.grants:
            assert grant.ticket == queued.pop(0), "first come, first served"
            assert grant.connection is None or grant.connection in idle
            idle -= {grant.connection} if grant.connection is not None else set()
            leased.append(grant.connection if grant.connection is not None else next(names))
        assert (state.leased, state.idle, state.waiting) == (len(leased), len(idle), len(queued))
        assert len(leased) + len(idle) <= limits.max_connections
        assert not queued or len(leased) == limits.max_connections
