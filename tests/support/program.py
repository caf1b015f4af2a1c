"""The whole program as children of the test: `farebox serve`, `farebox ledger`, and an LLM server with its own books.

A `Program` is not tied to an event loop: a fixture of a module may start it under one, tests use it under others.
"""

import asyncio
import itertools
import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from ledger.redis_schema import usage_stream
from proxy.backends import connect_redis
from runtime.processes import Child, start_child
from runtime.settings import RedisServer
from tests.support.ledger import until as until_asked
from tests.support.waiting import UNTIL_TIMEOUT_S, read, until

UPSTREAM_KEY = "sk-upstream-credential-that-nobody-may-see"
PEPPER = "a pepper for tests, at least 32 characters"
JWT_SECRET = "a secret for tests, at least 32 characters"

TINY = "tiny"
# Nothing for input, so that a request can be made to cost exactly what was held for it.
OUTPUT_ONLY = "output-only"
UNPRICED = "unpriced"
# Served by an upstream that is given half a second for everything.
IMPATIENT = "impatient"
# Served by an upstream that refuses connections.
GONE = "gone"
# Served by an upstream that refuses our credential.
MISTRUSTED = "mistrusted"
MODELS = (TINY, OUTPUT_ONLY, UNPRICED, IMPATIENT, GONE, MISTRUSTED)
PATIENCE_S = 0.5
_AGAIN = 20
_AGAIN_AFTER_S = 0.1
_CLUSTER_TIMEOUT_S = 5.0

_SIMULATE = """
import sys
from runtime.simulator.server import run
from runtime.simulator.settings import SimulatorSettings
run(SimulatorSettings(models=tuple(sys.argv[2:]), api_key=sys.argv[1], record_credentials=True))
"""
# What a developer's shell may hold must not reach the program: the environment overrides the file.
_NOT_INHERITED = ("FAREBOX_", "ADMIN_USER_IDS", "STRIPE_")


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}


def patient_redis(url: str) -> Redis:
    """A server that a test has started again has forgotten its connections."""
    return Redis.from_url(url, retry=Retry(ConstantBackoff(_AGAIN_AFTER_S), _AGAIN))


