"""Clients at work: each notes exactly what it received."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.support.chaos.customers import Account
from tests.support.chaos.visits import Client, Visit

# Longer than any fault: whoever waits for longer waits for ever.
GIVE_UP_S = 40.0
DONE = b"data: [DONE]"


@dataclass(slots=True)
class Receipt:
    """What came of a visit. Times are seconds since the load began; `status` None: there was no answer.

    `text` is what the answer said, `is_complete`: with its last event, or the whole body. `problem`: how it broke off.
    """

    visit: Visit
    began_s: float
    ended_s: float = 0.0
    status: int | None = None
    request_id: str | None = None
    size_bytes: int = 0
    text: str = ""
    code: str | None = None
    is_complete: bool = False
    has_left: bool = False
    problem: str = ""

    @property
    def tokens(self) -> int:
        """Of the server's; each is a word."""
        return len(self.text.split())

    @property
    def is_good(self) -> bool:
        """A byte of a good answer was delivered."""
        return self.status == 200 and self.size_bytes > 0

    @property
    def how(self) -> str:
        """How it ended, in words."""
        if self.is_complete:
            return "complete"
        return "left" if self.has_left else f"broke off {self.problem}".rstrip()

    def read_line(self, line: bytes) -> None:
        """One line of a stream."""
        self.size_bytes += len(line)
        if line.startswith(DONE):
            self.is_complete = True
        elif line.startswith(b"data: ") and line.endswith(b"\n"):
            self._read_event(json.loads(line.removeprefix(b"data: ")))

    def read_whole(self, body: bytes) -> None:
        """An answer that was not streamed, or an error."""
        self.size_bytes += len(body)
        parsed: dict[str, Any] = json.loads(body)
        if "error" in parsed:
            self.code = str(parsed["error"]["code"])
            return
        self.text = "".join(choice["message"]["content"] for choice in parsed["choices"])
        self.is_complete = True

    def _read_event(self, event: dict[str, Any]) -> None:
        if "error" in event:
            self.code = str(event["error"]["code"])
        for choice in event.get("choices", []):
            self.text += choice["delta"].get("content") or ""


@dataclass(frozen=True, slots=True)
class Crowd:
    """All clients of one schedule. `base_urls`: where each proxy is called."""

    http: aiohttp.ClientSession
    base_urls: Sequence[str]
    accounts: Sequence[Account]
    started_s: float

    async def work(self, clients: Sequence[Client]) -> list[Receipt]:
        found = await asyncio.gather(*(self._work(client) for client in clients))
        return [receipt for receipts in found for receipt in receipts]

    async def _work(self, client: Client) -> list[Receipt]:
        await asyncio.sleep(client.starts_after_ms / 1_000)
        return [await self.receive(Receipt(visit, 0.0)) for visit in client.visits]

    async def receive(self, receipt: Receipt) -> Receipt:
        """One visit, whatever becomes of it; the receipt is filled in as it goes."""
        receipt.began_s = self._now_s()
        try:
            async with asyncio.timeout(GIVE_UP_S):
                await self._ask(receipt.visit, receipt)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            receipt.problem = type(error).__name__
        receipt.ended_s = self._now_s()
        return receipt

    async def _ask(self, visit: Visit, receipt: Receipt) -> None:
        headers = self.accounts[visit.customer].customer.auth | {"x-client-request-id": visit.name}
        url = f"{self.base_urls[visit.proxy]}/v1/chat/completions"
        async with self.http.post(url, json=visit.body(), headers=headers) as answer:
            receipt.status, receipt.request_id = answer.status, answer.headers.get("x-request-id")
            if not (visit.is_stream and answer.status == 200):
                receipt.read_whole(await answer.read())
                return
            async for line in answer.content:
                receipt.read_line(line)
                if visit.leaves_after is not None and receipt.tokens >= visit.leaves_after:
                    receipt.has_left = True
                    answer.close()
                    return

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time() - self.started_s
