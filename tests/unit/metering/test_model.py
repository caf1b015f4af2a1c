import pytest

from metering.model import Model, ModelKey, ModelWallet, Outcome

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


def test_a_new_limit_does_not_fill_a_bucket_again() -> None:
    shard = model(rpm=2)
    shard.admit("r", "k", "w", 1, NOW_MS)
    shard.put_key("k", ModelKey.fresh(rpm=5, rpd=5, version=1))
    minute, _ = shard.keys["k"].buckets_at(NOW_MS)
    assert (minute.capacity, minute.remaining) == (5, 1)
