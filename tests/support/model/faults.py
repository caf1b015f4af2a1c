"""What goes wrong: each step takes one from what is left of its kind, so that a world stays small."""

from tests.support.model.posting import credit
from tests.support.model.scripts import placed
from tests.support.model.state import (
    DEAD,
    ENDED,
    NEW,
    OPEN,
    REFUSED,
    SPOOLED,
    UNSURE,
    Redis,
    Request,
    Setup,
    State,
)
from tests.support.model.steps import Next, proxy_of


def lapse(state: State, setup: Setup) -> Next:
    """Redis' clock goes on. Of a proxy that renews, a lease lapses only if it is stopped or cut off for so long."""
    for place, hold in enumerate(state.redis.holds):
        if hold is None or hold.has_lapsed:
            continue
        lapsed = state.redis._replace(holds=placed(state.redis.holds, place, hold._replace(has_lapsed=True)))
        if not _is_looked_after(state, place, setup):
            yield f"lease of r{place} lapses", state._replace(redis=lapsed)
        elif state.left.pauses:
            left = state.left._replace(pauses=state.left.pauses - 1)
            yield (
                f"p{proxy_of(place, setup)} stops for longer than the lease of r{place}",
                state._replace(redis=lapsed, left=left),
            )


def _is_looked_after(state: State, place: int, setup: Setup) -> bool:
    phase = state.requests[place].phase
    if phase == SPOOLED:
        # Redis was away, so the lease may be over; the recoverer first gives the proxies time to come back
        return setup.rules.recover_after_grace and state.is_alive[proxy_of(place, setup)]
    return phase in (OPEN, ENDED, UNSURE)


def kill_proxy(state: State, setup: Setup) -> Next:
    """SIGKILL: what it knew is gone, its spool stays, what it sent may still arrive. Others serve new requests."""
    if not state.left.proxy_kills:
        return
    for proxy, is_alive in enumerate(state.is_alive):
        if is_alive:
            after = tuple(
                _bereft(request) if proxy_of(place, setup) == proxy else request
                for place, request in enumerate(state.requests)
            )
            left = state.left._replace(proxy_kills=state.left.proxy_kills - 1)
            alive = placed(state.is_alive, proxy, False)
            yield f"kill p{proxy}", state._replace(requests=after, is_alive=alive, left=left)


def _bereft(request: Request) -> Request:
    if request.phase == NEW:
        return Request(REFUSED)
    phase = DEAD if request.phase in (OPEN, ENDED, UNSURE) else request.phase
    return request._replace(phase=phase, is_remembered=False, is_due=False)


def save(state: State, setup: Setup) -> Next:
    """Redis' fsync: what it acknowledged until now stays, so nobody need remember it any longer."""
    if state.saved is None or state.saved == state.redis:
        return
    known = tuple(request._replace(is_remembered=request.is_due) for request in state.requests)
    yield "Redis saves", state._replace(saved=state.redis, requests=known)


def kill_redis(state: State, setup: Setup) -> Next:
    """SIGKILL and a restart: back to what was saved. Proxies see another run id."""
    if state.saved is None or not state.left.redis_kills or state.saved == state.redis:
        return
    left = state.left._replace(redis_kills=state.left.redis_kills - 1)
    known = tuple(
        request._replace(is_due=request.is_remembered and setup.rules.sends_again) for request in state.requests
    )
    saved = state.saved if left.redis_kills else None
    if saved is None:
        known = tuple(request._replace(is_remembered=False) for request in known)
    yield "Redis is killed", state._replace(redis=state.saved, saved=saved, requests=known, left=left)


def empty_redis(state: State, setup: Setup) -> Next:
    """FLUSHALL, or a new server without the data: everything in Redis is gone, and the run id may be the same."""
    if state.left.redis_emptied:
        empty = Redis(None, 0, 0, 0, (None,) * len(state.requests), ())
        left = state.left._replace(redis_emptied=state.left.redis_emptied - 1)
        yield "Redis is emptied", state._replace(redis=empty, saved=state.saved and empty, left=left)


def change_wallet(state: State, setup: Setup) -> Next:
    """A credit, or an operator's UPDATE of the balance. Redis hears of it later (`bring_balance`)."""
    if state.left.top_ups:
        left = state.left._replace(top_ups=state.left.top_ups - 1)
        yield "top up", state._replace(postgres=credit(state.postgres, 1), left=left)
    if state.left.edits and state.postgres.balance > setup.floor:
        left = state.left._replace(edits=state.left.edits - 1)
        yield "take a unit by SQL", state._replace(postgres=credit(state.postgres, -1), left=left)
