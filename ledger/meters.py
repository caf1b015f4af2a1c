"""What a ledger process counts: what it posts, how long each step takes and how often one fails."""

from runtime.metrics.series import MICROSECONDS, MILLISECONDS, Counter, Histogram, Metric

POSTED = Counter(
    "farebox_ledger_events_total",
    "Usage events that were posted and acknowledged: posted for the first time, a duplicate of what was there, a "
    "correction of what was recovered, or buried as a dead letter.",
    ("result",),
)
STEPS = Histogram(
    "farebox_ledger_step_seconds",
    "Time of a step of posting that worked: post, a transaction in Postgres; acknowledge, a call to Redis.",
    ("step",),
    bounds=[1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000],
    per_unit=MICROSECONDS,
)
STEP_FAILURES = Counter(
    "farebox_ledger_step_failures_total", "Steps that failed and are tried again, by step.", ("step",)
)
DELAY = Histogram(
    "farebox_posting_delay_seconds",
    "From a request's settlement in Redis to its being in Postgres; of each batch the oldest.",
    bounds=[50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 3_600_000],
    per_unit=MILLISECONDS,
)

LEDGER: tuple[Metric, ...] = (POSTED, STEPS, STEP_FAILURES, DELAY)


def posted(*, new: int, duplicates: int, corrected: int, buried: int, oldest_event_id: str | None, now_ms: int) -> None:
    """One part of a batch is in Postgres and acknowledged; `now_ms` is wall-clock time."""
    for result, count in (
        ("posted", new),
        ("duplicate", duplicates),
        ("corrected", corrected),
        ("buried", buried),
    ):
        POSTED.add((result,), count)
    if oldest_event_id is not None:
        DELAY.observe((), max(0, now_ms - int(oldest_event_id.partition("-")[0])))
