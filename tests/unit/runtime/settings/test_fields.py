import pytest
from pydantic import ValidationError

from runtime.settings import Upstream


def upstream(**fields: object) -> Upstream:
    return Upstream.model_validate({"url": "http://127.0.0.1:8000/v1", **fields})


@pytest.mark.parametrize("url", ["http://h/v1/", "https://h:8443", "http://[::1]:8000/v1"])
def test_an_upstreams_address_has_no_slash_at_its_end(url: str) -> None:
    assert upstream(url=url).url == url.rstrip("/")


def test_an_upstreams_address_may_have_a_query() -> None:
    assert upstream(url="https://h/openai/?api-version=1&b").url == "https://h/openai?api-version=1&b"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h:8000",
        "ftp://h",
        "http://",
        "http://u:p@h",
        "http://u@h",
        "http://h?",
        "http://h?a=ö",
        "http://h?a#b",
        "http://h#a",
        "http://[::1",
    ],
)
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        upstream(url=url)
