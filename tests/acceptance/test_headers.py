"""What passes in the headers, in either direction, and what must not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.calling import Answer, Caller, chat
from tests.support.office import Office
from tests.support.program import TINY, UPSTREAM_KEY, Program
from tests.support.scripted_server import Peer, ScriptedServer, ok, serve

ONE_TOKEN = chat(simulate={"tokens": 1})
ANSWER = b'{"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}}'
EVENTS = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\ndata: [DONE]\n\n'
# Sent by the upstream; what is True passes.
FROM_UPSTREAM: dict[bytes, bool] = {
    b"content-type: application/json": True,
    b"openai-processing-ms: 17": True,
    b"openai-version: 2020-10-01": True,
    b"retry-after: 3": True,
    b"x-custom: kept": True,
    b"connection: keep-alive, x-internal": False,
    b"x-internal: for the next hop only": False,
    b"keep-alive: timeout=5": False,
    b"proxy-authenticate: Basic": False,
    b"trailer: x-sum": False,
    b"upgrade: h2c": False,
    b"x-ratelimit-limit-requests: 777": False,
    b"x-ratelimit-remaining-tokens: 888": False,
    b"anthropic-ratelimit-requests-limit: 999": False,
    b"set-cookie: session=of-the-upstream": False,
    b"server: secret-server/1.0": False,
    b"openai-organization: org-of-the-operator": False,
    b"openai-project: project-of-the-operator": False,
    b"authorization: Bearer " + UPSTREAM_KEY.encode(): False,
    b"x-api-key: " + UPSTREAM_KEY.encode(): False,
    b"x-request-id: of-the-upstream": False,
    b"x-farebox-cost: 1000": False,
    b"www-authenticate: Bearer": False,
    b"strict-transport-security: max-age=1": False,
    b"alt-svc: h3": False,
}


class Upstream:
    """A server that answers with every header that could do harm, and keeps the heads it was sent."""

    def __init__(self, server: ScriptedServer, heads: list[bytes], base_url: str) -> None:
        self.server = server
        self.heads = heads
        self.base_url = base_url


async def answer_all(peer: Peer, heads: list[bytes]) -> None:
    while True:
        head, body = await peer.read_request()
        heads.append(head)
        if b'"stream": true' in body:
            given = [line for line in FROM_UPSTREAM if not line.startswith(b"content-type")]
            await peer.send(ok(EVENTS, b"content-type: text/event-stream", b"etag: abc", *given))
        else:
            await peer.send(ok(ANSWER, *FROM_UPSTREAM))


@pytest.fixture
async def upstream(program: Program) -> AsyncIterator[Upstream]:
    heads: list[bytes] = []
    async with serve(lambda peer: answer_all(peer, heads)) as server:
        url = f"http://127.0.0.1:{server.origin.port}/base/v1"
        child, base_url = await program.start_proxy(upstreams=[{"url": url, "api_key": UPSTREAM_KEY}])
        yield Upstream(server, heads, base_url)
        await child.stop()


def sent(head: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in head.decode("latin-1").split("\r\n")[1:-2]:
        name, _, value = line.partition(":")
        found.setdefault(name.lower(), []).append(value.strip())
    return found


async def test_the_upstream_gets_its_own_credential_and_no_secret_of_the_clients(
    call: Caller, office: Office, upstream: Upstream
) -> None:
    customer = await office.customer()
    asked = {
        "cookie": "session=of-the-client",
        "x-api-key": customer.key,
        "api-key": customer.key,
        "proxy-authorization": f"Bearer {customer.key}",
        "connection": "keep-alive, x-hop",
        "x-hop": "one hop only",
        "te": "trailers",
        "x-request-id": "of-the-client",
        "x-client-request-id": "trace-17",
        "x-farebox-anything": "for us",
        "accept-encoding": "gzip, br",
        "openai-organization": "org-of-the-client",
        "x-custom": "kept",
        "user-agent": "a test",
    }
    answer = await call.ask(customer, ONE_TOKEN, headers=asked, base_url=upstream.base_url)
    assert answer.status == 200
    (head,) = upstream.heads
    assert head.startswith(b"POST /base/v1/chat/completions HTTP/1.1\r\n")
    got = sent(head)
    assert customer.key.encode() not in head
    assert got["authorization"] == [f"Bearer {UPSTREAM_KEY}"]
    assert got["x-request-id"] == [answer.request_id]
    assert got["accept-encoding"] == ["identity"]
    assert got["host"] == [f"127.0.0.1:{upstream.server.origin.port}"]
    assert (got["x-custom"], got["user-agent"]) == (["kept"], ["a test"])
    assert got["content-type"] == ["application/json"]
    dropped = {"cookie", "x-api-key", "api-key", "proxy-authorization", "x-hop", "te", "x-farebox-anything"}
    assert not dropped & got.keys()
    assert len(got["content-length"]) == 1
    assert "transfer-encoding" not in got


def assert_only_what_may_pass(answer: Any) -> None:
    for line, passes in FROM_UPSTREAM.items():
        name, _, value = line.decode().partition(": ")
        values = answer.headers.getall(name, [])
        if name not in ("content-type", "connection"):
            assert (value in values) == passes, line
        assert len(values) <= 1, line
    assert UPSTREAM_KEY not in repr(answer.headers)
    assert answer.headers["x-ratelimit-limit-requests"] == "5"
    assert answer.headers["x-ratelimit-remaining-requests"] == "4"
    assert answer.headers["x-request-id"] != "of-the-upstream"


async def test_the_client_gets_what_may_pass_and_its_own_limits(
    call: Caller, office: Office, upstream: Upstream
) -> None:
    answer: Answer = await call.ask(await office.customer(rpm=5), ONE_TOKEN, base_url=upstream.base_url)
    assert (answer.status, answer.body) == (200, ANSWER)
    assert_only_what_may_pass(answer)
    assert answer.headers["x-farebox-cost"] != "1000"


async def test_the_client_of_a_stream_gets_what_may_pass_and_its_own_limits(
    call: Caller, office: Office, upstream: Upstream
) -> None:
    customer = await office.customer(rpm=5)
    url = upstream.base_url + "/v1/chat/completions"
    async with call.http.post(url, json=ONE_TOKEN | {"stream": True}, headers=customer.auth) as answer:
        assert await answer.read() == EVENTS
        assert_only_what_may_pass(answer)
        assert answer.headers["x-accel-buffering"] == "no"
        assert "x-farebox-cost" not in answer.headers
        # a digest of the body as it was before usage was taken out
        assert "etag" not in answer.headers


async def test_no_key_of_a_client_ever_reaches_the_upstream(call: Caller, office: Office) -> None:
    customer = await office.customer()
    for headers in (customer.auth, {"x-api-key": customer.key}):
        answer = await call.post(ONE_TOKEN, headers=headers)
        (seen,) = await call.seen_upstream(answer.request_id)
        assert seen["authorization"] == f"Bearer {UPSTREAM_KEY}"
        assert not {"x-api-key", "cookie"} & set(seen["headers_seen"])


async def test_the_clients_own_id_is_kept_and_never_becomes_ours(call: Caller, office: Office) -> None:
    """The id is what a debit is made once for: a client that chose it could make its second request free."""
    customer = await office.customer()
    asked = {"x-client-request-id": "the same every time", "x-request-id": "01890a5d-ac96-774b-bcce-b302099a8057"}
    answers = await asyncio.gather(*(call.ask(customer, ONE_TOKEN, headers=asked) for _ in range(5)))
    await office.settled()
    rows = await office.usage_rows(customer)
    assert {str(row["id"]) for row in rows} == {answer.request_id for answer in answers}
    assert len(rows) == 5
    assert {row["metadata"]["client_request_id"] for row in rows} == {"the same every time"}
    assert len(await office.debits(customer)) == 5


async def test_every_answer_has_an_id_of_its_own(call: Caller, office: Office) -> None:
    customer = await office.customer()
    answers = [
        await call.ask(customer, ONE_TOKEN),
        await call.ask(customer, chat("no-such-model")),
        await call.post(ONE_TOKEN),
        await call.get("/v1/models", headers=customer.auth),
        await call.get("/v1/models"),
        await call.get("/no/such/path"),
        await call.get("/healthz"),
        await call.get("/readyz"),
    ]
    assert len({answer.request_id for answer in answers}) == len(answers)


async def test_an_answer_does_not_tell_what_serves_it(call: Caller, office: Office) -> None:
    answer = await call.ask(await office.customer(), chat(TINY, simulate={"tokens": 1}))
    assert "farebox-simulator" not in repr(answer.headers)
