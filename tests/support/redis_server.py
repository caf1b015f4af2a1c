"""A Redis, where this machine has one: `redis-server` on the path, or what FAREBOX_TEST_REDIS_SERVER names."""

import asyncio
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.embedded.valkey import EmbeddedValkey

REDIS_SERVER = os.environ.get("FAREBOX_TEST_REDIS_SERVER") or shutil.which("redis-server")


@contextmanager
def a_redis(folder: Path) -> Iterator[EmbeddedValkey]:
    """Started and stopped as our Valkey is: it takes the same configuration."""
    assert REDIS_SERVER is not None
    start = EmbeddedValkey.start(folder / "redis", secrets.token_urlsafe(), binary=Path(REDIS_SERVER))
    server = asyncio.run(start)
    try:
        yield server
    finally:
        asyncio.run(server.stop())