class Program:
    """Everything of ours between a client and an LLM server; the servers it stands on are handed in.

    `sections` are laid over the sections of the configuration, e.g. `{"listen": {"max_body_bytes": 2048}}`.
    """

    def __init__(
        self, folder: Path, database_url: str, redis_url: str, sections: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = folder
        self.database_url = database_url
        self.redis_url = redis_url
        self.config = folder / "config.yaml"
        self.spool = folder / "spool"
        self.children: list[Child] = []
        self.sections = dict(sections or {})
        self._numbers = itertools.count()
        self._closed_port = socket.socket()
        self._closed_port.bind(("127.0.0.1", 0))  # and nobody listens
        self.ledger: Child | None = None
        self.proxy: Child | None = None
        self.base_url = ""
        self.upstream_url = self._refusing_url()

    @property
    def shards(self) -> int:
        return int(self.sections.get("redis", {}).get("shards", 1))

    def connect_redis(self) -> Redis:
        """A client of what it keeps its limits in; a server that was started again has forgotten its connections."""
        section = self.sections.get("redis", {})
        if section.get("cluster"):
            return connect_redis(RedisServer.model_validate({"url": self.redis_url, **section}), _CLUSTER_TIMEOUT_S)
        return patient_redis(self.redis_url)

    async def start(self) -> None:
        """The LLM server first, the others together; returns when the proxy serves and the ledger works."""
        self.upstream_url = await self._start_simulator()
        self.write_config()
        self.start_ledger()
        self.proxy, self.base_url = await self.start_proxy()
        await self._ledger_reads()

    def write_config(self) -> None:
        """For what needs the configuration and no running program."""
        self._write_config(self.config, self.sections)

    def _write_config(self, path: Path, sections: Mapping[str, Any]) -> Path:
        tree = configuration(self.database_url, self.redis_url, self.upstream_url, self._refusing_url())
        tree["spool"] = {"dir": str(self.spool)}
        for name, section in sections.items():
            tree[name] = tree.get(name, {}) | section if isinstance(section, dict) else section
        path.write_text(yaml.safe_dump(tree))
        return path

    async def start_proxy(self, **sections: Any) -> tuple[Child, str]:
        """One more proxy, configured like the first but for these sections; itself and its address."""
        config = self.config
        if sections:
            config = self._write_config(self.folder / f"config-{next(self._numbers)}.yaml", self.sections | sections)
        child, log_path = self._start("serve", "--config", str(config))
        return child, await self._address(child, log_path)

    async def start_proxy_on(self, config: Path, *options: str, times: int = 1) -> tuple[Child, str, Path]:
        """One more, on a configuration of the test's own; itself, its address and its log."""
        child, log_path = self._start("serve", "--config", str(config), *options)
        await until(lambda: _has(child, log_path, '"event":"serving"', times))
        return child, await self._address(child, log_path), log_path

    async def start_workers(
        self, count: int, port: int, *, with_ledger: bool = False, **listen: Any
    ) -> tuple[Child, str]:
        """Several proxies on one port, and the process that looks after them; `listen` has more settings of it."""
        sections = self.sections | {"listen": {"port": port} | listen}
        config = self._write_config(self.folder / f"config-{next(self._numbers)}.yaml", sections)
        more = ["--ledger"] if with_ledger else []
        child, log_path = self._start("serve", "--config", str(config), "--workers", str(count), *more)
        await until(lambda: _has(child, log_path, '"event":"serving"', count))
        return child, await self._address(child, log_path)

    def start_ledger(self) -> Child:
        self.ledger, _ = self._start("ledger", "--config", str(self.config))
        return self.ledger

    async def start_ledger_with_metrics(self) -> tuple[Child, str]:
        """One more ledger process, and where it answers."""
        sections = self.sections | {"metrics": {"ledger": {"port": 0}}}
        config = self._write_config(self.folder / f"config-{next(self._numbers)}.yaml", sections)
        child, log_path = self._start("ledger", "--config", str(config))
        return child, await self._address(child, log_path, "serving_metrics")

    async def run_to_end(self, command: str, *options: str, config: Path | None = None) -> tuple[int, str]:
        """One more process, which is expected to end by itself: its exit code, and what it said."""
        given = () if command == "simulate" else ("--config", str(config or self.config))
        child, log_path = self._start(command, *given, *options)
        async with asyncio.timeout(UNTIL_TIMEOUT_S):
            return await child.wait(), log_path.read_text()

    async def stop(self) -> None:
        """All of it at once: what a test waits for, it waits for itself."""
        await asyncio.gather(*(child.stop() for child in self.children))
        self._closed_port.close()

    def logs(self) -> str:
        """What the processes of ours have said so far, without the LLM server."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")) if path.stem != "simulate")

    def _start(self, command: str, *arguments: str) -> tuple[Child, Path]:
        log_path = self.folder / f"{command}-{next(self._numbers)}.log"
        child = start_child(
            [sys.executable, "-m", "proxy", command, *arguments],
            name=command,
            env=environment(),
            log_path=log_path,
        )
        self.children.append(child)
        return child, log_path

    async def _start_simulator(self) -> str:
        log_path = self.folder / "simulate.log"
        argv = [sys.executable, "-c", _SIMULATE, UPSTREAM_KEY, *MODELS]
        child = start_child(argv, name="simulate", env=environment(), log_path=log_path)
        self.children.append(child)
        await until(lambda: _has(child, log_path, "listening on "))
        return log_path.read_text().split("listening on ")[1].split(",")[0]

    async def _ledger_reads(self) -> None:
        """It says nothing when it starts; the stream is there once it has asked for it."""
        redis = self.connect_redis()

        async def is_there() -> bool:
            assert self.ledger is not None and self.ledger.exit_code is None, self.logs()
            return all([await redis.exists(usage_stream(shard)) for shard in range(self.shards)])

        try:
            await until_asked(is_there)
        finally:
            await redis.aclose()

    async def _address(self, child: Child, log_path: Path, event: str = "serving") -> str:
        await until(lambda: _has(child, log_path, f'"event":"{event}"'))
        lines = map(json.loads, read(log_path).splitlines())
        return next(str(line["address"]) for line in lines if line["event"] == event)

    def _refusing_url(self) -> str:
        host, port = self._closed_port.getsockname()
        return f"http://{host}:{port}/v1"


def _has(child: Child, log_path: Path, text: str, times: int = 1) -> bool:
    said = log_path.read_text() if log_path.exists() else ""
    assert child.exit_code is None, f"{child.name} ended with exit code {child.exit_code}: {said}"
    return said.count(text) >= times and said.endswith("\n")


def configuration(database_url: str, redis_url: str, upstream_url: str, refusing_url: str) -> dict[str, Any]:
    """What every program under test is configured with."""
    # tests play one failure after another, and each is to see its own
    forgiving = {"breaker": {"failures": 0}}
    served = {"url": upstream_url, "api_key": UPSTREAM_KEY, **forgiving}
    patience = {"connect_timeout_s": PATIENCE_S, "first_byte_timeout_s": PATIENCE_S, "idle_timeout_s": PATIENCE_S}
    return {
        "listen": {"host": "127.0.0.1", "port": 0, "admin_on_public_port": True},
        "database": {"url": database_url},
        "redis": {"url": redis_url},
        "keys": {"pepper": PEPPER, "bcrypt_cost": 4},
        "identity": {"jwt_secret": JWT_SECRET},
        "upstreams": [
            {"name": "main", **served, "models": [TINY, OUTPUT_ONLY, UNPRICED]},
            {"name": "impatient", **served, **patience, "models": [IMPATIENT]},
            {"name": "gone", "url": refusing_url, "models": [GONE], **forgiving},
            {
                "name": "mistrusted",
                "url": upstream_url,
                "api_key": "sk-of-somebody-else",
                "models": [MISTRUSTED],
                **forgiving,
            },
        ],
    }
