"""Addresses as they are meant, however they are written."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.addresses import is_within, read_address, read_network


@given(st.ip_addresses(v=4))
def test_ipv4_written_as_ipv6_is_ipv4(address: IPv4Address) -> None:
    assert read_address(str(address)) == read_address(f"::ffff:{address}") == address
    assert read_network(f"::ffff:{address}/128") == ip_network(f"{address}/32")


@given(st.ip_addresses(v=6))
def test_other_ipv6_is_what_it_is(address: IPv6Address) -> None:
    assert read_address(str(address)) == (address.ipv4_mapped or address)


@pytest.mark.parametrize("text", ["", " 192.0.2.1", "192.0.2.1:80", "192.0.2.01", "unknown", "_hidden", "1" * 100_000])
def test_nothing_is_guessed(text: str) -> None:
    assert read_address(text) is None


@pytest.mark.parametrize("text", ["", "10.0.0.1/8", "10.0.0.0/33", "x", "10.0.0.0/8/8"])
def test_what_is_no_network_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        read_network(text)


def test_a_network_that_is_wider_than_all_of_ipv4_stays_ipv6() -> None:
    assert read_network("::/0").version == 6
    assert read_network("::ffff:0:0/96") == ip_network("0.0.0.0/0")


def test_an_address_is_within_any_of_them() -> None:
    networks = [read_network("10.0.0.0/8"), read_network("2001:db8::/32")]
    assert is_within(ip_address("10.1.2.3"), networks) and is_within(ip_address("2001:db8::1"), networks)
    assert not is_within(ip_address("11.0.0.1"), networks) and not is_within(ip_address("10.1.2.3"), [])
