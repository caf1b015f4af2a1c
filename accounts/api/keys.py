"""`/api/ai-api/keys`: a user's own keys."""

from dataclasses import dataclass
from typing import Any

from accounts.api.key_shapes import (
    ChangedKeyAnswer,
    ChangeKeyBody,
    KeyIdBody,
    KeysAnswer,
    NewKeyAnswer,
    NewKeyBody,
    RotatedKeyAnswer,
    RotateKeyBody,
    shown,
)
from accounts.api.requests import parse_body, read_body
from accounts.api.router import Access, Call, Route
from accounts.api.shapes import Done
from accounts.errors import (
    InvalidRequest,
    KeyExpired,
    KeyFrozen,
    KeyNotFound,
    KeyReplaced,
    KeyRevoked,
    TooManyKeys,
)
from accounts.key_policy import grace_s, within
from accounts.key_terms import ApiKey, NewKey
from accounts.user_keys import UserKeys
from runtime.clock import wall_ms
from runtime.settings import KeyPolicy

PATH = "/api/ai-api/keys"
_WARNING = "Store this key now. It is not shown again."
_NOT_CHANGEABLE = (KeyNotFound, KeyRevoked, KeyExpired, KeyReplaced, KeyFrozen)


@dataclass(frozen=True, slots=True)
class KeyRoutes:
    keys: UserKeys
    policy: KeyPolicy

    def routes(self) -> list[Route]:
        user = Access.USER
        return [
            Route("GET", PATH, user, self.list, "Your keys, newest first", answer=KeysAnswer),
            Route(
                "POST",
                PATH,
                user,
                self.create,
                "Make a key; it is shown this once",
                body=NewKeyBody,
                answer=NewKeyAnswer,
                refusals=(TooManyKeys,),
            ),
            Route(
                "PATCH",
                PATH,
                user,
                self.change,
                "Rename a key, or change what it may do; null takes a restriction away, what is left out stays",
                body=ChangeKeyBody,
                answer=ChangedKeyAnswer,
                refusals=_NOT_CHANGEABLE,
            ),
            Route(
                "POST",
                f"{PATH}/rotate",
                user,
                self.rotate,
                "Replace a key by a new one with the same settings; the old one ends after a grace period",
                body=RotateKeyBody,
                answer=RotatedKeyAnswer,
                refusals=(*_NOT_CHANGEABLE, TooManyKeys),
            ),
            Route(
                "DELETE",
                PATH,
                user,
                self.revoke,
                "Revoke a key: it is refused everywhere at once, for good",
                body=KeyIdBody,
                answer=Done,
                refusals=(KeyNotFound,),
            ),
        ]

    async def list(self, call: Call) -> Any:
        return {"success": True, "keys": [shown(key) for key in await self.keys.of_user(call.user.user_id)]}

    async def create(self, call: Call) -> Any:
        asked = parse_body(NewKeyBody, await read_body(call.request)).asked()
        wanted = NewKey(call.user.user_id, **within(asked, self.policy, wall_ms()))
        return _new(*await self.keys.create(wanted))

    async def change(self, call: Call) -> Any:
        body = parse_body(ChangeKeyBody, await read_body(call.request))
        asked = body.asked()
        if not asked:
            raise InvalidRequest("there is nothing to change: name a field beside keyId")
        changes = within(asked, self.policy, wall_ms())
        key = await self.keys.change(call.user.user_id, body.keyId, changes)
        return {"success": True, "message": "The key is changed.", "key": shown(key)}

    async def rotate(self, call: Call) -> Any:
        body = parse_body(RotateKeyBody, await read_body(call.request))
        rotated = await self.keys.rotate(call.user.user_id, body.keyId, grace_s(body.graceSeconds, self.policy))
        ended = {"oldKeyId": rotated.old_id, "oldKeyEndsAt": rotated.old_ends_at}
        return _new(rotated.key, rotated.row) | ended

    async def revoke(self, call: Call) -> Any:
        key_id = parse_body(KeyIdBody, await read_body(call.request)).keyId
        if not await self.keys.revoke(call.user.user_id, key_id):
            raise KeyNotFound("there is no such key")
        return {"success": True, "message": "The key is revoked."}


def _new(key: str, row: ApiKey) -> dict[str, Any]:
    return {"success": True, "apiKey": key, "keyPrefix": row.key_prefix, "id": row.id, "warning": _WARNING}
