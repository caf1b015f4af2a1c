"""Where a request goes and what its first bytes are. Pure: text in, bytes out.

This is the last gate before the wire: whatever could smuggle a second request or a second length past the
server is refused here, not cleaned up.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address
from operator import itemgetter
from string import ascii_letters, digits
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_PORT = 65_535

# We alone frame the message (RFC 9112, section 6). A caller's Content-Length or Transfer-Encoding beside ours is
# request smuggling; an Upgrade would end HTTP on a connection that others use after us.
FRAMING_HEADERS = frozenset({b"host", b"content-length", b"connection", b"transfer-encoding", b"upgrade"})
# A route or two for each of as many servers as anybody has.
_MAX_FIRST_LINES = 1024
# So many sets of header names are known at most, none longer than this.
_KNOWN_SETS_OF_NAMES = 512
_MAX_KNOWN_NAMES = 64
_MAX_KNOWN_NAME_BYTES = 1024
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_METHODS_UNKNOWN = frozenset({"HEAD", "CONNECT"})  # their responses are framed by other rules; nobody needs them here

_TOKEN_BYTES = b"!#$%&'*+-.^_`|~" + (ascii_letters + digits).encode()  # RFC 9110, section 5.6.2
_METHOD = re.compile(r"[A-Z]+")
_TARGET = re.compile(r"/[!\"$-~]*")  # visible ASCII without the fragment's '#'
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?")  # '_' because container names have it


@dataclass(frozen=True, slots=True)
class ForwardProxy:
    """An HTTP proxy between us and the server. `authorization`: the value of its header, where it wants one."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Origin:
    """An LLM server: where to connect, and the path prefix under which its API lives (`/v1`, or nothing).

    `query` follows every path (Azure's `api-version=…`). `proxy` and `unix_socket` are other ways to get there.
    """

    scheme: str
    host: str
    port: int
    base_path: str = ""
    query: str = field(default="", repr=False)
    proxy: ForwardProxy | None = None
    unix_socket: str | None = None
    authority: str = field(init=False, compare=False)
    before_path: str = field(init=False, compare=False, repr=False)
    after_path: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """`authority` is the value of the Host header: the port only where it is not the scheme's own.

        A proxy is told the whole address of a plain request (RFC 9112, section 3.2.2); a TLS connection goes through it
        as through a pipe. `before_path` and `after_path` are what the first lines have there.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        authority = host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"
        object.__setattr__(self, "authority", authority)
        is_told = self.proxy is not None and self.scheme == "http"
        object.__setattr__(self, "before_path", f"http://{authority}" if is_told else "")
        asks = f"?{self.query}" if self.query else ""
        object.__setattr__(self, "after_path", f"{asks} HTTP/1.1\r\nhost: {authority}{self._proxy_header(is_told)}")

    def _proxy_header(self, is_told: bool) -> str:
        if not is_told or self.proxy is None or self.proxy.authorization is None:
            return ""
        return f"\r\nproxy-authorization: {self.proxy.authorization}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


class UpstreamRequest(Struct, frozen=True):
    """One request: `path` is joined to the origin's base path, unless it `is_rooted`; Host, Connection and
    Content-Length are ours to set.
    """

    method: str
    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    is_rooted: bool = False


def parse_origin(url: str) -> Origin:
    """The origin a configured URL names. Raises ValueError, which never repeats the URL: it may hold a secret."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("an upstream URL must be printable ASCII without spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"an upstream URL needs a valid host and a port from 1 to {MAX_PORT}") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError("an upstream URL must begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("an upstream URL must not hold credentials: configure the upstream's api_key instead")
    if "#" in url:
        raise ValueError("an upstream URL must not have a fragment")
    if port == 0:
        raise ValueError(f"an upstream URL needs a port from 1 to {MAX_PORT}")
    default_port = DEFAULT_PORTS[parts.scheme]
    return Origin(parts.scheme, _host_of(parts), port or default_port, _base_path_of(parts), parts.query)


def _host_of(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if parts.netloc.startswith("[") and "%" not in host:  # a zone has no meaning in a Host header
        return str(IPv6Address(host))
    if not _HOST.fullmatch(host):
        raise ValueError("an upstream URL needs a host: a name, an IPv4 address or an IPv6 address in brackets")
    return host


def _base_path_of(parts: SplitResult) -> str:
    path = parts.path.rstrip("/")
    if path and not _TARGET.fullmatch(path):
        raise ValueError("the path of an upstream URL has characters a path cannot have")
    return path


def encode_head(request: UpstreamRequest, origin: Origin) -> bytes:
    """Request line and headers as they go on the wire. Raises ValueError for anything that could split the message."""
    base_path = "" if request.is_rooted else origin.base_path
    first = _first_lines(request.method, origin.before_path + base_path, request.path, origin.after_path)
    _refuse_injection(request.headers)
    lines = list(map(b": ".join, request.headers))
    if request.body or request.method in _METHODS_WITH_BODY:
        lines.append(b"content-length: %d" % len(request.body))
    lines += (b"", b"")  # the end of the last one, and a blank one
    return first + b"\r\n".join(lines)


@lru_cache(maxsize=_MAX_FIRST_LINES)
def _first_lines(method: str, before_path: str, path: str, after_path: str) -> bytes:
    if not _METHOD.fullmatch(method) or method in _METHODS_UNKNOWN:
        raise ValueError("the method must be upper-case letters, and neither HEAD nor CONNECT")
    if not _TARGET.fullmatch(path):
        raise ValueError("the path must begin with '/' and hold only visible ASCII, without '#'")
    if "?" in path and after_path.startswith("?"):
        after_path = f"&{after_path[1:]}"
    return f"{method} {before_path}{path}{after_path}\r\nconnection: keep-alive\r\n".encode("ascii")


def _refuse_injection(headers: list[tuple[bytes, bytes]]) -> None:
    names = tuple(map(_name_of, headers))
    is_usual = len(names) <= _MAX_KNOWN_NAMES and sum(map(len, names)) <= _MAX_KNOWN_NAME_BYTES
    (_names_known_to_be_good if is_usual else _refuse_bad_names)(names)
    # All values as one string: half the time of asking header by header (measured with a dozen).
    values = b"".join(map(_value_of, headers))
    if len(values.translate(None, b"\r\n\0")) < len(values):
        raise ValueError("the value of a header holds CR, LF or NUL")


def _refuse_bad_names(names: tuple[bytes, ...]) -> None:
    if not all(names) or b"".join(names).translate(None, _TOKEN_BYTES):
        raise ValueError("a header name is not an HTTP token")
    for name in FRAMING_HEADERS.intersection(map(bytes.lower, names)):
        raise ValueError(f"the header {name.decode('ascii')} is set by the upstream connection itself")


# Who sends the same headers each time is asked once. What is refused is not remembered.
_names_known_to_be_good = lru_cache(_KNOWN_SETS_OF_NAMES)(_refuse_bad_names)
_name_of, _value_of = itemgetter(0), itemgetter(1)
