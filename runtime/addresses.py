"""IP addresses and networks as they are meant, however they are written."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

# The same few clients come again and again, and reading an address takes microseconds.
_ADDRESSES_KEPT = 10_000
# The longest way to write IPv6 has 45; a zone's name may follow.
_LONGEST_ADDRESS_CHARS = 64
# ::ffff:0:0/96 are the IPv4 addresses.
_MAPPED_BITS = 96
# What a provider gives to one customer, at least (RFC 6177).
_ONE_SITE_BITS = 64
_IPV6 = 6


def read_address(text: str) -> Address | None:
    """An address; IPv4 written as IPv6 (`::ffff:192.0.2.1`) is IPv4. None: it is none."""
    return _read_address(text) if len(text) <= _LONGEST_ADDRESS_CHARS else None


@lru_cache(_ADDRESSES_KEPT)
def _read_address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def read_network(text: str) -> Network:
    """A network (`192.0.2.0/24`), or one address; IPv4 written as IPv6 is IPv4. Raises ValueError."""
    network = ip_network(text)
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


@lru_cache(_ADDRESSES_KEPT)
def neighbourhood(text: str) -> str:
    """Who counts as one where addresses are limited: an IPv4 address, or a network of IPv6, of which anybody has 2^64.

    What is no address stands for itself, cut: of a text somebody made up no more is remembered.
    """
    address = read_address(text)
    if address is None:
        return text[:_LONGEST_ADDRESS_CHARS]
    return str(IPv6Network((int(address), _ONE_SITE_BITS), strict=False)) if address.version == _IPV6 else str(address)
