"""Where a request comes from, through the reverse proxies in front of this one. Pure.

Anybody can write `X-Forwarded-For`, and every proxy adds at its right end the address that it was called from. So it is
read from the right, and each entry is believed as far as the one who wrote it is trusted (`listen.trusted_proxies`).
"""

from collections.abc import Iterable, Sequence

from runtime.addresses import Network, is_within, read_address

# More proxies of one's own in a row there are not; the rest of a long header is not looked at.
_MOST_PROXIES = 32


def client_address(
    peer: str | None, raw_headers: Iterable[tuple[bytes, bytes]], trusted: Sequence[Network]
) -> str | None:
    """The client's address: the first one from the right that is no trusted proxy's. `peer` is who is connected.

    What comes before an entry that is no address is not believed either: the address is then the one of the trusted
    proxy that passed it on.
    """
    address = peer
    if not trusted:
        return address
    for entry in _from_the_right(raw_headers):
        if not _is_trusted(address, trusted):
            return address
        written = _without_port(entry)
        if read_address(written) is None:
            return address
        address = written
    return address


def _is_trusted(address: str | None, trusted: Sequence[Network]) -> bool:
    read = None if address is None else read_address(address)
    return read is not None and is_within(read, trusted)


def _from_the_right(raw_headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """Of several headers, the later ones stand to the right."""
    values = [value for name, value in raw_headers if name.lower() == b"x-forwarded-for"]
    entries = b",".join(values).decode("latin-1").rsplit(",", _MOST_PROXIES)[-_MOST_PROXIES:] if values else []
    return [entry.strip() for entry in reversed(entries)]


def _without_port(entry: str) -> str:
    """Some proxies write `192.0.2.1:4711` or `[2001:db8::1]:4711`."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    host, colon, port = entry.partition(":")
    return host if colon and port.isdigit() else entry
