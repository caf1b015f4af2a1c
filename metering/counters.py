"""The token counters that LLM servers publish about themselves, by their own names, and what they grew by. Pure.

Sources: vLLM's loggers, SGLang's TokenizerMetricsCollector, llama.cpp's server_metrics, TGI's router.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from runtime.exposition import ExpositionError, Sample, parse

Direction = Literal["input", "output"]

# What a counter can be: a float holds every whole number up to here.
MAX_COUNT = 2**53
_MODEL_LABELS = ("model_name", "model")
_PROCESS_START = "process_start_time_seconds"


class CountersError(ValueError):
    """A page from which no token can be counted, and why."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """`input`, `output`: names of counters, of which a server has one. `counts_cached`: prompt tokens that came out of
    a cache are counted too. `counts_unfinished`: a request counts while it runs, also if it is aborted in the end.
    """

    name: str
    prefix: str
    input: tuple[str, ...]
    output: tuple[str, ...]
    counts_cached: bool = True
    counts_unfinished: bool = False


_DIALECTS = (
    Dialect("vllm", "vllm", ("vllm:prompt_tokens_total",), ("vllm:generation_tokens_total",), counts_unfinished=True),
    # at the end of a request; what is aborted may never be counted
    Dialect("sglang", "sglang", ("sglang:prompt_tokens_total",), ("sglang:generation_tokens_total",)),
    Dialect(
        "llamacpp",
        "llamacpp",
        ("llamacpp:prompt_tokens_total",),
        ("llamacpp:tokens_predicted_total",),
        counts_cached=False,
    ),
    # histograms: their sums are the tokens. Of an aborted request only the input is counted
    Dialect(
        "tgi",
        "tgi_",
        ("tgi_request_input_length_sum", "tgi_request_input_length_total"),
        ("tgi_request_generated_tokens_sum", "tgi_request_generated_tokens_total"),
    ),
)
DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in _DIALECTS}


@dataclass(frozen=True, slots=True)
class Series:
    """One counter of a page; `model` None where the server names none."""

    direction: Direction
    model: str | None
    labels: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Page:
    """What a server had counted since it started, at `started_s` (Unix time; None: it does not say)."""

    dialect: str
    started_s: float | None
    series: tuple[Series, ...]


@dataclass(slots=True)
class Tokens:
    input: int = 0
    output: int = 0

    def add(self, direction: Direction, tokens: int) -> None:
        setattr(self, direction, getattr(self, direction) + tokens)


@dataclass(frozen=True, slots=True)
class Growth:
    """By model. `was_reset`: it began anew in between, and what it had counted before that is not known."""

    models: Mapping[str | None, Tokens] = field(default_factory=dict)
    was_reset: bool = False


def read_page(text: str, kind: str) -> Page:
    """`kind` is the upstream's in the configuration; `generic` is found out. Raises CountersError."""
    try:
        samples = list(parse(text))
    except ExpositionError as error:
        raise CountersError(f"not a page of metrics: {error}") from None
    dialect = _dialect(samples, kind)
    series = [*_series(samples, dialect.input, "input"), *_series(samples, dialect.output, "output")]
    if len({(one.direction, one.labels) for one in series}) != len(series):
        raise CountersError("a counter is there twice")
    starts = [sample.value for sample in samples if sample.name == _PROCESS_START]
    return Page(dialect.name, starts[0] if starts else None, tuple(series))


def grown(before: Iterable[Page], after: Iterable[Page]) -> Growth:
    """Of pages of the same servers, in the same order."""
    models: dict[str | None, Tokens] = {}
    was_reset = False
    for first, second in zip(before, after, strict=True):
        was_reset |= first.dialect != second.dialect or first.started_s != second.started_s
        known = {(one.direction, one.labels): one.tokens for one in first.series}
        was_reset |= not known.keys() <= {(one.direction, one.labels) for one in second.series}
        for one in second.series:
            start = known.get((one.direction, one.labels), 0)
            was_reset |= one.tokens < start
            # After a restart it counts from nothing: at least so much is new.
            growth = one.tokens - start if one.tokens >= start else one.tokens
            models.setdefault(one.model, Tokens()).add(one.direction, growth)
    return Growth(models, was_reset)


def _dialect(samples: list[Sample], kind: str) -> Dialect:
    wanted = DIALECTS.get(kind)
    found = [d for d in _DIALECTS if any(sample.name.startswith(d.prefix) for sample in samples)]
    if wanted is not None and (wanted in found or not samples):  # TGI's page is empty until it was asked something
        return wanted
    if wanted is None and len(found) == 1:
        return found[0]
    raise CountersError(f"no token counters of {kind if wanted else 'vLLM, SGLang, llama.cpp or TGI'} on this page")


def _series(samples: list[Sample], names: tuple[str, ...], direction: Direction) -> list[Series]:
    """The first of the names that is there; some exporters write colons as underscores."""
    for name in (*names, *(name.replace(":", "_") for name in names)):
        found = [sample for sample in samples if sample.name == name]
        if found:
            return [_one(sample, direction) for sample in found]
    return []


def _one(sample: Sample, direction: Direction) -> Series:
    if not 0 <= sample.value <= MAX_COUNT or sample.value != int(sample.value):
        raise CountersError(f"{sample.name} is no whole number of tokens")
    model = next((text for name in _MODEL_LABELS if (text := sample.label(name)) is not None), None)
    labels = ",".join(f"{name}={text!r}" for name, text in sample.labels)
    return Series(direction, model, labels, int(sample.value))
