"""Several LLM servers behind one model: one that dies is replaced while nothing was seen of it; all is paid once."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.asking import begin
from tests.support.calling import PROMPT_TOKENS, Caller, chat, events
from tests.support.office import RATES, Office
from tests.support.program import IMPATIENT, MISTRUSTED, OUTPUT_ONLY, TINY, UPSTREAM_KEY, Program
from tests.support.scripted_server import Peer, ok, serve
from tests.support.waiting import until

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
BREAKER = {"failures": 2, "open_s": 3600}


@dataclass
class Played:
    """An LLM server whose part a test plays: what it does with a request, and how many came."""

    act: Callable[[Peer], Awaitable[None]]
    bodies: list[dict[str, Any]] = field(default_factory=list)

    async def converse(self, peer: Peer) -> None:
        while True:
            _, body = await peer.read_request()
            self.bodies.append(json.loads(body))
            await self.act(peer)


async def dies(peer: Peer) -> None:
    peer.reset()
    raise ConnectionError


async def dies_after_its_headers(peer: Peer) -> None:
    await peer.send(STREAM)
    await dies(peer)


async def dies_in_the_middle(peer: Peer) -> None:
    await peer.send(STREAM + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
    peer.close()
    raise ConnectionError


@asynccontextmanager
async def in_front_of(program: Program, *upstreams: dict[str, Any], **sections: Any) -> AsyncIterator[str]:
    """One more proxy, in front of these; its address."""
    child, base_url = await program.start_proxy(upstreams=list(upstreams), **sections)
    try:
        yield base_url
    finally:
        await child.stop()


@asynccontextmanager
async def playing(*played: Played) -> AsyncIterator[list[str]]:
    """Their addresses."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serve(each.converse)) for each in played]
        yield [f"{server.origin}/v1" for server in servers]


def simulated(program: Program, model: str, **others: Any) -> dict[str, Any]:
    return {"name": f"good-{model}", "url": program.upstream_url, "api_key": UPSTREAM_KEY, "models": [model]} | others


async def test_one_dies_the_other_answers_and_it_is_paid_once(call: Caller, office: Office, program: Program) -> None:
    first, second = Played(dies), Played(dies_after_its_headers)
    customer = await office.customer()
    async with (
        playing(first, second) as (first_url, second_url),
        in_front_of(
            program,
            # chosen first: it takes a thousand requests before the other one gets its turn
            {"name": "dies", "url": first_url, "models": [TINY], "weight": 1000, "breaker": {"failures": 0}},
            simulated(program, TINY),
            {"name": "dies-later", "url": second_url, "models": [OUTPUT_ONLY], "weight": 1000},
            simulated(program, OUTPUT_ONLY, model_names={OUTPUT_ONLY: TINY}),
        ) as base_url,
    ):
        answer = await call.ask(customer, chat(simulate={"tokens": 7}), base_url=base_url)
        assert (answer.status, answer.json["usage"]["completion_tokens"]) == (200, 7)
        row = await office.usage(answer.request_id)
        assert (row["cost"], row["end_reason"]) == (RATES[TINY].cost(PROMPT_TOKENS, 7), "completed")
        assert row["metadata"]["upstream"] == f"good-{TINY}"
        streamed = chat(OUTPUT_ONLY, simulate={"tokens": 5}, stream=True)
        async with call.http.post(f"{base_url}/v1/chat/completions", json=streamed, headers=customer.auth) as stream:
            assert stream.status == 200
            assert events(await stream.read())[-1] == b"[DONE]"
        assert (len(first.bodies), len(second.bodies)) == (1, 1)
    await office.settled()
    rows = await office.usage_rows(customer)
    assert [row["end_reason"] for row in rows] == ["completed"] * 2
    cost = RATES[TINY].cost(PROMPT_TOKENS, 7) + RATES[OUTPUT_ONLY].cost(PROMPT_TOKENS, 5)
    assert await office.balance_nanos(customer) == customer.start_nanos - cost


async def test_after_the_first_byte_nobody_else_is_asked(call: Caller, office: Office, program: Program) -> None:
    played = Played(dies_in_the_middle)
    customer = await office.customer()
    async with (
        playing(played) as (url,),
        in_front_of(
            program, {"name": "dies", "url": url, "models": [TINY], "weight": 1000}, simulated(program, TINY)
        ) as base_url,
    ):
        streamed = chat(simulate={"tokens": 7}, stream=True)
        async with call.http.post(f"{base_url}/v1/chat/completions", json=streamed, headers=customer.auth) as stream:
            chunk, error = events(await stream.read())
            request_id = stream.headers["x-request-id"]
        assert b"word" in chunk and json.loads(error)["error"]["code"] == "upstream_error"
        assert await call.seen_upstream(request_id) == [] and len(played.bodies) == 1
        row = await office.usage(request_id)
        assert (row["end_reason"], row["metadata"]["upstream"]) == ("upstream_error", "dies") and row["cost"] > 0
    await office.settled()


async def test_both_are_down_and_then_left_alone(call: Caller, office: Office, program: Program) -> None:
    first, second = Played(dies), Played(dies)
    customer = await office.customer()
    async with (
        playing(first, second) as urls,
        in_front_of(
            program,
            *({"name": f"n-{n}", "url": url, "models": [MISTRUSTED], "breaker": BREAKER} for n, url in enumerate(urls)),
        ) as base_url,
    ):
        answers = [await call.ask(customer, chat(MISTRUSTED), base_url=base_url) for _ in range(3)]
        assert [(answer.status, answer.error["code"]) for answer in answers] == [(502, "upstream_error")] * 3
        assert [len(played.bodies) for played in (first, second)] == [2, 2], "the third request went nowhere"
        assert [answer.headers.get("retry-after") is None for answer in answers] == [True, True, False]
    await office.settled()
    assert await office.balance_nanos(customer) == customer.start_nanos


