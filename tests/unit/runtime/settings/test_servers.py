"""Where this process listens, whom it believes there, and where it keeps what Redis cannot take."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from runtime.settings import Listen, RedisServer, SpoolFolder


@pytest.mark.parametrize(
    ("given", "networks"),
    [
        ([], []),
        (["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"], ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"]),
        (["::ffff:10.0.0.0/104"], ["10.0.0.0/8"]),
        ("10.0.0.0/8, 192.0.2.7", ["10.0.0.0/8", "192.0.2.7/32"]),
        ("", []),
    ],
)
def test_trusted_proxies_are_networks_or_addresses(given: object, networks: list[str]) -> None:
    assert list(map(str, Listen.model_validate({"trusted_proxies": given}).trusted_proxies)) == networks


@pytest.mark.parametrize("given", [["10.0.0.1/8"], ["localhost"], [None], 7, {"a": 1}, ["10.0.0.0/8"] * 201])
def test_what_is_no_network_is_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        Listen.model_validate({"trusted_proxies": given})


def test_the_spool_is_where_the_process_was_started_unless_said() -> None:
    assert (SpoolFolder().dir, SpoolFolder().max_bytes) == (Path("spool"), 268_435_456)
    assert SpoolFolder.model_validate({"dir": "/var/lib/farebox/spool"}).dir == Path("/var/lib/farebox/spool")


@pytest.mark.parametrize("max_bytes", [0, 1024, 1 << 40, "much"])
def test_a_bound_that_is_none_is_refused(max_bytes: object) -> None:
    with pytest.raises(ValidationError):
        SpoolFolder.model_validate({"max_bytes": max_bytes})


@pytest.mark.parametrize("given", [["10.0.0.7:6379", "[2001:db8::1]:7000"], "10.0.0.7:6379, [2001:db8::1]:7000"])
def test_a_cluster_has_nodes_to_begin_with(given: object) -> None:
    server = RedisServer.model_validate({"url": "rediss://h", "cluster": True, "nodes": given, "shards": 12})
    assert server.nodes == (("10.0.0.7", 6379), ("2001:db8::1", 7000))
    assert RedisServer.model_validate({"url": "redis://h/0", "cluster": True}).nodes == ()


@pytest.mark.parametrize(
    "given",
    [
        {"nodes": ["h:1"]},
        {"cluster": True, "url": "unix:///redis.sock"},
        {"cluster": True, "url": "redis://h/3"},
        *({"cluster": True, "nodes": [node]} for node in ("h", ":1", "h:", "h:x", "h:0", "h:70000")),
        {"cluster": True, "nodes": 7},
        {"shards": 0},
        {"shards": 257},
    ],
)
def test_what_cannot_be_a_cluster_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RedisServer.model_validate({"url": "redis://h"} | given)


@pytest.mark.parametrize("origin", ["*", "https://app.example.com", "http://localhost:3000", "https://[::1]:8443"])
def test_an_origin_is_written_as_browsers_do(origin: str) -> None:
    assert Listen.model_validate({"cors_origins": [origin]}).cors_origins == (origin,)
    assert Listen.model_validate({"cors_origins": origin}).cors_origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    ["", "app.example.com", "https://app.example.com/", "https://App.example.com", "https://*.example.com/a", "null",
     "https://user@app.example.com", "file:///x", "https://", "https://a?b"],
)  # fmt: skip
def test_what_no_browser_would_send_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError, match="must be an origin"):
        Listen.model_validate({"cors_origins": [origin]})
