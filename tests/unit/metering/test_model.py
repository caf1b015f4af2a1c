import pytest

from metering.model import Model, ModelHold, ModelWallet
from metering.model_keys import ModelKey
from metering.verdict import Outcome

NOW_MS = 1_000_000


def model(*, funds: int = 100, overdraft: int = 0, rpm: int = 10, rpd: int = 10) -> Model:
    key = ModelKey.fresh(rpm=rpm, rpd=rpd)
    return Model(keys={"k": key}, wallets={"w": ModelWallet(balance=funds, overdraft=overdraft)})


def wallet(of: Model) -> tuple[int | None, int, int]:
    return of.wallets["w"].balance, of.wallets["w"].held, of.wallets["w"].unposted


def test_a_hold_is_taken_from_what_is_available_and_the_charge_takes_its_place() -> None:
    shard = model()
    assert shard.admit("r", "k", "w", 60, NOW_MS) is Outcome.ADMITTED
    assert (wallet(shard), shard.wallets["w"].available) == ((100, 60, 0), 40)
    assert shard.settle("r", "w", 45) == 45
    assert (wallet(shard), shard.wallets["w"].available) == ((100, 0, 45), 55)
    assert shard.events == [("r", "w", 45)]


def test_a_released_hold_leaves_no_trace_but_the_tokens_taken() -> None:
    shard = model()
    shard.admit("r", "k", "w", 60, NOW_MS)
    shard.release("r", "w")
    assert (wallet(shard), shard.holds, shard.events) == ((100, 0, 0), {}, [])
    assert shard.keys["k"].minute.remaining == 9


@pytest.mark.parametrize(("cost", "charge"), [(70, 70), (100, 100), (130, 100)])
def test_a_cost_beyond_the_hold_is_charged_as_far_as_the_wallet_has_it(cost: int, charge: int) -> None:
    shard = model()
    shard.admit("r", "k", "w", 60, NOW_MS)
    assert shard.settle("r", "w", cost) == charge


def test_the_overdraft_counts_as_money() -> None:
    shard = model(funds=-5, overdraft=20)
    assert shard.admit("r1", "k", "w", 15, NOW_MS) is Outcome.ADMITTED
    assert shard.admit("r2", "k", "w", 1, NOW_MS) is Outcome.NO_FUNDS


def test_refusals_come_in_their_order_and_take_nothing() -> None:
    shard = model(funds=0, rpm=0, rpd=0)
    key = shard.keys["k"]
    assert shard.admit("r", "nobody", "w", 1, NOW_MS) is Outcome.UNKNOWN_KEY
    key.is_active = False
    assert shard.admit("r", "k", "nowhere", 1, NOW_MS) is Outcome.KEY_REFUSED
    key.is_active, key.expires_ms = True, NOW_MS
    assert shard.admit("r", "k", "nowhere", 1, NOW_MS) is Outcome.KEY_REFUSED
    key.expires_ms = NOW_MS + 1
    assert shard.admit("r", "k", "nowhere", 1, NOW_MS) is Outcome.OVER_MINUTE
    shard.keys["k"] = ModelKey.fresh(rpm=1, rpd=0)
    assert shard.admit("r", "k", "nowhere", 1, NOW_MS) is Outcome.OVER_DAY
    shard.keys["k"] = ModelKey.fresh(rpm=1, rpd=1)
    assert shard.admit("r", "k", "nowhere", 1, NOW_MS) is Outcome.UNKNOWN_WALLET
    assert shard.admit("r", "k", "w", 1, NOW_MS) is Outcome.NO_FUNDS
    assert (wallet(shard), shard.holds) == ((0, 0, 0), {})
    assert shard.admit("r", "k", "w", 0, NOW_MS) is Outcome.ADMITTED


def test_money_of_a_wallet_that_is_not_known_is_charged_in_full() -> None:
    assert model().settle("r", "elsewhere", 1000) == 1000


def test_acknowledging_moves_the_charge_into_the_balance_that_comes_with_it() -> None:
    shard = model()
    shard.settle("r", "w", 30)
    shard.acknowledge(0)
    shard.put_wallet("w", 70, 0, 1)
    assert (wallet(shard), shard.wallets["w"].available, shard.events) == ((70, 0, 0), 70, [])


