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
    owed = capacity * DAY_MS if draw(st.booleans()) else 0
    return Bucket(capacity, period_ms, draw(st.integers(-owed, capacity * period_ms)))


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
    wait_ms = bucket.has_in_ms()
    assert bucket.after(wait_ms).has()
    assert wait_ms == 0 or not bucket.after(wait_ms - 1).has()
    full_ms = bucket.full_in_ms
    assert bucket.after(full_ms) == Bucket.full(bucket.capacity, bucket.period_ms)
    assert full_ms == 0 or bucket.after(full_ms - 1).level < bucket.capacity * bucket.period_ms


@given(buckets())
def test_what_remains_is_what_can_be_taken_now(bucket: Bucket) -> None:
    assert bucket.has() == (bucket.remaining > 0)
    if bucket.has():
        assert bucket.taken().remaining == bucket.remaining - 1


def test_a_bucket_without_capacity_never_has_a_token() -> None:
    empty = Bucket.full(0, MINUTE_MS)
    assert not empty.after(DAY_MS).has()
    assert (empty.remaining, empty.has_in_ms()) == (0, MINUTE_MS)


@given(buckets(), st.integers(0, 10**9))
def test_what_is_larger_than_the_bucket_waits_until_it_is_full_and_not_for_ever(bucket: Bucket, tokens: int) -> None:
    assume(bucket.capacity > 0)
    assert bucket.after(bucket.has_in_ms(tokens)).has(tokens)
    assert bucket.has_in_ms(tokens) <= bucket.full_in_ms


@given(capacities, st.integers(0, MAX_CAPACITY * MINUTE_MS), st.integers(0, 10**10), st.integers(0, 10**12))
def test_a_correction_takes_what_was_used_instead_and_never_owes_more_than_a_day(
    capacity: int, level: int, tokens: int, used: int
) -> None:
    bucket = Bucket(capacity, MINUTE_MS, min(level, capacity * MINUTE_MS))
    assume(bucket.has(tokens))
    corrected = bucket.taken(tokens).corrected(bucket.at_most(tokens), used)
    assert abs(corrected.level) < 2**53
    assert corrected.level == max(-capacity * DAY_MS, bucket.level - min(used, capacity * 1440) * MINUTE_MS)
    assert corrected.after(2 * DAY_MS).level == capacity * MINUTE_MS
