"""Where the page is served."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.metrics_api import with_metrics
from runtime.settings import AdminListen, Listen

PUBLIC: Any = {("GET", "/healthz"): None, ("POST", "/v1/chat/completions"): None}
ADMIN: Any = {("GET", "/healthz"): None}
METRICS = ("GET", "/metrics")


@pytest.mark.parametrize(
    ("listen", "token", "is_public"),
    [
        (Listen(), None, False),
        (Listen(), "t" * 16, True),
        (Listen(admin_on_public_port=True), None, True),
        (Listen(admin=AdminListen(port=8081)), None, False),
        (Listen(admin=AdminListen(port=8081)), "t" * 16, False),
    ],
)
def test_the_administrators_port_has_it_and_the_public_one_only_if_that_was_chosen_and_there_is_no_other(
    listen: Listen, token: str | None, is_public: bool
) -> None:
    page: Any = SimpleNamespace(show=None, token=token)
    public, administrators = with_metrics(page, listen, PUBLIC, ADMIN)
    assert (METRICS in public, METRICS in administrators) == (is_public, True)
    assert cast(Any, PUBLIC).keys() <= public.keys()
    assert METRICS not in PUBLIC
