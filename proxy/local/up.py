"""`farebox up`: everything on this machine, in order, and down again in the reverse order."""

import os
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from accounts.prices import STARTING_PRICES
from ledger.migrate import migrate
from proxy.backends import open_backends
from proxy.local import demo, servers
from proxy.local.demo import Demo
from proxy.local.folder import DataFolder, Secrets
from proxy.local.parts import OwnProcess, Say, keep_all
from proxy.local.reach import models_of, until_ready
from proxy.local.servers import Servers
from proxy.process.starting import free_port, must_be_free, stop_event
from runtime.config import load

# Slow enough to see the stream run.
_SIMULATED_CHUNK_DELAY_MS = "20"
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `farebox up` was asked for; `upstream` None: a simulated one."""

    upstream: str | None
    upstream_kind: str
    host: str
    port: int
    data: Path
    workers: int
    reset: bool


class Installation:
    """The parts, as they are started; `stack` stops them in the reverse order."""

    def __init__(self, wanted: Wanted, folder: DataFolder, stack: AsyncExitStack, say: Say) -> None:
        self.wanted = wanted
        self.folder = folder
        self.say = say
        self.base_url = f"http://{wanted.host}:{wanted.port}"
        self.processes: list[OwnProcess] = []
        self._stack = stack
        self._logs = folder.path / "logs"
        self._logs.mkdir(mode=0o700, exist_ok=True)

    async def process(self, name: str, *arguments: str) -> OwnProcess:
        """Start `farebox ARGUMENTS`."""
        part = OwnProcess(name, arguments, self._logs / f"{name}.log")
        await part.start()
        self._stack.push_async_callback(part.stop)
        self.processes.append(part)
        return part

    async def upstream(self) -> tuple[str, list[str]]:
        """Where the LLM server is and which models it has; a simulated one where none was given."""
        if self.wanted.upstream is not None:
            url = self.wanted.upstream.rstrip("/")
            return url, await models_of(url, os.environ.get("FAREBOX_UPSTREAM_API_KEY"))
        port = free_port(_LOOPBACK)
        models = list(STARTING_PRICES)
        named = [argument for model in models for argument in ("--model", model)]
        simulator = await self.process(
            "simulate", "simulate", "--port", str(port), "--chunk-delay-ms", _SIMULATED_CHUNK_DELAY_MS, *named
        )
        await until_ready(simulator, f"http://{_LOOPBACK}:{port}/healthz")
        return f"http://{_LOOPBACK}:{port}/v1", models

    def write_config(self, secrets: Secrets, started: Servers, upstream_url: str, models: list[str]) -> Path:
        settings: dict[str, Any] = {
            "listen": {"host": self.wanted.host, "port": self.wanted.port, "admin_on_public_port": True},
            "database": {"url": started.database_url},
            "redis": {"url": started.redis_url},
            "spool": {"dir": str(self.folder.spool)},
            "keys": {"pepper": secrets.key_pepper},
            "identity": {"jwt_secret": secrets.jwt_secret, "admin_user_ids": [secrets.admin_id]},
            "stripe": {"webhook_secrets": [secrets.stripe_webhook_secret]},
            "upstreams": [{"url": upstream_url, "kind": self.wanted.upstream_kind, "models": models}],
        }
        return self.folder.write_private("config.yaml", yaml.safe_dump(settings, sort_keys=False).encode())

    async def prepare_demo(self, config_path: Path, secrets: Secrets, started: Servers, models: list[str]) -> Demo:
        config = load(config_path)
        async with open_backends(config, "farebox-up") as backends:
            await demo.offer_prices(backends, models)
            key, key_id = await demo.key_for_demo(backends, config, self.folder, secrets)
        return demo.describe(self.base_url, key, key_id, secrets, started, models)


async def up(wanted: Wanted, say: Say) -> None:
    """Run until told to stop. Raises StartError and what its parts raise."""
    stop = stop_event()
    must_be_free(wanted.host, wanted.port)
    folder = DataFolder.open(wanted.data)
    if wanted.reset:
        await servers.forget(folder)
        folder.forget()
    async with AsyncExitStack() as stack:
        secrets = folder.secrets()
        say(f"Starting; data in {folder.path}")
        started = await servers.start(stack, folder, secrets)
        await migrate(started.database_url)
        here = Installation(wanted, folder, stack, say)
        upstream_url, models = await here.upstream()
        config_path = here.write_config(secrets, started, upstream_url, models)
        told = await here.prepare_demo(config_path, secrets, started, models)
        await here.process("ledger", "ledger", "--config", str(config_path))
        serve = await here.process("serve", "serve", "--config", str(config_path), "--workers", str(wanted.workers))
        await until_ready(serve, f"{here.base_url}/readyz")
        told.write(folder)
        say(_announcement(told, wanted, folder))
        await keep_all([*started.private, *here.processes], stop, say)
        say("Stopping")


def _announcement(told: Demo, wanted: Wanted, folder: DataFolder) -> str:
    source = wanted.upstream or "a simulated LLM server"
    price = "" if wanted.upstream is None else f" at ${demo.DEMO_PRICE} per 1,000 tokens"
    return f"""
Farebox listens on {told.base_url}, in front of {source}.
Models: {", ".join(told.models)}{price}. The demo wallet starts with $10.

{demo.how_to_call(told)}

Then see whether the books are right:

{sys.argv[0]} audit --config {folder.path / "config.yaml"}

Keys and addresses: {folder.path / demo.DEMO_FILE}. Logs: {folder.path / "logs"}. Ctrl-C stops everything.
"""
