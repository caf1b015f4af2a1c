import orjson
import pytest

from runtime.simulator import routes
from runtime.simulator.errors import Refused
from runtime.simulator.reading import Request
from runtime.simulator.settings import SimulatorSettings
from runtime.simulator.totals import Books, Record

SETTINGS = SimulatorSettings(models=("tiny", "large"))
WITH_KEY = SimulatorSettings(api_key="secret")


def request(target: bytes, method: bytes = b"GET", authorization: bytes | None = None) -> Request:
    headers = {} if authorization is None else {b"Authorization": authorization}
    return Request(method, target, headers, b"", False, True)


def body_of(target: bytes, books: Books | None = None, method: bytes = b"GET") -> object:
    data = routes.answer(request(target, method), SETTINGS, books or Books())
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    return orjson.loads(data.partition(b"\r\n\r\n")[2])


def test_models_are_listed() -> None:
    listed = body_of(b"/v1/models")
    assert isinstance(listed, dict)
    assert [model["id"] for model in listed["data"]] == ["tiny", "large"]


def test_it_says_that_it_lives() -> None:
    assert body_of(b"/healthz") == {"status": "ok"}


def test_the_books_are_shown_filtered_and_reset() -> None:
    books = Books()
    for name in ("a b", "c"):
        books.add_finished(Record(name, "tiny", prompt_tokens=5, completion_tokens=2))
    totals = body_of(b"/simulator/totals", books)
    assert isinstance(totals, dict)
    assert totals["completion_tokens"] == 4
    assert totals["by_model"]["tiny"]["requests"] == 2
    shown = body_of(b"/simulator/requests?request_id=a%20b", books)
    assert isinstance(shown, list)
    assert [record["request_id"] for record in shown] == ["a b"]
    assert body_of(b"/simulator/requests", books, b"DELETE") == {"reset": True}
    assert body_of(b"/simulator/requests", books) == []


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        (b"GET", b"/", 404),
        (b"GET", b"/v1/embeddings", 404),
        (b"GET", b"/v1/chat/completions", 405),
        (b"HEAD", b"/healthz", 405),
        (b"DELETE", b"/simulator/totals", 405),
    ],
)
def test_other_routes_and_methods_are_refused(method: bytes, target: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        routes.answer(request(target, method), SETTINGS, Books())
    assert caught.value.status == status


@pytest.mark.parametrize("given", [None, b"Bearer wrong", b"secret", b"Bearer secret "])
def test_without_the_right_key_the_models_are_refused(given: bytes | None) -> None:
    with pytest.raises(Refused) as caught:
        routes.answer(request(b"/v1/models", authorization=given), WITH_KEY, Books())
    assert caught.value.status == 401


def test_the_right_key_is_let_in_and_health_needs_none() -> None:
    routes.check_key(request(b"/v1/models", authorization=b"Bearer secret"), WITH_KEY)
    assert b"200 OK" in routes.answer(request(b"/healthz"), WITH_KEY, Books())
