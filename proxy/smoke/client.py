"""HTTP to a deployment: every wait and every answer bounded, no redirects (they would carry the tokens away)."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp
import orjson

from proxy.smoke.steps import StepFailed

_MAX_ANSWER_BYTES = 8 << 20
_MAX_MESSAGE_CHARS = 200
OK = 200


@dataclass(frozen=True, slots=True)
class Reply:
    """`json` is None where the body is none; its numbers are exact (Decimal)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any

    @property
    def code(self) -> str | None:
        """Of an error, in the gateway's shape or the account API's."""
        error = self.field("error")
        found = error.get("code") if isinstance(error, dict) else self.field("code")
        return found if isinstance(found, str) else None

    def field(self, name: str) -> Any:
        return self.json.get(name) if isinstance(self.json, dict) else None

    def __str__(self) -> str:
        error = self.field("error")
        message = error.get("message") if isinstance(error, dict) else error
        words = [f"HTTP {self.status}", self.code, str(message)[:_MAX_MESSAGE_CHARS] if message else None]
        return " ".join(word for word in words if word)


class Deployment:
    """Every method raises StepFailed where nothing of use is answered in time."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, timeout_s: float) -> None:
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s

    async def ask(self, method: str, path: str, token: str | None = None, body: Any = None) -> Reply:
        """Whatever is answered. Raises StepFailed where there is no whole answer."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        data = None
        if body is not None:
            data, headers["content-type"] = orjson.dumps(body), "application/json"
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._http.request(
                    method, self._base_url + path, data=data, headers=headers, allow_redirects=False
                ) as answer,
            ):
                return _reply(answer, await _bounded(answer.content))
        except TimeoutError:
            raise StepFailed(f"{method} {path}: no whole answer within {self._timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise StepFailed(f"{method} {path}: {type(error).__name__}") from None

    async def ok(self, method: str, path: str, token: str | None = None, body: Any = None) -> Reply:
        """Raises StepFailed also for any status but 200."""
        reply = await self.ask(method, path, token, body)
        if reply.status != OK:
            raise StepFailed(f"{method} {path}: {reply}")
        return reply


@asynccontextmanager
async def connected(base_url: str, timeout_s: float) -> AsyncIterator[Deployment]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as http:
        yield Deployment(http, base_url, timeout_s)


def _reply(answer: aiohttp.ClientResponse, body: bytes) -> Reply:
    try:
        parsed = json.loads(body, parse_float=Decimal) if answer.content_type == "application/json" else None
    except (ValueError, RecursionError):
        parsed = None
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Reply(answer.status, headers, body, parsed)


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    read = bytearray()
    async for chunk in content.iter_any():
        read += chunk
        if len(read) > _MAX_ANSWER_BYTES:
            raise ValueError("an answer longer than any of ours")
    return bytes(read)
