from runtime.clock import monotonic_ms, wall_ms

YEAR_2020_MS = 1_577_836_800_000
YEAR_2100_MS = 4_102_444_800_000


def test_wall_time_is_in_milliseconds_since_1970() -> None:
    assert YEAR_2020_MS < wall_ms() < YEAR_2100_MS


def test_monotonic_time_never_goes_back() -> None:
    times = [monotonic_ms() for _ in range(1000)]
    assert times == sorted(times)
