"""Postgres and Valkey for a local installation: those that the environment names, or private ones."""

import os
from contextlib import AsyncExitStack
from dataclasses import dataclass

from proxy.local.folder import DataFolder, Secrets
from proxy.local.parts import PrivateServer
from runtime.embedded import postgres, valkey
from runtime.embedded.launch import EmbeddedServer
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.embedded.valkey import EmbeddedValkey

_POSTGRES = "postgres"
_VALKEY = "valkey"


@dataclass(frozen=True, slots=True)
class Servers:
    """Where they are, passwords included, and those of them that are ours to keep running."""

    database_url: str
    redis_url: str
    private: tuple[PrivateServer, ...]


async def start(stack: AsyncExitStack, folder: DataFolder, secrets: Secrets) -> Servers:
    """Start what the environment does not name; `stack` stops it."""
    started: list[PrivateServer] = []
    urls: dict[str, str] = {}

    async def private(name: str, launch: type[EmbeddedPostgres] | type[EmbeddedValkey], password: str) -> str:
        async def on_port(port: int) -> EmbeddedServer:
            server = await launch.start(folder.path / name, password, port=port)
            urls[name] = server.url
            return server

        part = PrivateServer(name, on_port)
        await part.start()
        stack.push_async_callback(part.stop)
        started.append(part)
        return urls[name]

    database_url = os.environ.get("FAREBOX_DATABASE_URL") or await private(
        _POSTGRES, EmbeddedPostgres, secrets.postgres_password
    )
    redis_url = os.environ.get("FAREBOX_REDIS_URL") or await private(_VALKEY, EmbeddedValkey, secrets.valkey_password)
    return Servers(database_url, redis_url, tuple(started))


async def forget(folder: DataFolder) -> None:
    """Delete all data of the private servers."""
    await postgres.remove(folder.path / _POSTGRES)
    await valkey.remove(folder.path / _VALKEY)
