"""What a proxy counts of its requests: declared here, and written where a request is refused or has ended."""

from bisect import bisect_left

from ledger.entries import COMPLETED, DRAINED, ENDED_WITHOUT_DONE, UsageEntry
from proxy.settlement import CLIENT_LEFT
from proxy.telemetry.pace import Pace
from runtime.metrics.series import MILLISECONDS, NANOS, OTHER, Bounded, Counter, Gauge, Histogram, Metric

# Without a setting; each model has some forty series.
MAX_MODELS = 100

REQUESTS = Counter(
    "farebox_requests_total",
    "Requests that were let in and have ended, by what became of them.",
    ("model", "endpoint", "outcome"),
)
ENDINGS = Counter(
    "farebox_endings_total",
    "The same by upstream, the reason of the end, and the status that the client saw.",
    ("upstream", "end_reason", "status"),
)
REFUSALS = Counter(
    "farebox_refusals_total",
    "Requests to the gateway that were not let in: the error's code, and of limits and policies which one it was.",
    ("code", "reason"),
)
TOKENS = Counter("farebox_tokens_total", "Tokens of ended requests, by kind; kinds do not overlap.", ("model", "kind"))
IMAGES = Counter("farebox_images_total", "Images made or read by ended requests.", ("model",))
AUDIO = Counter(
    "farebox_audio_seconds_total", "Audio of ended requests, billed by time.", ("model",), per_unit=MILLISECONDS
)
CHARGED = Counter(
    "farebox_charged_dollars_total",
    "What ended requests cost, before the wallet is looked at.",
    ("model",),
    per_unit=NANOS,
)
COUNTED_BY = Counter(
    "farebox_usage_counted_total",
    "Ended requests by who counted: the server to the end (reported) or until it was cut (partial), a tokenizer of "
    "ours (tokenized), by length (estimated), nobody as nothing was used (none).",
    ("source",),
)
DURATION = Histogram(
    "farebox_request_seconds",
    "From a request's arrival to its end, of those that were let in.",
    ("model",),
    bounds=[50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 40_000, 60_000, 120_000, 300_000, 600_000],
    per_unit=MILLISECONDS,
)
FIRST_TOKEN = Histogram(
    "farebox_time_to_first_token_seconds",
    "From sending a request upstream to the first byte of its streamed answer.",
    ("model",),
    bounds=[10, 25, 50, 100, 200, 300, 500, 750, 1_000, 2_000, 3_000, 5_000, 10_000, 30_000, 60_000],
    per_unit=MILLISECONDS,
)
ADDED = Histogram(
    "farebox_added_seconds",
    "What Farebox adds: before, from the request's arrival to its going upstream (without the client's upload); after, "
    "from the last byte of an answer that comes at once to its being handed over.",
    ("phase",),
    bounds=[
        250,
        500,
        750,
        1_000,
        1_500,
        2_000,
        3_000,
        5_000,
        10_000,
        25_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
    ],
)
IN_FLIGHT = Gauge("farebox_requests_in_flight", "Requests that are being answered.")
CONNECTIONS = Gauge("farebox_client_connections", "Connections of clients.")
HOLDS = Gauge("farebox_holds", "Requests that have money held.")
HELD = Gauge("farebox_held_dollars", "What is held for them.", per_unit=NANOS)
QUEUES = Gauge(
    "farebox_queue_length",
    "What waits: to be admitted, settled, for more to be held; for a key's bcrypt; to be counted.",
    ("queue",),
)
UPSTREAMS = Gauge(
    "farebox_upstream_connections", "Connections to an upstream, and requests that wait for one.", ("upstream", "state")
)
UPSTREAMS_DOWN = Gauge(
    "farebox_upstream_down",
    "1 where the health check gets no good answer: nothing is sent there.",
    ("upstream",),
    across="max",
)
SPOOL_BYTES = Gauge("farebox_spool_bytes", "Size of the files with settlements that Redis could not take.")
SPOOL_RECORDS = Gauge("farebox_spool_records", "Settlements that wait in them.")
SPOOL_MAX = Gauge("farebox_spool_max_bytes", "How large the spool may become.", across="max")
BREAKERS = Gauge(
    "farebox_breaker_open", "1 where a breaker is open: what is behind it is left alone.", ("breaker",), across="max"
)
PRICES = Gauge("farebox_priced_models", "Models that have a price now.", across="max")

PROXY: tuple[Metric, ...] = (
    REQUESTS,
    ENDINGS,
    REFUSALS,
    TOKENS,
    IMAGES,
    AUDIO,
    CHARGED,
    COUNTED_BY,
    DURATION,
    FIRST_TOKEN,
    ADDED,
    IN_FLIGHT,
    CONNECTIONS,
    HOLDS,
    HELD,
    QUEUES,
    UPSTREAMS,
    UPSTREAMS_DOWN,
    SPOOL_BYTES,
    SPOOL_RECORDS,
    SPOOL_MAX,
    BREAKERS,
    PRICES,
)

