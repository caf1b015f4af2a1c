"""The law of a request: from admission on exactly one settlement, in whatever order things happen."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchange import TRANSITIONS, Command, Event, Exchange, OutOfOrder, State
from proxy.upstream.attempts import MAX_ATTEMPTS

MONEY = {Command.SETTLE, Command.RELEASE}
LEFT = {Event.CLIENT_LEFT, Event.CLIENT_LEFT_READ_ON}
LAST_WORDS = {Command.ANSWER_FAILURE, Command.FINISH_ANSWER, Command.SEND_ERROR_EVENT}

# What cannot happen, and so is a fault in the code that drives the exchange.
_OF_AN_ANSWER = (Event.ANSWER_BEGUN, Event.ANSWER_COMPLETE, Event.ANSWER_REFUSED, Event.CLIENT_LEFT_READ_ON)
IMPOSSIBLE = {
    # nothing was sent, so there is no answer, nor anything to read on for
    *((state, event) for state in (State.RECEIVED, State.KNOWN, State.ADMITTED) for event in _OF_AN_ANSWER),
    # nothing was admitted, so there is no upstream
    *((state, event) for state in (State.RECEIVED, State.KNOWN) for event in (Event.SENT, Event.UPSTREAM_FAILED)),
    # only what was sent, and of which the client has seen nothing, can be sent elsewhere
    *((state, Event.FAILED_OVER) for state in State if state not in (State.WAITING, State.CLOSED)),
    # it is sent once
    *((state, Event.SENT) for state in (State.WAITING, State.RELAYING, State.DRAINING)),
    # who waits for an answer drains nothing
    *((state, Event.DRAINED_ENOUGH) for state in State if state not in (State.DRAINING, State.CLOSED)),
    # before an answer flows nothing of it is paid for
    *((state, Event.FUNDS_ENDED) for state in (State.RECEIVED, State.KNOWN, State.ADMITTED, State.WAITING)),
    # without a client nothing begins, and nobody leaves twice by intent
    (State.DRAINING, Event.ANSWER_BEGUN),
    # nor is anybody there to be told of a refusal: it is a failure like others
    (State.DRAINING, Event.ANSWER_REFUSED),
    (State.DRAINING, Event.CLIENT_LEFT_READ_ON),
    # room is asked for in the name of somebody, once
    (State.RECEIVED, Event.HOLD_PLACED),
    (State.KNOWN, Event.VERIFIED),
    # who was admitted is refused no more
    *(
        (state, event)
        for state in (State.ADMITTED, State.WAITING, State.RELAYING, State.DRAINING)
        for event in (Event.VERIFIED, Event.REFUSED, Event.HOLD_PLACED)
    ),
    # an answer begins once, and only a good one
    (State.RELAYING, Event.ANSWER_BEGUN),
    (State.RELAYING, Event.ANSWER_REFUSED),
}


class Run:
    """An exchange and all that it has commanded."""

    def __init__(self) -> None:
        self.exchange = Exchange()
        self.visited = [State.RECEIVED]
        self.commands: list[Command] = []

    def on(self, event: Event) -> tuple[Command, ...]:
        commands = self.exchange.on(event)
        self.visited.append(self.exchange.state)
        self.commands.extend(commands)
        return commands

    def counts(self, wanted: set[Command]) -> int:
        return sum(command in wanted for command in self.commands)


def check_law(run: Run) -> None:
    was_admitted = State.ADMITTED in run.visited
    is_over = run.exchange.state is State.CLOSED
    assert run.counts(MONEY) == (1 if was_admitted and is_over else 0)
    assert run.counts(LAST_WORDS) <= (1 if is_over else 0)
    assert run.counts({Command.SEND_UPSTREAM}) == run.visited.count(State.ADMITTED), "once for each upstream"


def every_run(run: Run, taken: tuple[Event, ...] = ()) -> Iterator[tuple[Event, ...]]:
    """All ways from the beginning to the end, with as many upstreams tried as are ever tried."""
    state = run.exchange.state
    if state is State.CLOSED:
        yield taken
        return
    for event in Event:
        if (state, event) in TRANSITIONS and (event, taken.count(event)) != (Event.FAILED_OVER, MAX_ATTEMPTS - 1):
            yield from every_run(replay((*taken, event)), (*taken, event))


def replay(events: tuple[Event, ...]) -> Run:
    run = Run()
    for event in events:
        run.on(event)
    return run


EVERY_RUN = list(every_run(Run()))


@given(st.lists(st.sampled_from(Event), max_size=30))
def test_from_admission_on_exactly_one_settlement(events: list[Event]) -> None:
    run = Run()
    for event in events:
        before = run.exchange.state
        try:
            run.on(event)
        except OutOfOrder:
            assert (before, event) in IMPOSSIBLE
            assert run.exchange.state is before
        check_law(run)


@pytest.mark.parametrize("events", EVERY_RUN, ids=lambda events: "-".join(event.name for event in events))
def test_every_way_through_the_table(events: tuple[Event, ...]) -> None:
    run = replay(events)
    check_law(run)
    client_left = not LEFT.isdisjoint(events)
    assert run.counts(LAST_WORDS) == (0 if client_left else 1), "everybody who waits is answered, once"
    was_begun = Command.BEGIN_ANSWER in run.commands
    if was_begun:
        assert Command.ANSWER_FAILURE not in run.commands, "two answers to one request"
        assert Command.SETTLE in run.commands, "bytes were delivered"
    else:
        assert Command.SEND_ERROR_EVENT not in run.commands, "an event in no stream"


@pytest.mark.parametrize("events", EVERY_RUN, ids=lambda events: "-".join(event.name for event in events))
def test_the_upstream_is_aborted_only_while_it_works(events: tuple[Event, ...]) -> None:
    run = replay(events)
    aborted = Command.ABORT_UPSTREAM in run.commands
    is_cut = events[-1] in (Event.CLIENT_LEFT, Event.DRAINED_ENOUGH, Event.FUNDS_ENDED)
    assert aborted == (is_cut and State.ADMITTED in run.visited)
    if aborted:
        money = next(command for command in run.commands if command in MONEY)
        assert run.commands.index(Command.ABORT_UPSTREAM) < run.commands.index(money)


@given(st.sampled_from(EVERY_RUN), st.lists(st.sampled_from(Event), min_size=1))
def test_what_comes_after_the_end_is_swallowed(events: tuple[Event, ...], late: list[Event]) -> None:
    run = replay(events)
    assert all(run.on(event) == () for event in late)
    assert run.exchange.state is State.CLOSED


@pytest.mark.parametrize("state", [state for state in State if state is not State.CLOSED])
def test_a_client_may_leave_at_any_time(state: State) -> None:
    assert TRANSITIONS[state, Event.CLIENT_LEFT][0] is State.CLOSED


def test_every_state_is_reached() -> None:
    assert {state for events in EVERY_RUN for state in replay(events).visited} == set(State)


def test_every_event_in_every_state_is_decided_or_named_impossible() -> None:
    open_states = [state for state in State if state is not State.CLOSED]
    everything = {(state, event) for state in open_states for event in Event}
    assert TRANSITIONS.keys() | IMPOSSIBLE == everything
    assert not TRANSITIONS.keys() & IMPOSSIBLE


@pytest.mark.parametrize(("state", "event"), sorted(IMPOSSIBLE, key=str))
def test_what_cannot_happen_is_said_aloud(state: State, event: Event) -> None:
    exchange = Exchange()
    exchange.state = state
    with pytest.raises(OutOfOrder, match=f"{event.name} in {state.name}"):
        exchange.on(event)
    assert exchange.state is state


def test_it_shows_its_state() -> None:
    assert repr(Exchange()) == "<Exchange RECEIVED>"
