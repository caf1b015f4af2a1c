from runtime.simulator.totals import Books, Counts, Record, State, Totals


def record(request_id: str | None = None, model: str = "tiny", tokens: int = 0) -> Record:
    return Record(request_id, model, prompt_tokens=5, completion_tokens=tokens)


def test_a_running_request_counts_with_what_it_emitted_so_far() -> None:
    books = Books()
    one = record(tokens=3)
    books.open(one)
    assert books.totals() == Totals(1, 0, 0, 5, 3, by_model={"tiny": Counts(1, 0, 0, 5, 3)})
    one.completion_tokens = 8
    assert books.totals().completion_tokens == 8


def test_ends_are_told_apart_and_counted_per_model() -> None:
    books = Books()
    for model, state in (
        ("tiny", State.FINISHED),
        ("tiny", State.CLIENT_LEFT),
        ("large", State.FAULTED),
    ):
        one = record(model=model, tokens=2)
        books.open(one)
        books.close(one, state)
    books.add_finished(record(model="large", tokens=1))
    totals = books.totals()
    assert (totals.requests, totals.finished, totals.aborted) == (4, 2, 2)
    assert (totals.prompt_tokens, totals.completion_tokens) == (20, 7)
    assert totals.by_model == {"tiny": Counts(2, 1, 1, 10, 4), "large": Counts(2, 1, 1, 10, 3)}


def test_a_record_closed_twice_counts_once() -> None:
    books = Books()
    one = record()
    books.open(one)
    books.close(one, State.FINISHED)
    books.close(one, State.FINISHED)
    assert books.totals().requests == 1


def test_records_are_bounded_and_totals_are_not() -> None:
    books = Books(max_records=2)
    for name in ("a", "b", "c"):
        books.add_finished(record(name))
    assert [shown["request_id"] for shown in books.records()] == ["b", "c"]
    assert books.totals().requests == 3


def test_records_are_found_by_request_id() -> None:
    books = Books()
    for name in ("a", "b", "a", None):
        books.add_finished(record(name))
    assert [shown["request_id"] for shown in books.records("a")] == ["a", "a"]
    assert books.records("z") == []


def test_a_record_shows_header_names_and_credentials_only_where_they_are_kept() -> None:
    one = Record("a", "tiny", 5, (b"Host", b"X-Api-Key"), authorization="Bearer k")
    shown = one.shown(credentials=False)
    assert shown == {
        "request_id": "a",
        "model": "tiny",
        "prompt_tokens": 5,
        "completion_tokens": 0,
        "state": "running",
        "headers_seen": ["host", "x-api-key"],
    }
    assert one.shown(credentials=True) == shown | {"authorization": "Bearer k"}


def test_a_reset_forgets_also_what_is_still_running() -> None:
    books = Books()
    running = record()
    books.open(running)
    books.add_finished(record())
    books.refused = 2
    books.reset()
    books.close(running, State.FINISHED)
    assert books.totals() == Totals()
    assert books.records() == []


def test_what_a_dialect_counts_besides_is_shown_and_reasoning_is_bounded_by_what_is_out() -> None:
    record = Record("a", "tiny", prompt_tokens=5, completion_tokens=2, more={"reasoning_tokens": 9, "images": 1})
    shown = record.shown(credentials=False)
    assert (shown["reasoning_tokens"], shown["images"]) == (2, 1)
