from runtime.breaker import Breaker


def opened(at_ms: int = 0) -> Breaker:
    breaker = Breaker(failures_to_open=3, open_ms=100)
    for _ in range(3):
        breaker.failed(at_ms)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(failures_to_open=3, open_ms=100)
    for _ in range(2):
        breaker.failed(0)
        assert not breaker.is_open
        assert breaker.allows(0)
    breaker.failed(0)
    assert breaker.is_open
    assert not breaker.allows(0)


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = Breaker(failures_to_open=2, open_ms=100)
    for _ in range(5):
        breaker.failed(0)
        breaker.succeeded()
    assert not breaker.is_open


def test_while_open_one_caller_may_try_each_time() -> None:
    breaker = opened()
    assert [breaker.allows(ms) for ms in (0, 99, 100, 101, 199, 200)] == [False, False, True, False, False, True]


def test_failing_again_while_open_does_not_put_off_the_next_try() -> None:
    breaker = opened()
    assert breaker.allows(100)
    breaker.failed(150)
    assert not breaker.allows(199)
    assert breaker.allows(200)


def test_a_success_closes_it() -> None:
    breaker = opened()
    assert breaker.allows(100)
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.allows(101)
    assert breaker.allows(101)


def test_it_says_when_to_try_again() -> None:
    breaker = opened(at_ms=1000)
    assert [breaker.retry_after_ms(ms) for ms in (1000, 1060, 1100, 5000)] == [100, 40, 0, 0]
    breaker.succeeded()
    assert breaker.retry_after_ms(1000) == 0


def test_a_failure_is_known_until_the_next_success() -> None:
    breaker = Breaker(failures_to_open=2, open_ms=100)
    seen = [breaker.has_failures]
    breaker.failed(0)
    seen.append(breaker.has_failures)
    breaker.succeeded()
    assert [*seen, breaker.has_failures] == [False, True, False]
