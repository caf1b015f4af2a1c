"""What a proxy, its clients and the ledger processes do, one atomic step at a time.

Each function yields the steps of its kind that a state allows, with the state that each leads to. A trace is made of
the names of steps: `r0` is the first request, `p1` the second proxy.
"""

from collections.abc import Iterator
from typing import TypeAlias

from tests.support.model import scripts
from tests.support.model.posting import post
from tests.support.model.scripts import placed
from tests.support.model.state import (
    DONE,
    ENDED,
    NEW,
    OPEN,
    REFUSED,
    SPOOLED,
    UNSURE,
    Event,
    Request,
    Setup,
    State,
    Writer,
)

Next: TypeAlias = Iterator[tuple[str, State]]


def proxy_of(request: int, setup: Setup) -> int:
    return request % setup.proxies


def with_request(state: State, place: int, request: Request) -> State:
    return state._replace(requests=placed(state.requests, place, request))


def load_wallet(state: State, setup: Setup) -> Next:
    """StateLoader.push_wallets (ledger/balances.py): a wallet that Redis does not know is read and put."""
    if state.redis.balance is None:
        yield "load wallet", state._replace(redis=scripts.of_postgres(state.redis, state.postgres, setup.rules))


def bring_balance(state: State, setup: Setup) -> Next:
    """StateMirror (ledger/balances.py): what was announced, or found by the sweep. It may come at any time or late."""
    if state.redis.balance is not None and state.redis.version < state.postgres.version:
        yield "mirror", state._replace(redis=scripts.of_postgres(state.redis, state.postgres, setup.rules))


def admit(state: State, setup: Setup) -> Next:
    """Limits.admit (metering/admission.py): what the wallet affords of the first step is held, or 402."""
    for place, request in enumerate(state.requests):
        if request.phase != NEW or state.redis.balance is None:
            continue
        grant = min(setup.first_step, setup.wants[place], state.redis.available)
        if grant < setup.least:
            yield f"refuse r{place}", with_request(state, place, Request(REFUSED))
            continue
        held = state._replace(redis=scripts.admit(state.redis, place, grant))
        yield f"admit r{place}", with_request(held, place, Request(OPEN, hold=grant))
        if state.left.lost_answers:
            lost = held._replace(left=state.left._replace(lost_answers=state.left.lost_answers - 1))
            yield f"admit r{place}, answer lost", with_request(lost, place, Request(UNSURE))


def release(state: State, setup: Setup) -> Next:
    """Limits.release: whoever does not know if it was admitted lets go what may be held."""
    for place, request in enumerate(state.requests):
        if request.phase == UNSURE:
            after = state._replace(redis=scripts.release(state.redis, place))
            yield f"release r{place}", with_request(after, place, Request(REFUSED))


def stream(state: State, setup: Setup) -> Next:
    """The relay: another token reaches the client, if the hold covers it; or the stream ends, by itself or cut."""
    for place, request in enumerate(state.requests):
        if request.phase != OPEN:
            continue
        if request.cost < min(request.hold, setup.wants[place]):
            yield f"deliver r{place}", with_request(state, place, request._replace(cost=request.cost + 1))
        elif request.cost < setup.wants[place] and state.left.overruns:
            left = state.left._replace(overruns=state.left.overruns - 1)
            more = request._replace(cost=request.cost + 1)
            yield f"deliver r{place} beyond its hold", with_request(state._replace(left=left), place, more)
        yield f"end r{place}", with_request(state, place, request._replace(phase=ENDED))


def renew(state: State, setup: Setup) -> Next:
    """The proxy's renewal (metering/lua/renew.lua), which also asks for more where the hold is used up."""
    for place, request in enumerate(state.requests):
        if request.phase == OPEN and request.renewal is None and state.redis.balance is not None:
            after = _renewed(state, place, request, request.cost, request.hold, setup)
            if after != state:
                yield f"renew r{place}", after
            if state.left.late_renewals:
                slow = request._replace(renewal=(request.cost, request.hold))
                left = state.left._replace(late_renewals=state.left.late_renewals - 1)
                yield f"send renewal of r{place}", with_request(state._replace(left=left), place, slow)
        elif request.renewal is not None and state.redis.balance is not None:
            arrived = request._replace(renewal=None)
            yield f"renewal of r{place} arrives", _renewed(state, place, arrived, *request.renewal, setup)


def _renewed(state: State, place: int, request: Request, checkpoint: int, hold: int, setup: Setup) -> State:
    more = min(setup.step, setup.wants[place] - hold) if checkpoint >= hold else 0
    redis, grown = scripts.renew(state.redis, place, checkpoint, hold, max(0, more), setup.rules)
    marked = max(request.marked, checkpoint)
    known = grown if request.phase == OPEN else request.hold
    return with_request(state._replace(redis=redis), place, request._replace(marked=marked, hold=known))


def settle(state: State, setup: Setup) -> Next:
    """Recorder._settle and Limits.settle: what was delivered is settled, what was not only released."""
    for place, request in enumerate(state.requests):
        if request.phase != ENDED:
            continue
        after = _settled(state, place, request, setup)
        yield f"settle r{place}", with_request(after, place, after.requests[place]._replace(phase=DONE))
        if state.left.lost_answers:
            left = state.left._replace(lost_answers=state.left.lost_answers - 1)
            yield f"settle r{place}, answer lost", after._replace(left=left)
        if state.left.away:
            spooled = with_request(state, place, request._replace(phase=SPOOLED))
            yield f"spool r{place}", spooled._replace(left=state.left._replace(away=state.left.away - 1))


