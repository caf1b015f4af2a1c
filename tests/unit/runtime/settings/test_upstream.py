"""What an operator says of an LLM server."""

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from metering.kinds import KINDS, OnClientLeft
from proxy.upstream.attempts import Failover
from runtime.settings.upstream import Failover as FailoverSetting
from runtime.settings.upstream import ModelAdditions, Upstream, UpstreamKind
from runtime.settings.upstream import OnClientLeft as OnClientLeftSetting


def test_every_kind_can_be_configured_and_is_known() -> None:
    """The room of settings stands below the one of metering, so what it names is described elsewhere."""
    assert get_args(UpstreamKind) == tuple(KINDS)
    assert set(get_args(OnClientLeftSetting)) == {each.value for each in OnClientLeft} | {"default"}


def upstream(**fields: Any) -> Upstream:
    return Upstream.model_validate({"url": "http://h/v1"} | fields)


def refusal(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        upstream(**fields)
    (error,) = caught.value.errors()
    return str(error["msg"]).removeprefix("Value error, ")


def test_every_failover_and_header_is_known_where_it_is_acted_upon() -> None:
    assert get_args(FailoverSetting) == tuple(each.value for each in Failover)


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        ({"Host": "x"}, "must not set host"),
        ({"Transfer-Encoding": "x"}, "must not set transfer-encoding"),
        ({"a b": "x"}, "must be names and values that a header can have, in ASCII"),
        ({"": "x"}, "must be names and values that a header can have, in ASCII"),
        ({"a": "x\r\nb: y"}, "must be names and values that a header can have, in ASCII"),
        ({"a": "ö"}, "must be names and values that a header can have, in ASCII"),
        ({"a": "1", "A": "2"}, "must not name a header twice"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused(headers: dict[str, str], complaint: str) -> None:
    assert refusal(headers=headers) == complaint


def test_headers_may_be_secrets() -> None:
    assert "hunter2" not in repr(upstream(headers={"x-token": "hunter2"}))


def test_tls_is_for_https_and_a_certificate_has_its_key() -> None:
    assert refusal(tls={"ca_file": "/ca.pem"}) == "tls is for an https:// address"
    assert refusal(url="https://h", tls={"cert_file": "/c.pem"}) == "cert_file and key_file go together"
    assert upstream(url="HTTPS://h", tls={"ca_file": "/ca.pem"}).is_tls and not upstream().is_tls


@pytest.mark.parametrize("field", ["model", "stream", "Stream", "stream_options"])
def test_what_farebox_decides_by_cannot_be_added(field: str) -> None:
    with pytest.raises(ValidationError, match=f"must not set {field.lower()}"):
        ModelAdditions.model_validate({"name": "tiny", "body": {field: None}})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight", 0),
        ("weight", 1001),
        ("max_waiting", -1),
        ("context_tokens", 0),
        ("max_drains", -1),
        ("drain_timeout_s", 0),
    ],
)
def test_bounds(name: str, value: int) -> None:
    with pytest.raises(ValidationError):
        Upstream.model_validate({"url": "http://h/v1", name: value})
