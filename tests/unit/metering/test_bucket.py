from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from metering.bucket import DAY_MS, MAX_CAPACITY, MINUTE_MS, Bucket

periods = st.sampled_from([MINUTE_MS, DAY_MS])
capacities = st.one_of(st.integers(0, 3), st.integers(0, MAX_CAPACITY))
elapsed = st.one_of(st.integers(0, 100), st.integers(0, 3 * DAY_MS))


@st.composite
def buckets(draw: st.DrawFn) -> Bucket:
    capacity, period_ms = draw(capacities), draw(periods)
    return Bucket(capacity, period_ms, draw(st.integers(0, capacity * period_ms)))


@given(buckets(), elapsed)
def test_each_millisecond_brings_its_exact_share_up_to_full(bucket: Bucket, ms: int) -> None:
    tokens = Fraction(bucket.level, bucket.period_ms) + Fraction(bucket.capacity * ms, bucket.period_ms)
    assert Fraction(bucket.after(ms).level, bucket.period_ms) == min(tokens, Fraction(bucket.capacity))


@given(buckets(), elapsed, elapsed)
def test_waiting_in_parts_is_waiting_at_once(bucket: Bucket, first: int, second: int) -> None:
    assert bucket.after(first).after(second) == bucket.after(first + second)


@given(buckets(), st.integers(-DAY_MS, 0))
def test_a_clock_that_goes_back_brings_nothing_and_takes_nothing(bucket: Bucket, ms: int) -> None:
    assert bucket.after(ms) == bucket


@given(buckets())
def test_a_token_is_there_when_it_was_said_to_be_and_not_before(bucket: Bucket) -> None:
    assume(bucket.capacity > 0)
    wait_ms = bucket.token_in_ms
    assert bucket.after(wait_ms).has_token
    assert wait_ms == 0 or not bucket.after(wait_ms - 1).has_token
    full_ms = bucket.full_in_ms
    assert bucket.after(full_ms) == Bucket.full(bucket.capacity, bucket.period_ms)
    assert full_ms == 0 or bucket.after(full_ms - 1).level < bucket.capacity * bucket.period_ms


@given(buckets())
def test_what_remains_is_what_can_be_taken_now(bucket: Bucket) -> None:
    assert bucket.has_token == (bucket.remaining > 0)
    if bucket.has_token:
        assert bucket.taken().remaining == bucket.remaining - 1


def test_a_bucket_without_capacity_never_has_a_token() -> None:
    empty = Bucket.full(0, MINUTE_MS)
    assert not empty.after(DAY_MS).has_token
    assert (empty.remaining, empty.token_in_ms) == (0, MINUTE_MS)
