import pytest

from runtime.exposition import parse
from runtime.simulator.kinds import Kind
from runtime.simulator.metrics import Meter, meter_of
from runtime.simulator.totals import Books, Record, State

PUBLISHING = (Kind.VLLM, Kind.SGLANG, Kind.LLAMACPP, Kind.TGI)
NAMES = {
    Kind.VLLM: ("vllm:prompt_tokens_total", "vllm:generation_tokens_total"),
    Kind.SGLANG: ("sglang:prompt_tokens_total", "sglang:generation_tokens_total"),
    Kind.LLAMACPP: ("llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total"),
    Kind.TGI: ("tgi_request_input_length_sum", "tgi_request_generated_tokens_sum"),
}


def said(books: Books, kind: Kind) -> tuple[int, int]:
    page = books.metrics()
    assert page is not None
    values = {sample.name: int(sample.value) for sample in parse(page.decode())}
    return values.get(NAMES[kind][0], 0), values.get(NAMES[kind][1], 0)


def books_of(kind: Kind) -> Books:
    return Books(meter=meter_of(kind, ("tiny",), 1_790_000_000.5))


@pytest.mark.parametrize("kind", PUBLISHING)
def test_a_finished_request_is_counted_whole(kind: Kind) -> None:
    books = books_of(kind)
    books.add_finished(Record(None, "tiny", 10, completion_tokens=20, more={"cached_tokens": 4}))
    assert said(books, kind) == (6 if kind is Kind.LLAMACPP else 10, 20)


@pytest.mark.parametrize(
    ("kind", "before", "running", "aborted"),
    [
        (Kind.VLLM, (0, 0), (10, 3), (10, 3)),
        (Kind.SGLANG, (0, 0), (0, 0), (0, 0)),
        (Kind.LLAMACPP, (0, 0), (10, 0), (10, 0)),
        (Kind.TGI, (10, 0), (10, 0), (10, 0)),
    ],
)
def test_one_that_is_aborted_is_counted_as_each_server_does(
    kind: Kind, before: tuple[int, int], running: tuple[int, int], aborted: tuple[int, int]
) -> None:
    books = books_of(kind)
    record = Record(None, "tiny", 10)
    books.open(record)
    assert said(books, kind) == before
    record.completion_tokens = 3
    assert said(books, kind) == running
    books.close(record, State.CLIENT_LEFT)
    assert said(books, kind) == aborted
    books.reset()
    assert said(books, kind) == (0, 0)


def test_a_page_is_told_only_by_servers_that_have_one() -> None:
    assert [kind for kind in Kind if meter_of(kind, (), 0.0) is not None] == list(PUBLISHING)
    assert Books().metrics() is None


def test_names_of_models_are_escaped() -> None:
    meter = Meter(Kind.VLLM, ('a"b\\c\nd',), 0.0)
    assert 'a"b\\c\nd' in {sample.label("model_name") for sample in parse(meter.page(()).decode())}
