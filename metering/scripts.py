"""The scripts of `lua/`, each bound to a server and with what it begins with; what a call raises."""

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from runtime.lua import load_script, script_source

# Redis is away, or too slow: what was called may have run all the same.
AWAY: tuple[type[BaseException], ...] = (RedisError, OSError, TimeoutError)

_FILES = {
    "admit": ("shared", "key_limits", "admit"),
    "renew": ("shared", "key_limits", "renew"),
    "settle": ("shared", "settle"),
    "lapsed": ("shared", "lapsed"),
}


def script(redis: Redis, name: str) -> AsyncScript:
    return load_script(redis, "metering", *_paths(name))


def source_of(name: str) -> str:
    return script_source("metering", *_paths(name))


def _paths(name: str) -> list[str]:
    return [f"lua/{part}.lua" for part in _FILES[name]]
