"""Which proxy the environment names, as curl and Go read it."""

import pytest

from proxy.upstream.proxies import proxy_for, read_proxy
from proxy.upstream.request import ForwardProxy, Origin, parse_origin

PROXY = ForwardProxy("proxy", 3128)
BOTH = {"HTTP_PROXY": "http://proxy:3128", "HTTPS_PROXY": "http://secure:3129"}


@pytest.mark.parametrize(
    ("url", "environ", "host"),
    [
        ("http://llm", BOTH, "proxy"),
        ("https://llm", BOTH, "secure"),
        ("https://llm", {"HTTP_PROXY": "http://proxy"}, None),
        ("https://llm", {"ALL_PROXY": "proxy:1"}, "proxy"),
        ("http://llm", {"http_proxy": "small:1", "HTTP_PROXY": "large:1"}, "small"),
        ("http://llm", {}, None),
        ("http://llm", {"HTTP_PROXY": ""}, None),
        ("http://localhost:8000", BOTH, None),
        ("http://127.0.0.1:8000", BOTH, None),
        ("https://[::1]", BOTH, None),
    ],
)
def test_by_the_scheme_and_never_for_this_machine(url: str, environ: dict[str, str], host: str | None) -> None:
    found = proxy_for(parse_origin(url), environ)
    assert (found.host if found is not None else None) == host


@pytest.mark.parametrize(
    ("url", "no_proxy", "is_direct"),
    [
        ("http://llm.example.com", "example.com", True),
        ("http://llm.example.com", ".example.com", True),
        ("http://llm.example.com", "*.example.com", True),
        ("http://example.com", ".example.com", True),
        ("http://notexample.com", "example.com", False),
        ("http://LLM.Example.com", "other, EXAMPLE.com ", True),
        ("http://llm.example.com:8000", "example.com:8000", True),
        ("http://llm.example.com:8001", "example.com:8000", False),
        ("http://llm", "*", True),
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://10.1.2.3", "10.1.2.3", True),
        ("http://11.1.2.3", "10.0.0.0/8", False),
        ("http://[fd00::1]:8000", "fd00::/8", True),
        ("http://[fd00::1]:8000", "[fd00::1]:8000", True),
        ("http://[fd00::1]:8001", "[fd00::1]:8000", False),
        ("http://llm", ", ,.,", False),
        ("http://llm", "10.0.0.0/8", False),
    ],
)
def test_what_no_proxy_covers(url: str, no_proxy: str, is_direct: bool) -> None:
    assert (proxy_for(parse_origin(url), BOTH | {"NO_PROXY": no_proxy}) is None) is is_direct


def test_nobody_is_asked_for_a_unix_socket() -> None:
    assert proxy_for(Origin("http", "llm", 80, unix_socket="/run/llm.sock"), BOTH) is None


def test_user_and_password() -> None:
    assert read_proxy("http://proxy:3128") == PROXY
    assert read_proxy("proxy") == ForwardProxy("proxy", 80)
    assert read_proxy("http://us%40er:p%3Aw@proxy") == ForwardProxy("proxy", 80, "Basic dXNAZXI6cDp3")


@pytest.mark.parametrize("address", ["socks5://hunter2", "https://hunter2", "http://", "http://hunter2:x", "http://["])
def test_what_is_no_http_proxy_is_refused_without_being_repeated(address: str) -> None:
    with pytest.raises(ValueError, match="the proxy that the environment names") as refusal:
        read_proxy(address)
    assert "hunter2" not in str(refusal.value)