# Which model has a name of its own: those that were used first. Prices name models, so that clients cannot make one up.
MODELS = Bounded(MAX_MODELS)
_OUTCOMES = {
    COMPLETED: "completed",
    ENDED_WITHOUT_DONE: "completed",
    DRAINED: "client_left",
    CLIENT_LEFT: "client_left",
    "upstream_refused": "refused",
    "shutdown": "cut",
    "insufficient_balance": "cut",
    "funds_ended": "cut",
}
_BEFORE, _AFTER = ADDED.row(("before",)), ADDED.row(("after",))
_ADDED_BOUNDS, _DURATION_BOUNDS = ADDED.bounds, DURATION.bounds
_US, _US_PER_MS = 1_000, 1_000
# An upstream may refuse with any number.
_STATUSES = frozenset((*range(200, 207), *range(400, 432), 451, 499, *range(500, 512)))


class _Alike:
    """Requests that differ in nothing that is a label, not counted in yet: `fold` does that."""

    __slots__ = ("cost_nanos", "duration", "input_tokens", "model", "output_tokens", "requests")

    def __init__(self, model: str) -> None:
        self.model = model
        self.duration = DURATION.row((model,))
        self.requests = self.cost_nanos = self.input_tokens = self.output_tokens = 0


# By the model as it is priced, endpoint, upstream, end reason, status, source of the usage.
_alike: dict[tuple[str, str, str, str, int, str], _Alike] = {}
# Then they are counted in, asked or not. A handful of kinds is most of what comes.
_MAX_ALIKE = 1_000


def ended(entry: UsageEntry, priced_as: str, upstream: str, pace: Pace) -> None:
    """A request that was let in is over; every one comes here, so it only adds to a few numbers."""
    key = (priced_as, entry.endpoint, upstream, entry.end_reason, entry.status_code, entry.usage_source)
    alike = _alike.get(key) or _new_kind(key)
    alike.requests += 1
    alike.cost_nanos += entry.cost_nanos
    alike.input_tokens += entry.input_tokens
    alike.output_tokens += entry.output_tokens
    took_ms, duration = entry.response_time_ms, alike.duration
    duration[bisect_left(_DURATION_BOUNDS, took_ms)] += 1
    duration[-1] += took_ms
    added_us = pace.added_us
    if added_us is not None:
        _BEFORE[bisect_left(_ADDED_BOUNDS, added_us)] += 1
        _BEFORE[-1] += added_us
    if entry.has_rare_usage:
        _count_rare(alike.model, entry)
    if entry.metadata.get("stream") and (first_us := pace.first_byte_us) is not None:
        FIRST_TOKEN.observe((alike.model,), first_us // _US_PER_MS)


def _new_kind(key: tuple[str, str, str, str, int, str]) -> _Alike:
    if len(_alike) >= _MAX_ALIKE:
        fold()
    made = _alike[key] = _Alike(MODELS.label(key[0]))
    return made


def fold() -> None:
    """Counts in what has ended. For who reads the counters."""
    for (_, endpoint, upstream, reason, status, source), alike in _alike.items():
        model, requests = alike.model, alike.requests
        REQUESTS.add((model, endpoint, _OUTCOMES.get(reason, "failed")), requests)
        ENDINGS.add((upstream, reason, str(status) if status in _STATUSES else OTHER), requests)
        COUNTED_BY.add((source,), requests)
        if source != "none":
            CHARGED.add((model,), alike.cost_nanos)
        if alike.input_tokens:
            TOKENS.add((model, "input"), alike.input_tokens)
        if alike.output_tokens:
            TOKENS.add((model, "output"), alike.output_tokens)
    _alike.clear()


def _count_rare(model: str, entry: UsageEntry) -> None:
    for kind, count in (
        ("cached_input", entry.cached_input_tokens),
        ("cache_write", entry.cache_write_tokens),
        ("reasoning", entry.reasoning_tokens),
        ("audio_input", entry.audio_input_tokens),
        ("audio_output", entry.audio_output_tokens),
    ):
        if count:
            TOKENS.add((model, kind), count)
    if entry.images:
        IMAGES.add((model,), entry.images)
    if entry.audio_ms:
        AUDIO.add((model,), entry.audio_ms)


def handed_over(after_ns: int) -> None:
    """A whole answer goes to the client so long after it was here."""
    after_us = after_ns // _US
    _AFTER[bisect_left(_ADDED_BOUNDS, after_us)] += 1
    _AFTER[-1] += after_us


def refused(code: str, reason: str) -> None:
    """Not let in; both words are of the program, and no client's."""
    REFUSALS.add((code, reason))
