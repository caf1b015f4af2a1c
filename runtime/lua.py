"""Lua lives in `.lua` files, loaded as package data and run by hash."""

from importlib import resources
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError


class Script(AsyncScript):
    """Sent with the call to a server that does not know it, and not loaded before: of a cluster, a node may be away."""

    async def __call__(self, keys: Any = None, args: Any = None, client: Any = None) -> Any:
        sent = (len(keys), *keys, *(args or ()))
        try:
            return await self.registered_client.execute_command("EVALSHA", self.sha, *sent)
        except NoScriptError:
            return await self.registered_client.execute_command("EVAL", self.script, *sent)


def load_script(redis: Redis, package: str, *paths: str) -> AsyncScript:
    """A script bound to `redis`: sent by EVALSHA, and in full when the server does not know it (any more).

    Several files are one script, in their order: what scripts have in common goes before them.
    """
    return redis.register_script(script_source(package, *paths))


def script_source(package: str, *paths: str) -> str:
    folder = resources.files(package)
    return "\n".join((folder / path).read_text(encoding="utf-8") for path in paths)
