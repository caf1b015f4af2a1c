"""Calls a running program over HTTP as any client would, and asks the simulated LLM server what it saw."""

from typing import Any

import aiohttp

from tests.support.ledger import until
from tests.support.office import Customer
from tests.support.program import TINY, UPSTREAM_KEY, Program

CHAT = "/v1/chat/completions"
PROMPT = "one two three"
# Words of PROMPT and what the simulator adds for each message.
PROMPT_TOKENS = 3 + 4


def chat(model: str = TINY, *, simulate: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], **fields}
    return body | ({"simulate": simulate} if simulate else {})


class Answer:
    """A whole answer."""

    def __init__(self, answer: aiohttp.ClientResponse, body: bytes, json: Any) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.body = body
        self.json = json

    @property
    def request_id(self) -> str:
        return self.headers["x-request-id"]

    @property
    def error(self) -> dict[str, Any]:
        """The error of the OpenAI shape, which every error must have."""
        error = self.json["error"]
        assert {"message", "type", "param", "code"} <= set(error), error
        assert isinstance(error["message"], str) and isinstance(error["code"], str)
        found: dict[str, Any] = error
        return found

    def __repr__(self) -> str:
        return f"<Answer {self.status} {self.body[:300]!r}>"


class Caller:
    """HTTP to one program."""

    def __init__(self, program: Program, http: aiohttp.ClientSession) -> None:
        self.program = program
        self.http = http

    async def post(self, body: Any, *, base_url: str | None = None, **how: Any) -> Answer:
        """`body` as JSON, or as it is where it is bytes; `how` is aiohttp's: headers, allow_redirects."""
        how["data" if isinstance(body, bytes) else "json"] = body
        url = (base_url or self.program.base_url) + CHAT
        async with self.http.post(url, allow_redirects=False, **how) as answer:
            return await _whole(answer)

    async def ask(self, customer: Customer, body: Any, **how: Any) -> Answer:
        headers = customer.auth | how.pop("headers", {})
        return await self.post(body, headers=headers, **how)

    async def get(self, path: str, **how: Any) -> Answer:
        async with self.http.get(self.program.base_url + path, **how) as answer:
            return await _whole(answer)

    def stream(
        self, customer: Customer, body: dict[str, Any], **headers: str
    ) -> "aiohttp.client._RequestContextManager":
        """A streamed answer, for `async with`."""
        url = self.program.base_url + CHAT
        return self.http.post(url, json=body | {"stream": True}, headers=customer.auth | headers)

    async def direct(self, body: dict[str, Any], **headers: str) -> bytes:
        """What the LLM server itself answers, without Farebox."""
        auth = {"authorization": f"Bearer {UPSTREAM_KEY}"} | headers
        async with self.http.post(f"{self.program.upstream_url}/chat/completions", json=body, headers=auth) as answer:
            return await answer.read()

    async def seen_upstream(self, request_id: str | None = None) -> list[dict[str, Any]]:
        """The LLM server's records, oldest first."""
        url = self.program.upstream_url.removesuffix("/v1") + "/simulator/requests"
        async with self.http.get(url, params={"request_id": request_id} if request_id else {}) as answer:
            found: list[dict[str, Any]] = await answer.json()
            return found

    async def ended_upstream(self, request_id: str) -> dict[str, Any]:
        """The LLM server's record of one request, once it is over."""
        found: list[dict[str, Any]] = []

        async def is_over() -> bool:
            found[:] = await self.seen_upstream(request_id)
            return bool(found) and found[0]["state"] != "running"

        await until(is_over)
        return found[0]


async def _whole(answer: aiohttp.ClientResponse) -> Answer:
    body = await answer.read()
    is_json = answer.content_type == "application/json"
    try:
        parsed = await answer.json() if is_json else None
    except ValueError:
        parsed = None
    return Answer(answer, body, parsed)


def events(stream: bytes) -> list[bytes]:
    """The data of each event of a stream."""
    return [event.removeprefix(b"data: ") for event in stream.split(b"\n\n") if event]
