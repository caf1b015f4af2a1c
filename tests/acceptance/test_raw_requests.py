"""What comes over the wire, byte by byte: how many requests the server takes it for, and how many the upstream got.

Two servers that read the same bytes as different requests are how one client's request becomes another's. So each row
says all that must come back, and of every answer but the last that it leaves the connection open.
"""

import asyncio
import json
import re
from contextlib import suppress
from typing import Any

import pytest

from tests.support.calling import Caller, chat
from tests.support.office import Customer, Office
from tests.support.program import Program

WAIT_S = 20
MAX_HEADER_BYTES = 16 << 10


@pytest.fixture(scope="module")
def sections() -> dict[str, dict[str, Any]]:
    return {"listen": {"max_header_bytes": MAX_HEADER_BYTES}}


@pytest.fixture
def program(module_program: Program) -> Program:
    return module_program


@pytest.fixture
async def customer(office: Office) -> Customer:
    return await office.customer()


# What stands in a row: BODY is a good request's, LENGTH its length, CHUNKS the same as chunks; AUTH the key's header;
# GOOD a whole good request that leaves the connection open, LAST one that closes it.
LINE = "POST /v1/chat/completions HTTP/1.1\r\nhost: f\r\nAUTH\r\n"
SIZED = "content-length: LENGTH\r\n"
CHUNKED = "transfer-encoding: chunked\r\n"
ROWS: dict[str, tuple[str, list[int]]] = {
    # what is one request, or two
    "one": ("LAST", [200]),
    "two at once": ("GOODLAST", [200, 200]),
    "in chunks, and another": (f"{LINE}{CHUNKED}\r\nCHUNKSLAST", [200, 200]),
    "chunks with extensions and a trailer": (
        f"{LINE}{CHUNKED}\r\nHEX;a=b\r\nBODY\r\n0;c\r\nx-trailer: authorization\r\n\r\nLAST",
        [200, 200],
    ),
    "an empty line before it": ("\r\nLAST", [200]),
    "a target that names a host": (
        f"POST http://elsewhere.example/v1/chat/completions HTTP/1.1\r\nhost: f\r\nAUTH\r\n{SIZED}\r\nBODYLAST",
        [200, 200],  # as every server must read it (RFC 9112, 3.2.2); where it goes on is configured
    ),
    "no method of ours": (
        f"PROPFIND /v1/chat/completions HTTP/1.1\r\nhost: f\r\nAUTH\r\n{SIZED}\r\nBODYLAST",
        [404, 200],
    ),
    "dots in the path": (
        f"POST /v1/../v1/chat/completions HTTP/1.1\r\nhost: f\r\nAUTH\r\n{SIZED}\r\nBODYLAST",
        [404, 200],
    ),
    "a slash written as %2F": (
        f"POST /v1%2Fchat/completions HTTP/1.1\r\nhost: f\r\nAUTH\r\n{SIZED}\r\nBODYLAST",
        [404, 200],
    ),
    # two framings
    "a length and chunks": (f"{LINE}{SIZED}{CHUNKED}\r\nCHUNKSGOOD", [400]),
    "chunks and a length": (f"{LINE}{CHUNKED}content-length: 4\r\n\r\nCHUNKSGOOD", [400]),
    "two lengths": (f"{LINE}content-length: 4\r\n{SIZED}\r\nBODYGOOD", [400]),
    "the same length twice": (f"{LINE}{SIZED}{SIZED}\r\nBODYGOOD", [400]),
    "lengths in a list": (f"{LINE}content-length: LENGTH, LENGTH\r\n\r\nBODYGOOD", [400]),
    "a length with a sign": (f"{LINE}content-length: +LENGTH\r\n\r\nBODYGOOD", [400]),
    "a length in hex": (f"{LINE}content-length: 0x10\r\n\r\nBODYGOOD", [400]),
    "a length with an underscore": (f"{LINE}content-length: 1_0\r\n\r\nBODYGOOD", [400]),
    "a length beyond all numbers": (f"{LINE}content-length: 99999999999999999999999\r\n\r\nBODYGOOD", [400]),
    "no length in it": (f"{LINE}content-length:\r\n\r\nBODYGOOD", [400]),
    # codings that one server knows and another does not
    "chunked twice": (f"{LINE}{CHUNKED}{CHUNKED}\r\nCHUNKSGOOD", [400]),
    "chunked, then identity": (f"{LINE}transfer-encoding: chunked, identity\r\n\r\nCHUNKSGOOD", [400]),
    "gzip, then chunked": (f"{LINE}transfer-encoding: gzip, chunked\r\n\r\nCHUNKSGOOD", [400]),
    "xchunked": (f"{LINE}transfer-encoding: xchunked\r\n\r\nCHUNKSGOOD", [400]),
    "identity": (f"{LINE}transfer-encoding: identity\r\n{SIZED}\r\nBODYGOOD", [400]),
    "chunked in quotes": (f'{LINE}transfer-encoding: "chunked"\r\n\r\nCHUNKSGOOD', [400]),
    "a vertical tab before chunked": (f"{LINE}transfer-encoding: \x0bchunked\r\n\r\nCHUNKSGOOD", [400]),
    "a space before the colon": (f"{LINE}transfer-encoding : chunked\r\n\r\nCHUNKSGOOD", [400]),
    "a tab before the colon": (f"{LINE}transfer-encoding\t: chunked\r\n\r\nCHUNKSGOOD", [400]),
    "folded": (f"{LINE}transfer-encoding:\r\n chunked\r\n\r\nCHUNKSGOOD", [400]),
    "chunked for HTTP/1.0": ("POST /v1/chat/completions HTTP/1.0\r\nAUTH\r\n" + CHUNKED + "\r\nCHUNKSGOOD", [400]),
    # chunks
    "a chunk without a size": (f"{LINE}{CHUNKED}\r\n\r\nBODY\r\n0\r\n\r\nGOOD", [400]),
    "a chunk's size with a sign": (f"{LINE}{CHUNKED}\r\n+HEX\r\nBODY\r\n0\r\n\r\nGOOD", [400]),
    "a chunk's size with 0x": (f"{LINE}{CHUNKED}\r\n0xHEX\r\nBODY\r\n0\r\n\r\nGOOD", [400]),
    "a chunk's size that comes round to itself": (
        f"{LINE}{CHUNKED}\r\n100000000000000HEX\r\nBODY\r\n0\r\n\r\nGOOD",
        [400],
    ),
    "a space after a chunk's size": (f"{LINE}{CHUNKED}\r\nHEX \r\nBODY\r\n0\r\n\r\nGOOD", [400]),
    "a chunk that goes on after its size": (f"{LINE}{CHUNKED}\r\nHEX\r\nBODYx\r\n0\r\n\r\nGOOD", [400]),
    "a chunk that ends with LF": (f"{LINE}{CHUNKED}\r\nHEX\r\nBODY\n0\r\n\r\nGOOD", [400]),
    "a chunk's size that ends with LF": (f"{LINE}{CHUNKED}\r\nHEX\nBODY\r\n0\r\n\r\nGOOD", [400]),
    "a bare CR in a chunk's extension": (f"{LINE}{CHUNKED}\r\nHEX;a\rb\r\nBODY\r\n0\r\n\r\nGOOD", [400]),
    # lines
    "lines that end with LF": (f"{LINE}{SIZED}\r\nBODYGOOD".replace("\r\n", "\n"), [400]),
    "a header that ends with CR": (f"{LINE}x-a: b\rcontent-length: 0\r\n{SIZED}\r\nBODYGOOD", [400]),
    "a NUL in a header": (f"{LINE}x-a: \x00\r\n{SIZED}\r\nBODYGOOD", [400]),
    "a header without a colon": (f"{LINE}x-a\r\n{SIZED}\r\nBODYGOOD", [400]),
    "a header without a name": (f"{LINE}: b\r\n{SIZED}\r\nBODYGOOD", [400]),
    "a space in a header's name": (f"{LINE}x a: b\r\n{SIZED}\r\nBODYGOOD", [400]),
    "a folded header": (f"{LINE}x-a: b\r\n c\r\n{SIZED}\r\nBODYGOOD", [400]),
    "a space before the first header": (
        f"POST /v1/chat/completions HTTP/1.1\r\n host: f\r\nAUTH\r\n{SIZED}\r\nBODYGOOD",
        [400],
    ),
    "two spaces in the line": (
        f"POST  /v1/chat/completions HTTP/1.1\r\nhost: f\r\nAUTH\r\n{SIZED}\r\nBODYLAST",
        [200, 200],
    ),
    "a space in the path": (f"POST /v1/chat completions HTTP/1.1\r\nhost: f\r\nAUTH\r\n{SIZED}\r\nBODYGOOD", [400]),
    # other protocols
    "HTTP/0.9": ("GET /healthz\r\n\r\nGOOD", [400]),
    "HTTP/2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGOOD", [400]),
    "HTTP/1.2": (f"POST /v1/chat/completions HTTP/1.2\r\nhost: f\r\nAUTH\r\n{SIZED}\r\nBODYGOOD", [400]),
    "a proxy's CONNECT": ("CONNECT elsewhere.example:443 HTTP/1.1\r\nhost: f\r\n\r\nGOOD", [400]),
    # what follows an end
    "after an answer that closes": ("LASTGOOD", [200]),
    "after HTTP/1.0": (f"POST /v1/chat/completions HTTP/1.0\r\nAUTH\r\n{SIZED}\r\nBODYGOOD", [200]),
    "nonsense after a request": ("GOOD\x00\x01\x02\r\n\r\nGOOD", [200, 400]),
    "a body that GET does not have": (f"GET /healthz HTTP/1.1\r\nhost: f\r\n{SIZED}\r\nBODYLAST", [200, 200]),
}


