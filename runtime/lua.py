"""Lua lives in `.lua` files, loaded as package data and run by hash."""

from importlib import resources

from redis.asyncio import Redis
from redis.commands.core import AsyncScript


def load_script(redis: Redis, package: str, path: str) -> AsyncScript:
    """A script bound to `redis`: sent by EVALSHA, and in full when the server does not know it (any more)."""
    source = (resources.files(package) / path).read_text(encoding="utf-8")
    return redis.register_script(source)
