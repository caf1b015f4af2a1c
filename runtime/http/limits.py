"""What one client may take of a server."""

from dataclasses import dataclass

from runtime.addresses import Network


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bytes and seconds. Request line and headers together are `max_header_bytes` at most; a body counts unpacked."""

    max_header_bytes: int = 16 << 10
    max_body_bytes: int = 32 << 20
    # Idle connections; nginx's default.
    keep_alive_s: float = 75.0
    # From a request's first byte to the end of its head; nginx's default.
    head_s: float = 60.0
    # After an answer that did not wait for the whole request the client is heard out for a while: closing with bytes
    # unread would reset the connection, and the answer could be lost with it.
    linger_s: float = 10.0
    # Read before their turn has come. Who pipelines more gets answers to these, and then a connection that closes.
    max_pipelined: int = 32
    # Open at a time; one more is told so, and closed. Each is a file descriptor and up to 64 KiB read ahead.
    max_connections: int = 10_000
    # The same of one address, or of one /64 of IPv6; None: as many as there are in all.
    max_connections_per_address: int | None = None
    # To these that does not apply: proxies in front, which come for many.
    exempt: tuple[Network, ...] = ()