def written(row: str, customer: Customer, body: bytes) -> bytes:
    auth, length = b"authorization: Bearer " + customer.key.encode(), b"%d" % len(body)
    good = b"POST /v1/chat/completions HTTP/1.1\r\nhost: f\r\nAUTH\r\ncontent-length: LENGTH\r\n%b\r\nBODY"
    filled = row.encode("latin-1").replace(b"GOOD", good % b"").replace(b"LAST", good % b"connection: close\r\n")
    filled = filled.replace(b"CHUNKS", b"HEX\r\nBODY\r\n0\r\n\r\n").replace(b"HEX", b"%x" % len(body))
    return filled.replace(b"AUTH", auth).replace(b"LENGTH", length).replace(b"BODY", body)


@pytest.mark.parametrize("what", ROWS)
async def test_what_comes_is_so_many_requests_here_and_upstream(call: Caller, customer: Customer, what: str) -> None:
    row, statuses = ROWS[what]
    before = len(await call.seen_upstream())
    body = json.dumps(chat(simulate={"tokens": 1})).encode()
    answers = await all_that_comes(call, written(row, customer, body))
    assert [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d+) ", answers)] == statuses, answers
    paid = len(re.findall(rb"x-farebox-cost", answers))
    assert paid == statuses.count(200) - ("GET /healthz HTTP/1.1" in row)
    assert len(await call.seen_upstream()) - before == paid


async def all_that_comes(call: Caller, sent: bytes) -> bytes:
    """Until the server closes, which it must."""
    host, port = call.program.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(sent)
        async with asyncio.timeout(WAIT_S):
            return await reader.read()
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()
