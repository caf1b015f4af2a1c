"""Where the page is served."""

from typing import Any, cast

import pytest

from proxy.metrics_api import with_metrics
from runtime.settings import AdminListen, Listen

PAGE: Any = type("Page", (), {"show": None})()
PUBLIC: Any = {("GET", "/healthz"): None, ("POST", "/v1/chat/completions"): None}
ADMIN: Any = {("GET", "/healthz"): None}
METRICS = ("GET", "/metrics")


@pytest.mark.parametrize(("admin", "is_public"), [(None, True), (AdminListen(port=8081), False)])
def test_the_administrators_port_has_it_and_the_public_one_only_where_there_is_no_other(
    admin: AdminListen | None, is_public: bool
) -> None:
    public, administrators = with_metrics(PAGE, Listen(admin=admin), PUBLIC, ADMIN)
    assert (METRICS in public, METRICS in administrators) == (is_public, True)
    assert cast(Any, PUBLIC).keys() <= public.keys()
    assert METRICS not in PUBLIC
