"""The table of paths: an exact path costs one look-up in a dictionary; `/v1/models/{id}` is tried after those.
Paths are compared as they are written: `/v1%2Fmodels` is another one.

`{name}` may only end a path and takes all that remains of it, decoded, slashes too: models are called `org/model`. It
is handed to the handler as its second argument.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote

from runtime.http.request import Handler, Reply, Request

# Those of open paths take the value too.
Table = Mapping[tuple[str, str], Callable[..., Awaitable[Reply]]]

_LONGEST_VALUE_CHARS = 512


class Routes:
    """Which handler answers; None: there is nothing at that path."""

    def __init__(self, table: Table) -> None:
        self._exact: dict[tuple[str, str], Handler] = {}
        self._open: list[tuple[str, str, Callable[..., Any]]] = []
        for (method, path), handler in table.items():
            start, brace, _ = path.partition("{")
            if brace:
                self._open.append((method, start, handler))
            else:
                self._exact[method, path] = handler

    def find(self, method: str, path: str) -> Handler | None:
        return self._exact.get((method, path)) or self._find_open(method, path)

    def _find_open(self, method: str, path: str) -> Handler | None:
        for wanted, start, handler in self._open:
            value = path[len(start) :]
            if method == wanted and path.startswith(start) and 0 < len(value) <= _LONGEST_VALUE_CHARS:
                return partial(_call, handler, unquote(value))
        return None


def _call(handler: Callable[..., Awaitable[Reply]], value: str, request: Request) -> Awaitable[Reply]:
    return handler(request, value)
