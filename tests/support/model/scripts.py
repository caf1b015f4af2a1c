"""What Redis' scripts do to one wallet: each function is one atomic call."""

from typing import TypeVar

from tests.support.model.state import Event, Hold, Postgres, Redis, Rules

T = TypeVar("T")


def placed(items: tuple[T, ...], place: int, item: T) -> tuple[T, ...]:
    """A tuple with one item put in its place."""
    return (*items[:place], item, *items[place + 1 :])


def put_wallet(redis: Redis, version: int, balance: int, rules: Rules) -> Redis:
    """ledger/lua/put_wallet.lua: the wallet as Postgres has it, if that is newer or nothing is known."""
    if redis.balance is not None and rules.newer_version_only and version <= redis.version:
        return redis
    return redis._replace(balance=balance, version=version)


def admit(redis: Redis, request: int, amount: int) -> Redis:
    """metering/lua/admit.lua, the part about funds: the hold with its lease. The caller has seen that it fits."""
    hold = Hold(amount, has_lapsed=False, checkpoint=0)
    return redis._replace(held=redis.held + amount, holds=placed(redis.holds, request, hold))


def renew(redis: Redis, request: int, checkpoint: int, believed: int, more: int, rules: Rules) -> tuple[Redis, int]:
    """metering/lua/renew.lua: a new lease, the checkpoint, up to `more` on top; a hold that is gone is placed anew."""
    hold = redis.holds[request]
    if hold is None:
        if not rules.renewal_places_again:
            return redis, believed
        hold, more = Hold(0, has_lapsed=False, checkpoint=0), more + believed
    more = min(more, max(0, redis.available))
    renewed = Hold(hold.amount + more, has_lapsed=False, checkpoint=checkpoint)
    return redis._replace(held=redis.held + more, holds=placed(redis.holds, request, renewed)), renewed.amount


def release(redis: Redis, request: int) -> Redis:
    """metering/lua/settle.lua without an entry: the hold goes, and that is all."""
    hold = redis.holds[request]
    if hold is None:
        return redis
    return redis._replace(held=redis.held - hold.amount, holds=placed(redis.holds, request, None))


def settle(redis: Redis, request: int, number: int, cost: int, is_recovered: bool, rules: Rules) -> Redis:
    """metering/lua/settle.lua: the hold goes, the charge is unposted, the event is on the Stream."""
    hold = redis.holds[request]
    redis = release(redis, request)
    charge = cost
    if redis.balance is not None and rules.charge_clamped:
        secured = hold.amount if hold is not None and rules.hold_is_collectable else 0
        charge = min(cost, max(secured, redis.available, 0))
    event = Event(request, number, cost, charge, is_recovered)
    return redis._replace(unposted=redis.unposted + charge, stream=(*redis.stream, event))


def deliver(redis: Redis, event: Event) -> Redis:
    """XREADGROUP and XAUTOCLAIM (ledger/stream.py): the event is pending from now on."""
    at = redis.stream.index(event)
    return redis._replace(stream=placed(redis.stream, at, event._replace(is_delivered=True)))


def acknowledge(redis: Redis, event: Event, version: int, balance: int, rules: Rules) -> Redis:
    """ledger/lua/acknowledge.lua: if it was pending, its charge leaves what is unposted; then the newer balance."""
    was_pending = event in redis.stream
    if was_pending:
        redis = redis._replace(stream=tuple(other for other in redis.stream if other != event))
    if was_pending or not rules.acknowledge_once:
        redis = redis._replace(unposted=max(0, redis.unposted - event.charge))
    return redis if redis.balance is None else put_wallet(redis, version, balance, rules)


def of_postgres(redis: Redis, postgres: Postgres, rules: Rules) -> Redis:
    return put_wallet(redis, postgres.version, postgres.balance, rules)