def replay(state: State, setup: Setup) -> Next:
    """The spool: what Redis could not take is sent when it is back, by its proxy or by another that finds the file."""
    for place, request in enumerate(state.requests):
        if request.phase != SPOOLED:
            continue
        after = _settled(state, place, request, setup)
        remembered = after.requests[place].is_remembered and setup.rules.replays_are_remembered
        done = after.requests[place]._replace(phase=DONE, is_remembered=remembered)
        yield f"replay r{place}", with_request(after, place, done)
        if state.left.lost_answers:
            left = state.left._replace(lost_answers=state.left.lost_answers - 1)
            yield f"replay r{place}, answer lost", after._replace(left=left)


def send_again(state: State, setup: Setup) -> Next:
    """Another run id: what was settled lately is settled once more."""
    for place, request in enumerate(state.requests):
        if request.is_due:
            after = _settled(state, place, request._replace(is_due=False), setup)
            yield f"send r{place} again", after


def _settled(state: State, place: int, request: Request, setup: Setup) -> State:
    if request.cost == 0:
        return with_request(state._replace(redis=scripts.release(state.redis, place)), place, request)
    redis = scripts.settle(state.redis, place, request.events, request.cost, False, setup.rules)
    # only a server that may forget makes it worth remembering
    counted = request._replace(events=request.events + 1, is_remembered=state.saved is not None)
    return with_request(state._replace(redis=redis), place, counted)


def recover(state: State, setup: Setup) -> Next:
    """The recoverer of any ledger process (metering/lua/lapsed.lua, settle.lua): a lapsed lease is settled at its
    checkpoint, at once after it was found, or later by one that is slow, if it is the same lease still.
    """
    for place, hold in enumerate(state.redis.holds):
        if hold is None or not (hold.has_lapsed or not setup.rules.recover_only_lapsed):
            continue
        yield f"recover r{place}", _recovered(state, place, hold.checkpoint, setup)
        if state.left.slow_recoveries:
            left = state.left._replace(slow_recoveries=state.left.slow_recoveries - 1)
            yield f"find r{place} lapsed", state._replace(seen=(place, hold.checkpoint), left=left)
    if state.seen is not None:
        place, checkpoint = state.seen
        hold, after = state.redis.holds[place], state._replace(seen=None)
        is_same = hold is not None and (hold.checkpoint == checkpoint or not setup.rules.recover_what_was_seen)
        if hold is not None and hold.has_lapsed and is_same:
            after = _recovered(after, place, checkpoint, setup)
        yield f"recover r{place} as it was found", after


def _recovered(state: State, place: int, checkpoint: int, setup: Setup) -> State:
    """Without a checkpoint the hold only goes."""
    if checkpoint == 0:
        return state._replace(redis=scripts.release(state.redis, place))
    request = state.requests[place]
    redis = scripts.settle(state.redis, place, request.events, checkpoint, True, setup.rules)
    return with_request(state._replace(redis=redis), place, request._replace(events=request.events + 1))


def write(state: State, setup: Setup) -> Next:
    """LedgerWriter (ledger/writer.py): read, post, acknowledge; and a writer that is killed in between."""
    if len(state.writers) < setup.writers:
        yield from _read(state, setup)
    for place, writer in enumerate(state.writers):
        others = state.writers[:place] + state.writers[place + 1 :]
        event = writer.event
        if writer.version is None or writer.balance is None:
            after = post(state.postgres, event, setup)
            done = Writer(event, after.version, after.balance)
            yield f"post {_name(event)}", state._replace(postgres=after, writers=at_work(*others, done))
        else:
            redis = scripts.acknowledge(state.redis, event, writer.version, writer.balance, setup.rules)
            yield f"acknowledge {_name(event)}", state._replace(redis=redis, writers=others)
        if state.left.writer_crashes:
            left = state.left._replace(writer_crashes=state.left.writer_crashes - 1)
            yield f"kill the writer of {_name(event)}", state._replace(writers=others, left=left)


def _read(state: State, setup: Setup) -> Next:
    """The first event that nobody read, or any that is pending and whose reader is gone, or may be thought to be."""
    fresh = next((event for event in state.redis.stream if not event.is_delivered), None)
    if fresh is not None:
        taken = Writer(fresh._replace(is_delivered=True))
        redis = scripts.deliver(state.redis, fresh)
        yield f"read {_name(fresh)}", state._replace(redis=redis, writers=at_work(*state.writers, taken))
    busy = {writer.event for writer in state.writers}
    for event in state.redis.stream:
        if not event.is_delivered or (event in busy and not state.left.claims):
            continue
        left = state.left._replace(claims=state.left.claims - 1) if event in busy else state.left
        taken = Writer(event)
        yield f"claim {_name(event)}", state._replace(writers=at_work(*state.writers, taken), left=left)


def at_work(*writers: Writer) -> tuple[Writer, ...]:
    """Which writer does what makes no difference: they are kept in order, not by name."""
    return tuple(sorted(writers, key=lambda w: (w.event.request, w.event.number, w.version or 0)))


def _name(event: Event) -> str:
    return f"r{event.request}{' recovered' if event.is_recovered else ''} #{event.number}"
