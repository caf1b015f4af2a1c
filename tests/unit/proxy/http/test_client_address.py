"""Where a request comes from: believed as far as whoever says so is trusted, and no further."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.client_address import client_address
from runtime.addresses import is_within, read_address, read_network

TRUSTED = (read_network("10.0.0.0/8"), read_network("2001:db8::/32"))
PROXY, CLIENT = "10.0.0.1", "192.0.2.7"


def is_trusted(text: str) -> bool:
    address = read_address(text)
    return address is not None and is_within(address, TRUSTED)


ours = st.ip_addresses(v=4, network="10.0.0.0/8").map(str)
outside = st.ip_addresses().map(str).filter(lambda text: not is_trusted(text))
written = st.one_of(st.ip_addresses().map(str), st.text(max_size=40), st.just("unknown"))


def headers(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"X-Forwarded-For", value.encode("latin-1", "replace")) for value in values]


def address(peer: str | None, *values: str) -> str | None:
    return client_address(peer, headers(*values), TRUSTED)


@given(st.none() | written, st.lists(written))
def test_without_trusted_proxies_the_peer_is_the_client(peer: str | None, entries: list[str]) -> None:
    assert client_address(peer, headers(",".join(entries)), ()) == peer


@given(outside, st.lists(written))
def test_whoever_is_no_trusted_proxy_is_the_client_whatever_they_say(peer: str, entries: list[str]) -> None:
    assert address(peer, ",".join(entries)) == peer


@given(st.lists(written), outside, st.lists(ours, max_size=5), ours)
def test_what_a_client_forges_stands_to_the_left_of_what_is_true(
    forged: list[str], client: str, proxies: list[str], peer: str
) -> None:
    """The first trusted proxy adds the address that it was called from; the others add the one before them."""
    assert address(peer, ", ".join([*forged, client, *proxies])) == client


@given(st.lists(written), st.sampled_from(["unknown", "", "10.0.0", "_secret", "256.1.1.1"]), ours)
def test_before_an_entry_that_is_no_address_nothing_is_believed(forged: list[str], broken: str, peer: str) -> None:
    assert address(peer, ",".join([*forged, CLIENT, broken])) == peer
    assert address(peer, ",".join([*forged, CLIENT, broken, "10.7.7.7"])) == "10.7.7.7"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], PROXY),
        ([CLIENT], CLIENT),
        (["1.1.1.1", CLIENT], CLIENT),
        (["1.1.1.1, 10.9.9.9", f"{CLIENT}, 10.0.0.2"], CLIENT),
        ([f"{CLIENT}:4711"], CLIENT),
        (["[2001:4860::8]:443"], "2001:4860::8"),
        (["2001:4860::8"], "2001:4860::8"),
        (["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
        (["::ffff:10.0.0.2"], "::ffff:10.0.0.2"),
        ([f"{CLIENT}, ::ffff:10.0.0.2"], CLIENT),
        ([","], PROXY),
        (["[" * 2000], PROXY),
        ([CLIENT + ", 10.0.0.2" * 31], CLIENT),
        ([CLIENT + ", 10.0.0.2" * 3000], "10.0.0.2"),
    ],
)
def test_the_first_from_the_right_that_is_not_ours(values: list[str], expected: str) -> None:
    assert address(PROXY, *values) == expected


def test_who_is_not_known_is_not_trusted() -> None:
    assert address(None, CLIENT) is None
