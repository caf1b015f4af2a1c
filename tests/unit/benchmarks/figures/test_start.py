"""Asking a server whether it is ready."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from benchmarks.figures.start import says_ready, until_ready
from benchmarks.stack import free_port


@contextmanager
def server(*answers: int) -> Iterator[str]:
    """Answers with these, one after the other, the last one over and over."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_port}"
        finally:
            made.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "told"), [(200, True), (503, False)])
def test_only_a_200_is_ready(status: int, told: bool) -> None:
    with server(status) as url:
        assert says_ready(url) is told


def test_where_nobody_listens_nobody_is_ready() -> None:
    assert not says_ready(f"http://127.0.0.1:{free_port()}")


async def test_it_is_asked_until_it_is() -> None:
    with server(503, 503, 200, 503) as url:
        await until_ready(url)
        assert not says_ready(url), "it was asked no more often than that"
