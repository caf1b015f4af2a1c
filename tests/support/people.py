"""People with user tokens, and what they ask of the account API."""

import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import aiohttp

from accounts.identity import mint_token
from runtime.clock import wall_ms
from tests.support.program import JWT_SECRET


class Person:
    """What a browser of one person does.

    `await ana("GET", "/api/ai-api/wallet")`: the status, and the JSON with amounts as decimals.
    """

    def __init__(self, http: aiohttp.ClientSession, base_url: str, user_id: UUID) -> None:
        self._http = http
        self._base_url = base_url
        self.user_id = user_id
        self.auth = {"authorization": f"Bearer {mint_token(user_id, JWT_SECRET, now_ms=wall_ms())}"}

    async def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        """`body` as JSON, or as it is where it is bytes; `more` is aiohttp's: headers, params."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = self.auth | more.pop("headers", {})
        async with self._http.request(method, self._base_url + path, data=data, headers=headers, **more) as answer:
            assert answer.headers["x-request-id"]
            return answer.status, json.loads(await answer.read(), parse_float=Decimal)
