"""A client that does not read slows the LLM server down instead of filling memories; one that never reads is cut."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.calling import CHAT, PROMPT_TOKENS, Caller, chat
from tests.support.ledger import until
from tests.support.office import RATES, Customer, Office
from tests.support.program import TINY, Program

TOKENS = 250_000  # about 48 MB of events
# What may be under way: the send and receive buffers that Linux grows on both legs, up to 6 and 4 MB each, and 64 KiB
# of our own. An event is about 190 bytes.
UNDER_WAY_MAX = 150_000
STILL_POLLS = 20
RECEIVE_BUFFER_BYTES = 16 << 10


@asynccontextmanager
async def stream_unread(
    base_url: str, customer: Customer, tokens: int
) -> AsyncIterator[tuple[str, asyncio.StreamReader]]:
    """A stream of which only the head is read; the request's id, and the reader."""
    host, port = base_url.removeprefix("http://").split(":")
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=narrow, limit=RECEIVE_BUFFER_BYTES)
    body = json.dumps(chat(simulate={"tokens": tokens}, stream=True)).encode()
    lines = [
        f"POST {CHAT} HTTP/1.1",
        "host: f",
        f"authorization: Bearer {customer.key}",
        f"content-length: {len(body)}",
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    try:
        got = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert got.startswith("http/1.1 200 ")
        yield got.split("x-request-id: ")[1].split("\r\n")[0], reader
    finally:
        writer.close()


async def emitted(call: Caller, request_id: str) -> int:
    (seen,) = await call.seen_upstream(request_id)
    tokens: int = seen["completion_tokens"]
    return tokens


async def emitted_when_still(call: Caller, request_id: str) -> int:
    """What the LLM server has sent once it sends no more."""
    counts: list[int] = []

    async def is_still() -> bool:
        counts.append(await emitted(call, request_id))
        return len(counts) > STILL_POLLS and len(set(counts[-STILL_POLLS:])) == 1

    await until(is_still)
    return counts[-1]


async def test_a_client_that_stops_reading_stops_the_server_and_then_gets_everything(
    call: Caller, office: Office, program: Program
) -> None:
    customer = await office.customer(2 * RATES[TINY].cost(100, TOKENS))
    async with stream_unread(program.base_url, customer, TOKENS) as (request_id, reader):
        assert 0 < await emitted_when_still(call, request_id) < UNDER_WAY_MAX
        # others are served meanwhile
        assert (await call.ask(customer, chat(simulate={"tokens": 1}, max_tokens=1))).status == 200
        words, rest = 0, b""
        while not rest.endswith(b"0\r\n\r\n"):
            data = rest[-16:] + await reader.read(1 << 20)
            words += data.count(b'"content":"w') - rest[-16:].count(b'"content":"w')
            rest = data
        assert words == TOKENS
    row = await office.usage(request_id)
    assert (row["end_reason"], row["usage_source"]) == ("completed", "reported")
    assert row["cost"] == RATES[TINY].cost(PROMPT_TOKENS, TOKENS)
    await office.settled()


async def test_a_client_that_never_reads_again_is_cut_and_pays_for_what_went_out(
    call: Caller, office: Office, program: Program
) -> None:
    impatient, base_url = await program.start_proxy(listen={"client_stall_timeout_s": 0.5})
    customer = await office.customer(2 * RATES[TINY].cost(100, TOKENS))
    async with stream_unread(base_url, customer, TOKENS) as (request_id, _):
        record = await call.ended_upstream(request_id)
        assert record["state"] == "client_left"
        assert record["completion_tokens"] < UNDER_WAY_MAX
        row = await office.usage(request_id)
    assert (row["end_reason"], row["usage_source"]) == ("client_left", "estimated")
    assert 0 < row["output_tokens"] <= record["completion_tokens"]
    assert row["cost"] == RATES[TINY].cost(row["input_tokens"], row["output_tokens"])
    await office.settled()
    assert await office.balance_nanos(customer) == customer.start_nanos - row["cost"]
    await impatient.stop()


async def test_a_client_that_reads_slowly_is_not_cut(call: Caller, office: Office, program: Program) -> None:
    """As long as something moves, it may take longer than the time that a stalled client is given."""
    patient, base_url = await program.start_proxy(listen={"client_stall_timeout_s": 1})
    customer = await office.customer(2 * RATES[TINY].cost(100, TOKENS))
    async with stream_unread(base_url, customer, 60_000) as (request_id, reader):
        rest = b""
        while not rest.endswith(b"0\r\n\r\n"):
            rest = rest[-16:] + await reader.read(1 << 20)
            await asyncio.sleep(0.001)
    row = await office.usage(request_id)
    assert (row["end_reason"], row["output_tokens"]) == ("completed", 60_000)
    await office.settled()
    await patient.stop()
