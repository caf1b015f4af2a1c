"""Which HTTP proxy the environment names for a server. Pure: the environment is handed in.

As curl, Python's requests and Go read it: HTTPS_PROXY or HTTP_PROXY by the server's scheme, else ALL_PROXY, in small
letters first; NO_PROXY has names (which stand for all below them), addresses, networks and `*`, each also with a port.
What is on this machine is never asked for at another one.
"""

import base64
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from proxy.upstream.request import ForwardProxy, Origin

_DEFAULT_PORT = 80


def proxy_for(origin: Origin, environ: Mapping[str, str]) -> ForwardProxy | None:
    """None: straight there. Raises ValueError for a proxy that is not an `http://` one; never repeats its address."""
    if origin.unix_socket is not None or _is_here(origin.host):
        return None
    named = _of(environ, f"{origin.scheme}_proxy") or _of(environ, "all_proxy")
    if not named or any(_covers(entry, origin) for entry in _of(environ, "no_proxy").split(",")):
        return None
    return read_proxy(named)


def read_proxy(address: str) -> ForwardProxy:
    """`http://user:password@host:port`, or the same without the scheme. Raises ValueError, which does not repeat it."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("the proxy that the environment names is no address") from None
    if parts.scheme != "http" or not host or not host.isascii():
        raise ValueError("the proxy that the environment names must be an http:// one")
    return ForwardProxy(host, port or _DEFAULT_PORT, _authorization(parts.username, parts.password))


def _authorization(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _of(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper(), "")


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def _covers(entry: str, origin: Origin) -> bool:
    entry = entry.strip().lower()
    if not entry:
        return False
    if entry == "*":
        return True
    name, port = _split_port(entry)
    if port and port != str(origin.port):
        return False
    try:
        return ip_address(origin.host) in ip_network(name, strict=False)
    except ValueError:  # one of them is a name
        host, name = origin.host.lower().rstrip("."), name.removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))


def _split_port(entry: str) -> tuple[str, str]:
    """`host:8080`, `[::1]:8080`, `::1`: an address written as IPv6 has colons of its own."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, rest.removeprefix(":")
    name, colon, port = entry.rpartition(":")
    return (name, port) if colon and ":" not in name and port.isdecimal() else (entry, "")
