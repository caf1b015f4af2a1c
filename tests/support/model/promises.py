"""What must hold of the protocol: always, or as long as certain things do not happen."""

from tests.support.model.explorer import Check
from tests.support.model.state import DEAD, DONE, OVER, Faults, State


def is_at_rest(state: State) -> bool:
    """Every request is over, and what it left behind is worked off."""
    return (
        all(r.phase in OVER and r.renewal is None and not r.is_due for r in state.requests)
        and not any(state.redis.holds)
        and not state.redis.stream
        and not state.writers
        and state.seen is None
        and (state.redis.balance is None or state.redis.version == state.postgres.version)
    )


def never_below_the_floor(state: State) -> bool:
    return state.postgres.balance >= 0


def balance_is_the_sum_of_transactions(state: State) -> bool:
    paid = sum(row.paid for row in state.postgres.rows if row is not None)
    return state.postgres.balance == state.postgres.credited - paid


def debited_at_most_once(state: State) -> bool:
    return all(row is None or row.debits <= 1 for row in state.postgres.rows)


def never_billed_beyond_delivery(state: State) -> bool:
    rows = zip(state.requests, state.postgres.rows, strict=True)
    return all(row is None or 0 <= row.paid <= row.cost <= request.cost for request, row in rows)


def held_is_the_sum_of_holds(state: State) -> bool:
    return state.redis.held == sum(hold.amount for hold in state.redis.holds if hold is not None)


def unposted_is_the_sum_of_the_stream(state: State) -> bool:
    return state.redis.unposted == sum(event.charge for event in state.redis.stream)


def redis_agrees_at_rest(state: State) -> bool:
    """No hold is left, nothing is unposted, and the balance is that of Postgres."""
    redis = state.redis
    return not is_at_rest(state) or (
        redis.held == redis.unposted == 0 and redis.balance in (None, state.postgres.balance)
    )


def only_an_empty_wallet_pays_less(state: State) -> bool:
    """What is uncollected was asked of a wallet that had no more."""
    return not is_at_rest(state) or all(
        row is None or row.uncollected == 0 or row.is_dry for row in state.postgres.rows
    )


def finished_is_billed_in_full(state: State) -> bool:
    """A request whose proxy lived is on record at its true cost, by its true end."""
    return not is_at_rest(state) or all(
        request.phase != DONE
        or request.cost == 0
        or (row is not None and not row.is_recovered and row.cost == request.cost)
        for request, row in zip(state.requests, state.postgres.rows, strict=True)
    )


def killed_is_billed_to_its_checkpoint(state: State) -> bool:
    """At least to the last checkpoint that Redis took."""
    return not is_at_rest(state) or all(
        request.phase != DEAD or request.marked == 0 or (row is not None and row.cost >= request.marked)
        for request, row in zip(state.requests, state.postgres.rows, strict=True)
    )


def nothing_is_uncollected(state: State) -> bool:
    return not is_at_rest(state) or all(row is None or row.uncollected == 0 for row in state.postgres.rows)


def what_is_promised_is_there(state: State) -> bool:
    """Postgres has the money for all that is held, and for all that is settled and not posted."""
    owed = [0] * len(state.requests)
    for event in state.redis.stream:
        if state.postgres.rows[event.request] is None:
            owed[event.request] = max(owed[event.request], event.cost)
    return state.redis.held + sum(owed) <= state.postgres.balance


def nothing_is_recovered(state: State) -> bool:
    return all(row is None or not row.is_recovered for row in state.postgres.rows)


# Whatever happens.
ALWAYS: tuple[Check[State], ...] = (
    never_below_the_floor,
    balance_is_the_sum_of_transactions,
    debited_at_most_once,
    never_billed_beyond_delivery,
    held_is_the_sum_of_holds,
    unposted_is_the_sum_of_the_stream,
    redis_agrees_at_rest,
    only_an_empty_wallet_pays_less,
)


def promises_under(faults: Faults) -> tuple[Check[State], ...]:
    """What holds besides ALWAYS where these things may happen."""
    f = faults
    promises: list[Check[State]] = []
    # What was settled is known to Redis and, for a few seconds, to its proxy: one of the two stays.
    if not f.redis_emptied and not (f.redis_kills and f.proxy_kills):
        promises.append(finished_is_billed_in_full)
    if not f.redis_emptied and not f.redis_kills:
        promises.append(killed_is_billed_to_its_checkpoint)
    # Whoever is taken for dead loses the hold, and what is known of it later is not secured; nor is what Redis forgot.
    loses_holds = f.pauses or f.redis_kills or f.redis_emptied or (f.proxy_kills and (f.away or f.late_renewals))
    if not (loses_holds or f.overruns or f.edits):
        promises += [nothing_is_uncollected, what_is_promised_is_there]
    if not (loses_holds or f.proxy_kills or f.late_renewals):
        promises.append(nothing_is_recovered)
    return tuple(promises)


def in_words(check: Check[State]) -> str:
    return check.__name__.replace("_", " ")
