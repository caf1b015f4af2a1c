"""`/api/ai-api/keys`: a user's own keys."""

from dataclasses import dataclass
from typing import Any

from pydantic import Field

from accounts.api.fields import Body, Id, Moment, Name
from accounts.api.requests import parse_body, read_body
from accounts.api.router import Access, Call, Route
from accounts.errors import InvalidRequest, KeyNotFound
from accounts.keys import ApiKey, NewKey
from accounts.user_keys import UserKeys
from runtime.clock import wall_ms
from runtime.settings import KeyPolicy

PATH = "/api/ai-api/keys"
_WARNING = "Store this key now. It is not shown again."


class NewKeyBody(Body):
    name: Name
    rateLimitPerMinute: int = Field(default=60, ge=1)
    rateLimitPerDay: int = Field(default=1000, ge=1)
    expiresAt: Moment | None = None


class KeyIdBody(Body):
    keyId: Id


@dataclass(frozen=True, slots=True)
class KeyRoutes:
    keys: UserKeys
    policy: KeyPolicy

    def routes(self) -> list[Route]:
        return [
            Route("GET", PATH, Access.USER, self.list),
            Route("POST", PATH, Access.USER, self.create),
            Route("DELETE", PATH, Access.USER, self.revoke),
        ]

    async def list(self, call: Call) -> Any:
        return {"success": True, "keys": [_shown(key) for key in await self.keys.of_user(call.user.user_id)]}

    async def create(self, call: Call) -> Any:
        wanted = self._within_policy(parse_body(NewKeyBody, await read_body(call.request)))
        key, row = await self.keys.create(
            NewKey(
                call.user.user_id,
                wanted.name,
                wanted.rateLimitPerMinute,
                wanted.rateLimitPerDay,
                wanted.expiresAt,
            )
        )
        return {"success": True, "apiKey": key, "keyPrefix": row.key_prefix, "id": row.id, "warning": _WARNING}

    async def revoke(self, call: Call) -> Any:
        key_id = parse_body(KeyIdBody, await read_body(call.request)).keyId
        if not await self.keys.revoke(call.user.user_id, key_id):
            raise KeyNotFound("there is no such key")
        return {"success": True, "message": "The key is revoked."}

    def _within_policy(self, wanted: NewKeyBody) -> NewKeyBody:
        for name, asked, most in (
            ("rateLimitPerMinute", wanted.rateLimitPerMinute, self.policy.max_requests_per_minute),
            ("rateLimitPerDay", wanted.rateLimitPerDay, self.policy.max_requests_per_day),
        ):
            if asked > most:
                raise InvalidRequest(f"{name}: at most {most}")
        if wanted.expiresAt is not None and wanted.expiresAt.timestamp() * 1000 <= wall_ms():
            raise InvalidRequest("expiresAt: must be in the future")
        return wanted


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "key_prefix": key.key_prefix,
        "name": key.name,
        "rate_limit_per_minute": key.rate_limit_per_minute,
        "rate_limit_per_day": key.rate_limit_per_day,
        "is_active": key.is_active,
        "last_used_at": key.last_used_at,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
    }
