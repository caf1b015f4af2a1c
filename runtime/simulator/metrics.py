"""The Prometheus page that servers have about themselves, with the names and the habits of each.

vLLM counts a request while it runs, and its prompt once it is read; SGLang counts it when it has finished; llama.cpp
the prompt once it is read, without what its cache held, and the output at the end; TGI the prompt at once, all of it
as histograms.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from runtime.simulator.kinds import Kind
from runtime.simulator.totals import Record, State

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Tokens:
    """Of one model: what its server has counted, and the requests that did not come to their end."""

    prompt: int = 0
    completion: int = 0
    finished: int = 0
    aborted: int = 0


class Meter:
    """Hears of every request's end, and keeps the counters of one kind of server since the start."""

    def __init__(self, kind: Kind, models: Iterable[str], started_s: float) -> None:
        self._habit = _HABITS[kind]
        self._write = _PAGES[kind]
        self._models = tuple(models)
        self._started_s = started_s
        self._ended: dict[str, Tokens] = {}

    def ended(self, record: Record) -> None:
        self._add(self._ended, record)

    def reset(self) -> None:
        self._ended.clear()

    def page(self, running: Iterable[Record]) -> bytes:
        tokens = {
            model: Tokens(one.prompt, one.completion, one.finished, one.aborted) for model, one in self._ended.items()
        }
        for model in self._models:
            tokens.setdefault(model, Tokens())
        for record in running:
            self._add(tokens, record)
        return "".join(f"{line}\n" for line in self._write(tokens, self._started_s)).encode()

    def _add(self, counted: dict[str, Tokens], record: Record) -> None:
        tokens = counted.setdefault(record.model, Tokens())
        prompt, completion = self._habit(record)
        tokens.prompt += prompt
        tokens.completion += completion
        tokens.finished += record.state is State.FINISHED
        tokens.aborted += record.state in (State.CLIENT_LEFT, State.FAULTED)


def meter_of(kind: Kind, models: Iterable[str], started_s: float) -> Meter | None:
    """None: servers of this kind publish no counters of tokens."""
    return Meter(kind, models, started_s) if kind in _PAGES else None


def _is_read(record: Record) -> bool:
    """Was the prompt read? It is when the first token is out, or all is over."""
    return record.completion_tokens > 0 or record.state is State.FINISHED


def _vllm_habit(record: Record) -> tuple[int, int]:
    return (record.prompt_tokens if _is_read(record) else 0), record.completion_tokens


def _sglang_habit(record: Record) -> tuple[int, int]:
    return (record.prompt_tokens, record.completion_tokens) if record.state is State.FINISHED else (0, 0)


def _llamacpp_habit(record: Record) -> tuple[int, int]:
    cached = int((record.more or {}).get("cached_tokens", 0))
    read = record.prompt_tokens - cached if _is_read(record) else 0
    return read, (record.completion_tokens if record.state is State.FINISHED else 0)


def _tgi_habit(record: Record) -> tuple[int, int]:
    return record.prompt_tokens, (record.completion_tokens if record.state is State.FINISHED else 0)


_HABITS: dict[Kind, Callable[[Record], tuple[int, int]]] = {
    Kind.VLLM: _vllm_habit,
    Kind.SGLANG: _sglang_habit,
    Kind.LLAMACPP: _llamacpp_habit,
    Kind.TGI: _tgi_habit,
}


def _vllm_page(tokens: dict[str, Tokens], started_s: float) -> Iterable[str]:
    yield from _head("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.")
    yield f"process_start_time_seconds {started_s!r}"
    for name, help_, values in (
        ("vllm:prompt_tokens_total", "Number of prefill tokens processed.", _prompts(tokens)),
        ("vllm:generation_tokens_total", "Number of generation tokens processed.", _completions(tokens)),
    ):
        yield from _head(name, "counter", help_)
        yield from (f'{name}{{engine="0",model_name="{_quoted(model)}"}} {value:.1f}' for model, value in values)
    yield from _head("vllm:request_success_total", "counter", "Count of successfully processed requests.")
    for model, one in tokens.items():
        labels = f'engine="0",model_name="{_quoted(model)}"'
        yield f'vllm:request_success_total{{{labels},finished_reason="stop"}} {one.finished:.1f}'
        yield f'vllm:request_success_total{{{labels},finished_reason="abort"}} {one.aborted:.1f}'


def _sglang_page(tokens: dict[str, Tokens], started_s: float) -> Iterable[str]:
    """A series is there once it has been counted; one process writes for several, so no start of any is told."""
    used = {model: one for model, one in tokens.items() if one.finished}
    for name, help_, values in (
        ("sglang:prompt_tokens_total", "Number of prefill tokens processed.", _prompts(used)),
        ("sglang:generation_tokens_total", "Number of generation tokens processed.", _completions(used)),
    ):
        yield from _head(name, "counter", help_)
        yield from (f'{name}{{model_name="{_quoted(model)}"}} {value:.1f}' for model, value in values)
    yield from _head("sglang:num_running_reqs", "gauge", "The number of running requests.")
    yield from (f'sglang:num_running_reqs{{model_name="{_quoted(model)}"}} 0.0' for model in tokens)


def _llamacpp_page(tokens: dict[str, Tokens], started_s: float) -> Iterable[str]:
    """One server has one model, and does not name it."""
    for name, help_, values in (
        ("llamacpp:prompt_tokens_total", "Number of prompt tokens processed.", _prompts(tokens)),
        ("llamacpp:tokens_predicted_total", "Number of generation tokens processed.", _completions(tokens)),
    ):
        yield from _head(name, "counter", help_)
        yield f"{name} {sum(value for _, value in values)}"


def _tgi_page(tokens: dict[str, Tokens], started_s: float) -> Iterable[str]:
    """Nothing at all before the first request."""
    requests = sum(one.finished + one.aborted for one in tokens.values())
    for name, values in (
        ("tgi_request_input_length", _prompts(tokens)),
        ("tgi_request_generated_tokens", _completions(tokens)),
    ):
        if total := sum(value for _, value in values):
            yield f"# TYPE {name} histogram"
            yield f'{name}_bucket{{le="+Inf"}} {requests}'
            yield f"{name}_sum {total}"
            yield f"{name}_count {requests}"


def _head(name: str, type_: str, help_: str) -> tuple[str, str]:
    return f"# HELP {name} {help_}", f"# TYPE {name} {type_}"


def _prompts(tokens: dict[str, Tokens]) -> list[tuple[str, int]]:
    return [(model, one.prompt) for model, one in tokens.items()]


def _completions(tokens: dict[str, Tokens]) -> list[tuple[str, int]]:
    return [(model, one.completion) for model, one in tokens.items()]


def _quoted(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


_PAGES: dict[Kind, Callable[[dict[str, Tokens], float], Iterable[str]]] = {
    Kind.VLLM: _vllm_page,
    Kind.SGLANG: _sglang_page,
    Kind.LLAMACPP: _llamacpp_page,
    Kind.TGI: _tgi_page,
}