def test_an_older_state_of_a_wallet_or_key_changes_nothing() -> None:
    shard = model()
    shard.put_wallet("w", 70, 5, 4)
    shard.put_wallet("w", 10, 0, 3)
    assert shard.wallets["w"] == ModelWallet(70, 5, 4)
    shard.put_key("k", ModelKey.fresh(rpm=1, rpd=1, version=4))
    shard.put_key("k", ModelKey.fresh(rpm=9, rpd=9, version=4))
    assert shard.keys["k"].minute.capacity == 1


def test_a_hold_is_lowered_to_what_there_is_if_that_will_do() -> None:
    shard = model(funds=50)
    assert shard.admit("r", "k", "w", 60, NOW_MS, least=51) is Outcome.NO_FUNDS
    assert shard.admit("r", "k", "w", 60, NOW_MS, least=50) is Outcome.ADMITTED
    assert (shard.holds["r"].nanos, shard.wallets["w"].available) == (50, 0)


def test_nobody_is_admitted_while_too_many_events_wait() -> None:
    shard = model()
    shard.max_events = 1
    for request in ("a", "b"):
        shard.settle(request, "w", 1)
    assert shard.admit("r", "k", "w", 1, NOW_MS) is Outcome.BACKLOGGED
    shard.acknowledge(0)
    assert shard.admit("r", "k", "w", 1, NOW_MS) is Outcome.ADMITTED


def test_what_is_held_can_be_charged_while_another_charge_is_counted_twice() -> None:
    """Posted, and so in the balance already, but not yet acknowledged."""
    shard = model(funds=3)
    for request, hold in (("first", 1), ("second", 2)):
        shard.admit(request, "k", "w", hold, NOW_MS)
    shard.settle("first", "w", 1)
    shard.put_wallet("w", 2, 0, 1)
    assert shard.wallets["w"].available == -1
    assert shard.settle("second", "w", 2) == 2


def renew(shard: Model, believed: int = 0, wanted: int = 0, checkpoint: str = "", now_ms: int = NOW_MS) -> int | None:
    return shard.renew("r", "k", "w", believed, wanted, checkpoint, now_ms)


def test_a_lease_that_is_renewed_lasts_longer_and_holds_more_as_far_as_there_is() -> None:
    shard = model(funds=100)
    shard.admit("r", "k", "w", 60, NOW_MS)
    assert renew(shard, 60, 30, "so far", NOW_MS + 7) == 90
    assert renew(shard, 90, 30, "", NOW_MS + 8) == 100
    assert shard.holds["r"] == ModelHold(100, NOW_MS + 8 + shard.lease_ms, "w", "k", "so far")
    assert (wallet(shard), renew(shard, 100, 1)) == ((100, 100, 0), 100)


def test_a_hold_that_is_gone_is_placed_again_as_far_as_there_is() -> None:
    shard = model(funds=50)
    assert renew(shard, 60, 5) == 50
    shard.wallets.pop("w")
    assert renew(shard, 60, 5, now_ms=NOW_MS + 1) == 50, "nobody knows what more there is"
    shard.holds.clear()
    assert renew(shard, 60, 5) is None


def test_what_lapsed_is_settled_once_and_only_as_it_was_seen() -> None:
    shard = model()
    shard.admit("r", "k", "w", 60, NOW_MS)
    late_ms = NOW_MS + shard.lease_ms
    assert shard.lapsed(late_ms - 1) == {}
    assert shard.settle("r", "w", 9, now_ms=late_ms - 1, lapsed_ms=late_ms) is None
    assert list(shard.lapsed(late_ms)) == ["r"]
    assert shard.settle("r", "w", 9, now_ms=late_ms, lapsed_ms=late_ms - 1) is None
    assert [shard.settle("r", "w", 9, now_ms=late_ms, lapsed_ms=late_ms) for _ in range(2)] == [9, None]
    assert (wallet(shard), shard.events) == ((100, 0, 9), [("r", "w", 9)])


def test_a_lease_from_before_the_clock_was_set_back_ends_a_lease_from_now() -> None:
    shard = model()
    shard.admit("r", "k", "w", 60, NOW_MS)
    earlier_ms = NOW_MS - 1_000_000
    assert shard.lapsed(earlier_ms) == {}
    assert list(shard.lapsed(earlier_ms + shard.lease_ms)) == ["r"]
