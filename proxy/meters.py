"""What a proxy counts of its requests: declared here, and written where a request is refused or has ended."""

from bisect import bisect_left

from ledger.entries import COMPLETED, DRAINED, ENDED_WITHOUT_DONE, UsageEntry
from proxy.pace import Pace
from proxy.settlement import CLIENT_LEFT
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
_US, _US_PER_MS = 1_000, 1_000
# An upstream may refuse with any number.
_STATUSES = frozenset((*range(200, 207), *range(400, 432), 451, 499, *range(500, 512)))


def ended(entry: UsageEntry, priced_as: str, upstream: str, pace: Pace) -> None:
    """A request that was let in is over; it writes to the values themselves, as every request comes here."""
    reason, status = entry.end_reason, entry.status_code
    model = MODELS.known.get(priced_as) or MODELS.label(priced_as)
    key = (model, entry.endpoint, _OUTCOMES.get(reason, "failed"))
    values = REQUESTS.values
    values[key] = values.get(key, 0) + 1
    key = (upstream, reason, str(status) if status in _STATUSES else OTHER)
    values = ENDINGS.values
    values[key] = values.get(key, 0) + 1
    source = (entry.usage_source,)
    COUNTED_BY.values[source] = COUNTED_BY.values.get(source, 0) + 1
    only_model = (model,)
    if entry.usage_source != "none":
        CHARGED.values[only_model] = CHARGED.values.get(only_model, 0) + entry.cost_nanos
        _count_tokens(model, entry)
    row = DURATION.values.get(only_model) or DURATION.row(only_model)
    row[bisect_left(DURATION.bounds, entry.response_time_ms)] += 1
    row[-1] += entry.response_time_ms
    added_us = pace.added_us
    if added_us is not None:
        _BEFORE[bisect_left(ADDED.bounds, added_us)] += 1
        _BEFORE[-1] += added_us
    if entry.metadata.get("stream") and (first_us := pace.first_byte_us) is not None:
        FIRST_TOKEN.observe(only_model, first_us // _US_PER_MS)


def _count_tokens(model: str, entry: UsageEntry) -> None:
    values, prompt, output = TOKENS.values, entry.input_tokens, entry.output_tokens
    if prompt:
        values[model, "input"] = values.get((model, "input"), 0) + prompt
    if output:
        values[model, "output"] = values.get((model, "output"), 0) + output
    if entry.all_tokens != prompt + output:
        _count_rare_tokens(model, entry)
    if entry.images:
        IMAGES.add((model,), entry.images)
    if entry.audio_ms:
        AUDIO.add((model,), entry.audio_ms)


def _count_rare_tokens(model: str, entry: UsageEntry) -> None:
    for kind, count in (
        ("cached_input", entry.cached_input_tokens),
        ("cache_write", entry.cache_write_tokens),
        ("reasoning", entry.reasoning_tokens),
        ("audio_input", entry.audio_input_tokens),
        ("audio_output", entry.audio_output_tokens),
    ):
        if count:
            TOKENS.add((model, kind), count)


def handed_over(after_ns: int) -> None:
    """A whole answer goes to the client so long after it was here."""
    after_us = after_ns // _US
    _AFTER[bisect_left(ADDED.bounds, after_us)] += 1
    _AFTER[-1] += after_us


def refused(code: str, reason: str) -> None:
    """Not let in; both words are of the program, and no client's."""
    REFUSALS.add((code, reason))
