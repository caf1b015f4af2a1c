"""Lua lives in `.lua` files, loaded as package data and run by hash."""

from importlib import resources

from redis.asyncio import Redis
from redis.commands.core import AsyncScript


def load_script(redis: Redis, package: str, *paths: str) -> AsyncScript:
    """A script bound to `redis`: sent by EVALSHA, and in full when the server does not know it (any more).

    Several files are one script, in their order: what scripts have in common goes before them.
    """
    return redis.register_script(script_source(package, *paths))


def script_source(package: str, *paths: str) -> str:
    folder = resources.files(package)
    return "\n".join((folder / path).read_text(encoding="utf-8") for path in paths)
