"""Who is tried next, what each failure says of its server, and where it ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.attempts import MAX_ATTEMPTS, Attempts, Failover
from proxy.upstream.balance import Balance
from proxy.upstream.errors import (
    Phase,
    UpstreamBusy,
    UpstreamClosed,
    UpstreamConnectError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from proxy.upstream.standing import Fault
from tests.support.standings import Clock, FakeServer

UNSENT: list[UpstreamError] = [UpstreamConnectError("refused"), UpstreamTimeout(Phase.CONNECT, 5)]
SENT: list[UpstreamError] = [
    UpstreamTimeout(Phase.FIRST_BYTE, 5),
    UpstreamClosed("cut", headers_received=False),
    UpstreamClosed("cut", headers_received=True),
    UpstreamProtocolError("no HTTP"),
]
FAILS = (301, 401, 407, 500, 502, 503, 504, 529)
OF_THE_CLIENT = (400, 403, 404, 408, 413, 422)


def attempts(*servers: FakeServer) -> Attempts[FakeServer]:
    return Attempts(Balance(servers), Clock())


def test_each_is_tried_once_and_the_current_one_stays_when_nobody_is_left() -> None:
    one, two = FakeServer("one"), FakeServer("two")
    made = attempts(one, two)
    assert (made.current, made.has_others) == (one, True)
    seen = [(made.begin_next(), made.current, made.has_others, made.before) for _ in range(3)]
    assert seen == [(True, one, True, ()), (True, two, False, (one,)), (False, two, False, (one,))]


def test_so_many_and_no_more() -> None:
    made = attempts(*(FakeServer(str(number)) for number in range(MAX_ATTEMPTS + 2)))
    assert [made.begin_next() for _ in range(MAX_ATTEMPTS + 1)] == [True] * MAX_ATTEMPTS + [False]
    assert not made.has_others


@pytest.mark.parametrize("error", UNSENT + SENT, ids=repr)
@pytest.mark.parametrize("failover", Failover)
def test_whether_a_failure_goes_elsewhere_is_the_servers_choice(error: UpstreamError, failover: Failover) -> None:
    server = FakeServer(failover=failover)
    made = attempts(server, FakeServer())
    made.begin_next()
    may_move = failover is Failover.BEFORE_ANSWER or (failover is Failover.BEFORE_SENT and not error.request_sent)
    assert made.failed(error) is may_move
    assert not server.standing.is_clear


def test_a_full_queue_is_nothing_against_a_server_and_the_others_were_no_better() -> None:
    server = FakeServer()
    made = attempts(server, FakeServer())
    made.begin_next()
    assert not made.failed(UpstreamBusy("full"))
    assert server.standing.is_clear


@pytest.mark.parametrize("status", FAILS)
def test_a_status_that_is_the_servers_fault(status: int) -> None:
    server = FakeServer()
    made = attempts(server, FakeServer())
    made.begin_next()
    assert made.answered(status)
    assert not server.standing.is_clear
    server.failover = Failover.BEFORE_SENT
    assert not made.answered(status), "it has worked on it"


@pytest.mark.parametrize("status", OF_THE_CLIENT)
def test_a_status_that_is_the_clients_fault_is_a_good_answer(status: int) -> None:
    server = FakeServer()
    made = attempts(server, FakeServer())
    made.begin_next()
    server.standing.failed(Fault.UNANSWERED, 0)
    assert not made.answered(status)
    assert server.standing.is_clear


def test_who_has_too_much_to_do_is_not_ill_but_left_alone_for_as_long_as_it_says() -> None:
    server, other, clock = FakeServer(), FakeServer(), Clock()
    balance = Balance((server, other))
    made = Attempts(balance, clock)
    made.begin_next()
    assert made.current is server and made.answered(429, [(b"retry-after", b"3")])
    assert not server.standing.is_open
    for clock.now_ms in (0, 1, 2_999):
        assert balance.choose(clock) is other
        assert balance.choose(clock, (other,)) is server, "before nobody is"
    clock.now_ms = 3_000
    assert {balance.choose(clock), balance.choose(clock)} == {server, other}


def test_who_is_alone_is_asked_on_though_it_wants_no_more() -> None:
    server = FakeServer()
    made = attempts(server)
    assert made.begin_next() and made.answered(429)
    assert attempts(server).begin_next()


def test_a_good_answer_clears() -> None:
    server = FakeServer()
    made = attempts(server)
    made.begin_next()
    server.standing.failed(Fault.UNANSWERED, 0)
    assert not made.answered(200)
    assert server.standing.is_clear


def test_who_found_nobody_is_told_when_to_come_back() -> None:
    made = attempts(FakeServer().opened())
    assert not made.begin_next()
    assert made.retry_after_ms() == 100


OUTCOMES = st.sampled_from([*UNSENT, *SENT, UpstreamBusy("full"), *FAILS, *OF_THE_CLIENT, 429, 200])


@given(st.lists(st.sampled_from(list(Failover)), min_size=1, max_size=6), st.lists(OUTCOMES, min_size=6, max_size=6))
def test_a_request_is_tried_a_few_times_at_different_servers_and_ends(
    failovers: list[Failover], outcomes: list[UpstreamError | int]
) -> None:
    servers = [FakeServer(str(place), failover=failover) for place, failover in enumerate(failovers)]
    made, tried = attempts(*servers), []
    for outcome in outcomes:
        if not made.begin_next():
            break
        tried.append(made.current)
        moves = made.answered(outcome) if isinstance(outcome, int) else made.failed(outcome)
        if not moves:
            break
    assert 1 <= len(tried) <= min(MAX_ATTEMPTS, len(servers))
    assert len(set(tried)) == len(tried)
    assert all(server.standing.is_clear for server in servers if server not in tried)
