"""Opening a connection to an LLM server: TCP, TLS, a Unix socket, or through an HTTP proxy.

A name is looked up anew for every connection, and connections are closed at an age (`PoolLimits.max_age_s`): servers
that move are followed. Where a name has several addresses they are taken in turn, so that the connections to a
headless Kubernetes service spread over its pods.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from proxy.upstream.request import ForwardProxy, Origin

Factory = Callable[[], asyncio.Protocol]
# A family, and what the socket module takes for an address of it.
_Address = tuple[int, Any]

# A name may have hundreds; the timeout of a connection is shared by those that are tried.
MAX_ADDRESSES = 4
# What a proxy says before the tunnel stands: a status line and some headers.
_MAX_PROXY_HEAD_BYTES = 16_384


class Dialer:
    """Connects to one server; call it with a protocol factory. Raises OSError (TLS's errors are such).

    `server_name`: the name that the certificate must have, where it is not the host's.
    """

    def __init__(self, connect_s: float, server_name: str | None = None) -> None:
        self._connect_s = connect_s
        self._server_name = server_name
        self._turn = 0
        self._known: list[_Address] = []

    async def __call__(self, factory: Factory, origin: Origin, tls: ssl.SSLContext | None) -> None:
        found = await self._open(origin, tls is not None)
        try:
            loop = asyncio.get_running_loop()
            name = (self._server_name or origin.host) if tls is not None else None
            if origin.unix_socket is not None:
                await loop.create_unix_connection(factory, sock=found, ssl=tls, server_hostname=name)
            else:
                await loop.create_connection(factory, sock=found, ssl=tls, server_hostname=name)
        except BaseException:
            found.close()
            raise

    async def _open(self, origin: Origin, is_tls: bool) -> socket.socket:
        if origin.unix_socket is not None:
            return await _connected(socket.AF_UNIX, origin.unix_socket)
        if origin.proxy is None:
            return await self._connected_in_turn(origin.host, origin.port)
        found = await self._connected_in_turn(origin.proxy.host, origin.proxy.port)
        if is_tls:
            try:
                await _tunnel(found, origin.proxy, origin)
            except BaseException:
                found.close()
                raise
        return found

    async def _connected_in_turn(self, host: str, port: int) -> socket.socket:
        """To the next address of the name that takes a connection; none may use up the others' time."""
        addresses = await self._addresses(host, port)
        *others, last = addresses
        for family, address in others:
            try:
                async with asyncio.timeout(self._connect_s / len(addresses)):
                    return await _connected(family, address)
            except (OSError, TimeoutError):
                continue
        return await _connected(*last)

    async def _addresses(self, host: str, port: int) -> list[_Address]:
        if (literal := _literal(host, port)) is not None:
            return [literal]
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self._known = [(family, address) for family, _, _, _, address in found]
        except OSError:
            # the name service is away: where the server was is better than nowhere
            if not self._known:
                raise
        self._turn = (self._turn + 1) % len(self._known)
        return (self._known[self._turn :] + self._known[: self._turn])[:MAX_ADDRESSES]


def _literal(host: str, port: int) -> _Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return (socket.AF_INET6, (host, port, 0, 0)) if address.version == 6 else (socket.AF_INET, (host, port))


async def _connected(family: int, address: Any) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        if family != socket.AF_UNIX:
            # a request is written at once, and small ones must not wait for an acknowledgement
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made


async def _tunnel(found: socket.socket, proxy: ForwardProxy, origin: Origin) -> None:
    """Ask the proxy for a pipe to the server. Nothing is read beyond its answer: in TLS the client speaks first."""
    loop = asyncio.get_running_loop()
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    target = f"{host}:{origin.port}"
    head = f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n"
    if proxy.authorization is not None:
        head += f"proxy-authorization: {proxy.authorization}\r\n"
    await loop.sock_sendall(found, f"{head}\r\n".encode("ascii"))
    said = b""
    while b"\r\n\r\n" not in said:
        more = await loop.sock_recv(found, 4096)
        said += more
        if not more or len(said) > _MAX_PROXY_HEAD_BYTES:
            raise ConnectionError("the proxy did not answer as one")
    status = said.split(b"\r\n", 1)[0].split(b" ")[1:2]
    if len(status) != 1 or not status[0].startswith(b"2"):
        raise ConnectionError("the proxy refused the connection")