async def test_a_breaker_half_opens_with_one_request_and_closes(call: Caller, office: Office, program: Program) -> None:
    customer = await office.customer()
    is_well = False

    async def act(peer: Peer) -> None:
        if not is_well:
            await dies(peer)
        await peer.send(ok(b"{}", b"content-type: application/json"))

    played = Played(act)
    async with (
        playing(played) as (url,),
        in_front_of(
            program, {"name": "one", "url": url, "models": [TINY], "breaker": {"failures": 2, "open_s": 0.05}}
        ) as base_url,
    ):
        failed = [(await call.ask(customer, chat(), base_url=base_url)).status for _ in range(2)]
        assert failed == [502, 502] and len(played.bodies) == 2
        is_well = True
        statuses = [(await call.ask(customer, chat(), base_url=base_url)).status]
        while statuses[-1] == 502:
            assert len(played.bodies) == 2, "nobody is let through before the time"
            statuses.append((await call.ask(customer, chat(), base_url=base_url)).status)
        assert [(await call.ask(customer, chat(), base_url=base_url)).status for _ in range(3)] == [200] * 3
        assert len(played.bodies) == 2 + 4
    await office.settled()


async def test_one_at_a_time_one_waits_and_the_next_is_refused(call: Caller, office: Office, program: Program) -> None:
    customer = await office.customer()
    go = asyncio.Event()

    async def act(peer: Peer) -> None:
        await go.wait()
        await peer.send(ok(b"{}", b"content-type: application/json"))

    played = Played(act)
    async with (
        playing(played) as (url,),
        in_front_of(
            program, {"name": "one", "url": url, "models": [TINY], "max_connections": 1, "max_waiting": 1}
        ) as base_url,
    ):
        asked = [begin(call.ask(customer, chat(), base_url=base_url)) for _ in range(3)]
        refused, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        (answer,) = [task.result() for task in refused]
        assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (503, "overloaded", "1")
        await until(lambda: len(played.bodies) == 1)
        go.set()
        statuses = [answer.status for answer in await asyncio.gather(*asked)]
        assert sorted(statuses) == [200, 200, 503] and len(played.bodies) == 2
    await office.settled()


async def test_who_is_ill_by_its_health_check_gets_no_requests(call: Caller, office: Office, program: Program) -> None:
    customer = await office.customer()
    played = Played(dies)
    checks = 0

    async def converse(peer: Peer) -> None:
        nonlocal checks
        head, _ = await peer.read_request()
        assert head.startswith(b"GET /health ")
        checks += 1
        await peer.send(b"HTTP/1.1 503 Ill\r\ncontent-length: 0\r\n\r\n")

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(converse))
        ill = {"interval_s": 0.02, "bad_checks": 1}
        base_url = await stack.enter_async_context(
            in_front_of(
                program,
                {"name": "ill", "url": f"{server.origin}/v1", "models": [TINY], "weight": 1000, "health": ill},
                simulated(program, TINY),
            )
        )
        await until(lambda: checks > 1)
        answers = [await call.ask(customer, chat(simulate={"tokens": 1}), base_url=base_url) for _ in range(3)]
        assert [answer.status for answer in answers] == [200] * 3 and played.bodies == []
    await office.settled()


async def test_a_unix_socket_its_own_model_name_and_what_the_operator_adds(
    call: Caller, office: Office, program: Program, tmp_path: Path
) -> None:
    customer = await office.customer()
    heads: list[bytes] = []

    async def llm(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{}")
        heads.append(await reader.read(65_536))
        writer.close()

    path = tmp_path / "llm.sock"
    listener = await asyncio.start_unix_server(llm, path)
    upstream = {
        "url": "http://llm.internal/v1?api-version=7",
        "unix_socket": str(path),
        "models": [IMPATIENT],
        "model_names": {IMPATIENT: "org/patient"},
        "headers": {"x-org": "1"},
    }
    models = [{"name": IMPATIENT, "body": {"seed": 7}, "headers": {"x-tier": "gold"}}]
    async with in_front_of(program, upstream, models=models) as base_url:
        body = chat(IMPATIENT, seed=1)
        answer = await call.ask(customer, body, base_url=base_url, headers={"x-tier": "of the client"})
    listener.close()
    assert answer.status == 200
    head, sent = heads
    assert head.startswith(b"POST /v1/chat/completions?api-version=7 HTTP/1.1\r\nhost: llm.internal\r\n")
    assert b"\r\nx-org: 1\r\n" in head and b"\r\nx-tier: gold\r\n" in head and b"of the client" not in head
    assert json.loads(sent) == body | {"model": "org/patient", "seed": 7}
    row = await office.usage(answer.request_id)
    assert row["model"] == IMPATIENT
    await office.settled()


async def test_what_cannot_be_opened_is_told_at_the_start(program: Program, tmp_path: Path) -> None:
    settings = {"url": "https://h", "tls": {"ca_file": str(tmp_path / "ca.pem")}}
    config = program._write_config(tmp_path / "config.yaml", program.sections | {"upstreams": [settings]})
    code, said = await program.run_to_end("serve", config=config)
    assert code != 0
    assert f"upstreams.0.tls.ca_file: {tmp_path}/ca.pem cannot be read (No such file or directory)" in said
