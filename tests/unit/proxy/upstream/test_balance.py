"""Whose turn it is: standing first, then room, then how busy for its weight, then each in turn."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.balance import Balance, Room
from proxy.upstream.standing import Fault, Fitness
from tests.support.standings import Clock, FakeServer

NOW = Clock()


def chosen(*servers: FakeServer, tried: tuple[FakeServer, ...] = ()) -> FakeServer | None:
    return Balance(servers).choose(NOW, tried)


def unasked() -> int:
    raise AssertionError("one healthy server needs no time")


def test_one_healthy_server_is_chosen_without_a_look_at_the_clock() -> None:
    server = FakeServer()
    balance = Balance([server])
    assert balance.choose(unasked) is server
    assert balance.choose(NOW, (server,)) is None


def test_the_least_busy_for_its_weight() -> None:
    light, heavy = FakeServer(weight=1, busy=2), FakeServer(weight=4, busy=7)
    assert chosen(light, heavy) is heavy
    heavy.busy = 9
    assert chosen(light, heavy) is light


def test_a_free_connection_comes_before_a_queue_and_a_queue_before_none() -> None:
    free, queue, full = (FakeServer(busy=9 - room, room=room) for room in Room)
    assert chosen(full, queue, free) is free
    assert chosen(full, queue) is queue
    assert chosen(full) is full, "who refuses it"


def test_quiet_servers_get_their_shares_in_turn() -> None:
    servers = [FakeServer("a", weight=3), FakeServer("b", weight=1), FakeServer("c", weight=2)]
    balance = Balance(servers)
    turns = [found.name for _ in range(12) if (found := balance.choose(NOW)) is not None]
    assert Counter(turns[:6]) == Counter(turns[6:]) == {"a": 3, "b": 1, "c": 2}
    assert turns[:6] == list("acabca"), "and not in bursts"


def test_who_was_tried_is_not_tried_again() -> None:
    one, two = FakeServer("one"), FakeServer("two")
    assert chosen(one, two, tried=(one,)) is two
    assert chosen(one, two, tried=(one, two)) is None


def test_good_ones_first_then_poor_ones_and_never_those_that_are_out() -> None:
    good, poor, out, down = (
        FakeServer(),
        FakeServer().opened(Fault.ANSWERED),
        FakeServer().opened(),
        FakeServer().down(),
    )
    assert chosen(down, out, poor, good) is good
    assert chosen(down, out, poor) is poor
    assert chosen(down, out) is None


def test_one_request_tries_a_server_that_was_left_alone_for_long_enough() -> None:
    clock = Clock()
    good, rested = FakeServer("good"), FakeServer("rested").opened()
    balance = Balance([good, rested])
    assert balance.choose(clock) is good
    assert balance.retry_after_ms(0) == 100
    clock.now_ms = 100
    assert [balance.choose(clock) for _ in range(3)] == [rested, good, good]
    clock.now_ms = 200
    assert balance.choose(clock, (FakeServer(),)) is good, "a request that has failed already is not put to the test"
    assert balance.choose(clock) is rested
    rested.standing.succeeded()
    assert {balance.choose(clock) for _ in range(2)} == {good, rested}


def test_a_server_that_stands_alone_and_is_out_is_left_alone_too() -> None:
    clock = Clock()
    balance = Balance([FakeServer().opened()])
    assert balance.choose(clock) is None
    clock.now_ms = 100
    assert balance.choose(clock) is not None
    assert balance.choose(clock) is None


def test_when_to_come_back_is_when_the_first_may_be_tried() -> None:
    soon, late = FakeServer().opened(at_ms=0), FakeServer().opened(at_ms=50)
    assert Balance([late, soon, FakeServer().down()]).retry_after_ms(60) == 40
    assert Balance([FakeServer().down()]).retry_after_ms(60) == 0


@st.composite
def servers(draw: st.DrawFn) -> FakeServer:
    server = FakeServer(
        weight=draw(st.integers(1, 5)), busy=draw(st.integers(0, 6)), room=draw(st.sampled_from(list(Room)))
    )
    for _ in range(draw(st.integers(0, 3))):
        server.standing.failed(draw(st.sampled_from(list(Fault))), draw(st.integers(0, 100)))
    return server.down() if draw(st.integers(0, 4)) == 0 else server


@given(st.lists(servers(), min_size=1, max_size=5), st.data())
def test_nobody_better_is_passed_over(given_servers: list[FakeServer], data: st.DataObject) -> None:
    """Held against the plain words: of those allowed, in the best standing, with the most room, the least busy."""
    tried = tuple(data.draw(st.lists(st.sampled_from(given_servers), unique_by=id)))
    now_ms = data.draw(st.integers(0, 250))
    fitness = {server: server.standing.fitness(now_ms) for server in given_servers}
    allowed = [server for server in given_servers if server not in tried and fitness[server] is not Fitness.OUT]
    found = Balance(given_servers).choose(lambda: now_ms, tried)
    if found is None:
        assert allowed == []
        return
    on_trial = [server for server in allowed if fitness[server] is Fitness.ON_TRIAL]
    if on_trial and not tried:
        assert found in on_trial
        assert found.standing.fitness(now_ms) is not Fitness.ON_TRIAL, "the next one is not sent after it"
        return
    best = min(fitness[server] for server in allowed)
    peers = [server for server in allowed if fitness[server] is best]
    assert found in peers
    assert all((found.room, found.busy / found.weight) <= (peer.room, peer.busy / peer.weight) for peer in peers)


@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), st.integers(1, 3))
def test_shares_are_exact(weights: list[int], rounds: int) -> None:
    all_servers = [FakeServer(str(place), weight) for place, weight in enumerate(weights)]
    balance = Balance(all_servers)
    turns = Counter(balance.choose(NOW) for _ in range(rounds * sum(weights)))
    assert [turns[server] for server in all_servers] == [rounds * weight for weight in weights]


@pytest.mark.parametrize("busiest", [0, 1])
def test_a_long_answer_does_not_hold_up_others(busiest: int) -> None:
    both = [FakeServer("a"), FakeServer("b")]
    both[busiest].busy = 1
    balance = Balance(both)
    assert {balance.choose(NOW) for _ in range(5)} == {both[1 - busiest]}
