"""The protocol put together, and the worlds in which it is explored."""

from collections.abc import Callable, Iterable, Iterator

from tests.support.model import faults, steps
from tests.support.model.explorer import Check, Exploration, explore
from tests.support.model.promises import ALWAYS, in_words, is_at_rest, promises_under
from tests.support.model.state import Faults, Setup, State

_KINDS: tuple[Callable[[State, Setup], steps.Next], ...] = (
    steps.load_wallet,
    steps.bring_balance,
    steps.admit,
    steps.release,
    steps.stream,
    steps.renew,
    steps.settle,
    steps.replay,
    steps.send_again,
    steps.recover,
    steps.write,
    faults.lapse,
    faults.kill_proxy,
    faults.save,
    faults.kill_redis,
    faults.empty_redis,
    faults.change_wallet,
)
# A state takes one to two kilobytes.
MAX_STATES = 2_000_000

# One request alone, where what may happen to Redis would make two too many for a test.
ALONE = Setup(wants=(2,), proxies=1, balance=2)
CROWD = Setup(wants=(1, 1, 1), balance=2)

QUICK: tuple[Setup, ...] = (
    Setup(),
    CROWD,
    Setup(faults=Faults(lost_answers=1)),
    Setup(faults=Faults(lost_answers=1, claims=1)),
    Setup(faults=Faults(writer_crashes=1, claims=1)),
    Setup(faults=Faults(away=1)),
    Setup(faults=Faults(late_renewals=1)),
    Setup(faults=Faults(overruns=1)),
    Setup(faults=Faults(top_ups=1, edits=1)),
    Setup(faults=Faults(proxy_kills=1)),
    Setup(faults=Faults(away=1, proxy_kills=1)),
    Setup(faults=Faults(pauses=1)),
    Setup(faults=Faults(redis_emptied=1)),
    ALONE.having(pauses=2, slow_recoveries=1, proxy_kills=1),
    ALONE.having(pauses=1, late_renewals=1, lost_answers=1),
    ALONE.having(redis_kills=1, away=1, lost_answers=1),
    ALONE.having(redis_kills=1, proxy_kills=1),
)


def successors(setup: Setup) -> Callable[[State], Iterator[tuple[str, State]]]:
    def follow(state: State) -> Iterator[tuple[str, State]]:
        for kind in _KINDS:
            yield from kind(state, setup)

    return follow


def check(
    setup: Setup, promises: Iterable[Check[State]] | None = None, max_states: int = MAX_STATES
) -> Exploration[State]:
    """Explores this world; checks what always holds and these promises, or those that hold where such things happen."""
    chosen = promises_under(setup.faults) if promises is None else promises
    invariants = {in_words(holds): holds for holds in (*ALWAYS, *chosen)}
    return explore(setup.initial(), successors(setup), invariants, is_at_rest, max_states)
