import pytest

from runtime.strikes import Strikes

ANA, BEN = "192.0.2.1", "192.0.2.2"


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_so_many_a_minute_and_then_one_share_at_a_time(clock: Clock) -> None:
    strikes = Strikes(3, clock_ms=clock)
    for _ in range(3):
        assert strikes.wait_ms(ANA) == 0
        strikes.strike(ANA)
    assert (strikes.wait_ms(ANA), strikes.wait_ms(BEN)) == (20_000, 0)
    clock.now_ms += 19_999
    assert strikes.wait_ms(ANA) == 1
    clock.now_ms += 1
    assert strikes.wait_ms(ANA) == 0
    strikes.strike(ANA)
    assert strikes.wait_ms(ANA) == 20_000


def test_after_a_quiet_minute_all_is_forgiven(clock: Clock) -> None:
    strikes = Strikes(600, clock_ms=clock)
    for _ in range(600):
        strikes.strike(ANA)
    assert strikes.wait_ms(ANA) == 100
    clock.now_ms += 60_000
    for _ in range(600):
        assert strikes.wait_ms(ANA) == 0
        strikes.strike(ANA)


def test_what_was_no_failure_is_taken_back(clock: Clock) -> None:
    strikes = Strikes(2, clock_ms=clock)
    for _ in range(10):
        strikes.strike(ANA)
        strikes.forgive(ANA)
    assert (strikes.wait_ms(ANA), len(strikes)) == (0, 0)
    strikes.strike(ANA)
    strikes.strike(ANA)
    strikes.forgive(ANA)
    assert strikes.wait_ms(ANA) == 0
    strikes.forgive(BEN)  # who has done nothing has nothing to be forgiven
    assert len(strikes) == 1


def test_without_a_limit_nothing_is_remembered(clock: Clock) -> None:
    strikes = Strikes(0, clock_ms=clock)
    strikes.strike(ANA)
    strikes.forgive(ANA)
    assert (strikes.wait_ms(ANA), len(strikes)) == (0, 0)


def test_the_limit_may_change(clock: Clock) -> None:
    strikes = Strikes(1, clock_ms=clock)
    strikes.strike(ANA)
    assert strikes.wait_ms(ANA) == 60_000
    strikes.per_minute = 0
    assert strikes.wait_ms(ANA) == 0
    strikes.forgive(ANA)


def test_however_many_come_so_many_are_remembered_the_latest(clock: Clock) -> None:
    strikes = Strikes(1, max_addresses=100, clock_ms=clock)
    for number in range(1000):
        strikes.strike(f"10.0.{number // 250}.{number % 250}")
    assert len(strikes) == 100
    assert strikes.wait_ms("10.0.3.249") > 0 and strikes.wait_ms("10.0.0.0") == 0


def test_a_site_of_ipv6_is_one(clock: Clock) -> None:
    strikes = Strikes(1, clock_ms=clock)
    strikes.strike("2001:db8::1")
    assert strikes.wait_ms("2001:db8::ffff:2") > 0 and strikes.wait_ms("2001:db8:0:1::1") == 0
