"""The state machine of one request and its response. No I/O, no clock: events in, commands out.

Theory of operation. Nothing is owed until a hold is placed. From `ADMITTED` on, exactly one `SETTLE` or `RELEASE` is
commanded, whatever happens and in whatever order: that is the law the tests hold the table to. Until the request is
`SENT` an end costs nothing. An answer is first collected (`WAITING`): as long as not a byte of it has gone to the
client, a failing upstream costs nothing: the request goes to another one (back to `ADMITTED`) or, where there is none,
is answered with a clean error; a client that leaves pays for the prompt, which is being read by then. Once bytes flow
(`RELAYING`), what was delivered is settled, whoever ended it; Farebox itself does when nothing more can be held. Where
the answer is worth reading to its end without a client (`DRAINING`), it is. `CLOSED` swallows what comes late: a
connection lost after the end, a cancellation during a failure.

`RELEASE` lets the hold go and records the request at no cost; `SETTLE` records it with its usage.
"""

from enum import Enum, auto


class State(Enum):
    __hash__ = object.__hash__  # there is one of each: Enum's own goes by the name, in Python, at each look-up

    RECEIVED = auto()  # a request; nobody knows yet whose
    KNOWN = auto()  # the key is good; room is being asked for
    ADMITTED = auto()  # a hold is placed; the upstream is being reached
    WAITING = auto()  # the upstream works; the client has seen nothing
    RELAYING = auto()  # bytes of the answer flow to the client
    DRAINING = auto()  # the client is gone; the answer is read for what it says of usage
    CLOSED = auto()


class Event(Enum):
    __hash__ = object.__hash__

    VERIFIED = auto()  # the key belongs to somebody
    REFUSED = auto()  # a bad key, a bad body, no model, no room
    HOLD_PLACED = auto()
    SENT = auto()  # the upstream has the request
    ANSWER_BEGUN = auto()  # a good status, and the answer is to be relayed as it comes
    ANSWER_COMPLETE = auto()  # the last byte of a good answer
    ANSWER_REFUSED = auto()  # the upstream's own refusal (4xx), complete
    FAILED_OVER = auto()  # refused, silent, broken; another upstream is tried, as the client has seen nothing
    UPSTREAM_FAILED = auto()  # the same, and it stays so; or cut
    CLIENT_LEFT = auto()
    CLIENT_LEFT_READ_ON = auto()  # the same, and the answer is to be read to its end
    DRAINED_ENOUGH = auto()  # that took too long
    FUNDS_ENDED = auto()  # what was delivered has used up all that there is


class Command(Enum):
    ASK_FOR_ROOM = auto()
    SEND_UPSTREAM = auto()
    ANSWER_FAILURE = auto()  # a whole error answer
    BEGIN_ANSWER = auto()  # status and headers
    FINISH_ANSWER = auto()  # the rest of it, or the whole where nothing was begun
    SEND_ERROR_EVENT = auto()  # the last event of a stream that cannot go on
    READ_ON = auto()  # without a client, within bounds
    ABORT_UPSTREAM = auto()
    SETTLE = auto()
    RELEASE = auto()


_CUT = (State.CLOSED, (Command.ABORT_UPSTREAM, Command.SETTLE))
TRANSITIONS: dict[tuple[State, Event], tuple[State, tuple[Command, ...]]] = {
    (State.RECEIVED, Event.VERIFIED): (State.KNOWN, (Command.ASK_FOR_ROOM,)),
    (State.RECEIVED, Event.REFUSED): (State.CLOSED, (Command.ANSWER_FAILURE,)),
    (State.RECEIVED, Event.CLIENT_LEFT): (State.CLOSED, ()),
    (State.KNOWN, Event.HOLD_PLACED): (State.ADMITTED, (Command.SEND_UPSTREAM,)),
    (State.KNOWN, Event.REFUSED): (State.CLOSED, (Command.ANSWER_FAILURE,)),
    # admission itself lets go of a hold that was placed for a caller who no longer waits
    (State.KNOWN, Event.CLIENT_LEFT): (State.CLOSED, ()),
    (State.ADMITTED, Event.SENT): (State.WAITING, ()),
    (State.ADMITTED, Event.UPSTREAM_FAILED): (State.CLOSED, (Command.RELEASE, Command.ANSWER_FAILURE)),
    (State.ADMITTED, Event.CLIENT_LEFT): (State.CLOSED, (Command.ABORT_UPSTREAM, Command.RELEASE)),
    (State.WAITING, Event.ANSWER_BEGUN): (State.RELAYING, (Command.BEGIN_ANSWER,)),
    (State.WAITING, Event.ANSWER_COMPLETE): (State.CLOSED, (Command.SETTLE, Command.FINISH_ANSWER)),
    (State.WAITING, Event.ANSWER_REFUSED): (State.CLOSED, (Command.RELEASE, Command.FINISH_ANSWER)),
    (State.WAITING, Event.FAILED_OVER): (State.ADMITTED, (Command.SEND_UPSTREAM,)),
    (State.WAITING, Event.UPSTREAM_FAILED): (State.CLOSED, (Command.RELEASE, Command.ANSWER_FAILURE)),
    (State.WAITING, Event.CLIENT_LEFT): _CUT,
    (State.WAITING, Event.CLIENT_LEFT_READ_ON): (State.DRAINING, (Command.READ_ON,)),
    (State.RELAYING, Event.ANSWER_COMPLETE): (State.CLOSED, (Command.SETTLE, Command.FINISH_ANSWER)),
    (State.RELAYING, Event.UPSTREAM_FAILED): (State.CLOSED, (Command.SETTLE, Command.SEND_ERROR_EVENT)),
    (State.RELAYING, Event.FUNDS_ENDED): (
        State.CLOSED,
        (Command.ABORT_UPSTREAM, Command.SETTLE, Command.SEND_ERROR_EVENT),
    ),
    (State.RELAYING, Event.CLIENT_LEFT): _CUT,
    (State.RELAYING, Event.CLIENT_LEFT_READ_ON): (State.DRAINING, (Command.READ_ON,)),
    (State.DRAINING, Event.ANSWER_COMPLETE): (State.CLOSED, (Command.SETTLE,)),
    (State.DRAINING, Event.UPSTREAM_FAILED): (State.CLOSED, (Command.SETTLE,)),
    (State.DRAINING, Event.DRAINED_ENOUGH): _CUT,
    (State.DRAINING, Event.FUNDS_ENDED): _CUT,
    (State.DRAINING, Event.CLIENT_LEFT): _CUT,
}


class OutOfOrder(Exception):
    """An event that cannot happen in this state: a fault in the code that drives the exchange."""


class Exchange:
    """One request on its way through the table."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = State.RECEIVED

    def on(self, event: Event) -> tuple[Command, ...]:
        """What is to be done about `event`, in this order."""
        try:
            self.state, commands = TRANSITIONS[self.state, event]
        except KeyError:
            if self.state is State.CLOSED:
                return ()
            raise OutOfOrder(f"{event.name} in {self.state.name}") from None
        return commands

    def __repr__(self) -> str:
        return f"<Exchange {self.state.name}>"
