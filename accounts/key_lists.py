"""What a key may be restricted to: models, routes, addresses; read from what people write.

Whatever is wrong is a ValueError that says which entry and why. A list must name something: null, not an empty list,
is how a restriction is taken away.
"""

import re
from collections.abc import Callable, Hashable
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Any, TypeAlias, TypeVar

Network: TypeAlias = IPv4Network | IPv6Network
Entry = TypeVar("Entry", bound=Hashable)

# Half of what the schema takes (0008_key_policies.sql): a longer list is read at every request of the key.
MAX_ENTRIES = 100
# As long as a model's name may be in ai_pricing.
MAX_MODEL_CHARS = 200
# The schema's bound on a list written in one line.
MAX_LIST_CHARS = 20_000
ANY_ENDING = "*"
MAX_ROUTE_CHARS = 100
# The longest spelling of an IPv6 network.
MAX_NETWORK_CHARS = 49
# The gateway's paths stand under /v1, and some under /api as Ollama's own.
_ROUTE = re.compile(r"/(v1|api)(/[a-z0-9_-]+)+")
# The same route by another name.
_OTHER_BASE = "/api/v1/"
# ip_network() would also take a mask for the length, and any Unicode digits.
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?")
_MAPPED_BITS = 96


def models(given: Any) -> tuple[str, ...]:
    """Names of models; one that ends in `*` stands for all that begin so."""
    return _entries(given, _model)


def routes(given: Any) -> tuple[str, ...]:
    """Paths of the gateway, such as `/v1/chat/completions`; `/api/v1/…` is the same path."""
    return _entries(given, _route)


def networks(given: Any) -> tuple[Network, ...]:
    """Addresses and networks (CIDR) of IPv4 and IPv6. An IPv4 address written as IPv6 (`::ffff:…`) is the IPv4 one."""
    return _entries(given, _network)


def show_network(network: Network) -> str:
    """A network of one address is shown as the address."""
    return str(network.network_address if network.prefixlen == network.max_prefixlen else network)


def _entries(given: Any, parse: Callable[[str], Entry]) -> tuple[Entry, ...]:
    if not isinstance(given, list | tuple):
        raise ValueError("must be a list of strings")
    if not given:
        raise ValueError("must have at least one entry; null takes the restriction away")
    if len(given) > MAX_ENTRIES:
        raise ValueError(f"must have at most {MAX_ENTRIES} entries")
    found: dict[Entry, None] = {}
    for place, entry in enumerate(given, 1):
        try:
            if not isinstance(entry, str):
                raise ValueError("must be a string")
            parsed = parse(entry)
            if parsed in found:
                raise ValueError("is there twice")
        except ValueError as error:
            raise ValueError(f"entry {place} {error}") from None
        found[parsed] = None
    if sum(len(str(entry)) + 1 for entry in found) > MAX_LIST_CHARS:
        raise ValueError(f"must have at most {MAX_LIST_CHARS} characters in all")
    return tuple(found)


def _model(text: str) -> str:
    if not 0 < len(text) <= MAX_MODEL_CHARS:
        raise ValueError(f"must have 1 to {MAX_MODEL_CHARS} characters")
    # neither control characters nor marks that are not seen nor half characters
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be plain text without space around it")
    if ANY_ENDING in text[:-1]:
        raise ValueError(f"may have {ANY_ENDING} only at its end")
    return text


def _route(text: str) -> str:
    path = "/v1/" + text.removeprefix(_OTHER_BASE) if text.startswith(_OTHER_BASE) else text
    if len(path) > MAX_ROUTE_CHARS or not _ROUTE.fullmatch(path):
        raise ValueError("must be a path of the gateway, such as /v1/chat/completions")
    return path


def _network(text: str) -> Network:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("must be an IP address or a network such as 10.0.0.0/8")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("must be an IP address or a network such as 10.0.0.0/8") from None
    address = text.partition("/")[0]
    if ip_network(address).network_address != network.network_address:
        raise ValueError(f"has bits beyond its length: write {network}, or {address} for the one address")
    return _plain(network)


def _plain(network: Network) -> Network:
    if isinstance(network, IPv4Network) or network.prefixlen < _MAPPED_BITS:
        return network
    mapped: IPv4Address | None = network.network_address.ipv4_mapped
    return network if mapped is None else IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
