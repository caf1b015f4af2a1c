"""Starts what a benchmark needs: the upstream, contenders one at a time, and all of Farebox on real servers."""

import asyncio
import json
import shutil
import socket
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg
import psutil

from accounts.keys import NewKey
from benchmarks.affinity import Cores, Plan, goes_first, pinned
from benchmarks.asked import MODEL
from ledger.migrate import migrate
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.embedded.valkey import EmbeddedValkey
from runtime.processes import Child, start_child
from tests.support.ledger import USD
from tests.support.office import Office, open_office, set_prices
from tests.support.program import Program, environment

READY_S = 30.0
# More than any run can spend, so that no request is refused.
MONEY_NANOS = 100_000 * USD
REQUESTS_PER_MINUTE = 100_000_000
# So many that nothing is measured that has one hot spot.
WALLETS, KEYS_OF_A_WALLET = 50, 2
# More than the streams that are opened at once.
UPSTREAM_CONNECTIONS = 16_384


@dataclass(frozen=True)
class Ground:
    """What everything stands on: a folder, the cores, Postgres, Redis, and the upstream.

    `audited`: of each run of Farebox whose books held, how many tokens were emitted and billed. `for_others`: how many
    tokens the upstream emitted for each of the others that was asked. `stores`: the pids of Postgres and Valkey, and
    the cores that they are on.
    """

    folder: Path
    where: Plan
    database: str
    redis: str
    upstream: str
    audited: list[int] = field(default_factory=list)
    for_others: list[int] = field(default_factory=list)
    stores: dict[int, Cores] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """A server under test; no pid where nothing stands between load and upstream. A slow one gets less to do."""

    name: str
    url: str
    keys: list[str]
    pid: int | None
    slow: bool = False

    def cpu_s(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._tree())

    def kept_waiting_s(self) -> float:
        """How long its threads could have run and had no core, for somebody else was on it."""
        paths = [path for each in self._tree() for path in Path(f"/proc/{each.pid}/task").glob("*/schedstat")]
        return sum(int(path.read_text().split()[1]) for path in paths) / 1e9  # nanoseconds

    def memory_bytes(self) -> int:
        return sum(process.memory_info().rss for process in self._tree())

    def _tree(self) -> list[psutil.Process]:
        if self.pid is None:
            return []
        top = psutil.Process(self.pid)
        return [top, *top.children(recursive=True)]


@dataclass
class Farebox:
    """The whole program and the servers it stands on."""

    program: Program
    office: Office
    keys: list[str]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def listening(port: int, ready_s: float) -> None:
    async with asyncio.timeout(ready_s):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


@asynccontextmanager
async def child(
    name: str,
    argv: list[str],
    port: int,
    folder: Path,
    cores: Cores,
    ready_s: float = READY_S,
    more: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Child]:
    """A process that is ready once somebody listens at `port`; `more` is added to its environment."""
    with pinned(cores):
        started = start_child(argv, name=name, env={**_as_installed(), **more}, log_path=folder / f"{name}.log")
    try:
        await listening(port, ready_s)
        yield started
    finally:
        await started.stop()


def _as_installed() -> dict[str, str]:
    """pip compiles what it installs. In a shell that tells Python to keep nothing compiled, each start would do so anew
    and take twice as long.
    """
    return {name: value for name, value in environment().items() if name != "PYTHONDONTWRITEBYTECODE"}


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def books(upstream: str) -> dict[str, int]:
    """What the upstream says it answered."""
    with urllib.request.urlopen(upstream, timeout=READY_S) as answer:  # noqa: S310 -- ours, on this machine
        told: dict[str, int] = json.load(answer)
        return told


@asynccontextmanager
async def scratch() -> AsyncIterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="farebox-bench-"))
    folder.chmod(0o711)  # noqa: ASYNC240 -- within reach of the user that Postgres runs as under root
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@asynccontextmanager
async def ground(where: Plan) -> AsyncIterator[Ground]:
    """Postgres with fsync and Valkey with AOF, as the product starts them, and the upstream."""
    port = free_port()
    async with scratch() as folder:
        with pinned(where.stores):
            postgres = await EmbeddedPostgres.start(folder / "postgres", "a-password-of-a-benchmark")
        with pinned(where.redis):
            valkey = await EmbeddedValkey.start(folder / "valkey", "a-password-of-a-benchmark")
            goes_first(valkey.pid)
        try:
            await migrate(postgres.url)
            await set_prices(postgres.url)
            argv = python("benchmarks.upstream", str(port))
            async with child("upstream", argv, port, folder, where.upstream):
                stores = {postgres.pid: where.stores, valkey.pid: where.redis}
                yield Ground(folder, where, postgres.url, valkey.url, f"http://127.0.0.1:{port}", stores=stores)
        finally:
            await valkey.stop()
            await postgres.stop()


@asynccontextmanager
async def farebox(on: Ground, **sections: Any) -> AsyncIterator[Farebox]:
    """Its wallets, keys and ledger; `sections` are laid over those of its configuration."""
    limits = {"max_requests_per_minute": REQUESTS_PER_MINUTE, "max_requests_per_day": REQUESTS_PER_MINUTE}
    upstream = {"name": "main", "url": on.upstream + "/v1", "models": [MODEL], "max_connections": UPSTREAM_CONNECTIONS}
    listen = {"port": free_port(), "max_wrong_keys_per_minute": 0}  # all load comes from one address
    usual = {"keys": limits, "log": {"level": "warning"}, "listen": listen, "upstreams": [upstream]}
    program = Program(on.folder, on.database, on.redis, usual | sections)
    program.write_config()
    async with open_office(program) as office:
        made = [key for _ in range(WALLETS) for key in await wallet(office)]
        try:
            with pinned(on.where.stores):
                program.start_ledger()
            yield Farebox(program, office, made)
        finally:
            await program.stop()


async def wallet(office: Office) -> list[str]:
    """The keys of a new one."""
    first = await office.customer(MONEY_NANOS, rpm=REQUESTS_PER_MINUTE, rpd=REQUESTS_PER_MINUTE)
    asked = NewKey(first.user_id, "one more", REQUESTS_PER_MINUTE, REQUESTS_PER_MINUTE, None)
    return [first.key, *[(await office.keys.create(asked))[0] for _ in range(KEYS_OF_A_WALLET - 1)]]


@asynccontextmanager
async def proxy(on: Ground, running: Farebox, *options: str) -> AsyncIterator[Contender]:
    """`farebox serve` on the server's core; `options` are of the command, e.g. `--workers 2`."""
    port = int(running.program.sections["listen"]["port"])
    argv = python("proxy", "serve", "--config", str(running.program.config), *options)
    async with child("serve", argv, port, on.folder, on.where.server) as started:
        yield Contender("Farebox", f"http://127.0.0.1:{port}", running.keys, started.pid)


@asynccontextmanager
async def audited_proxy(on: Ground, running: Farebox, *options: str) -> AsyncIterator[Contender]:
    """The proxy; when it has ended, the audit must hold and each token that was emitted must have been billed."""
    emitted, billed = emitted_tokens(on), await billed_tokens(on.database)
    async with proxy(on, running, *options) as at:
        yield at
    await running.office.settled()
    emitted, billed = emitted_tokens(on) - emitted, await billed_tokens(on.database) - billed
    if emitted != billed:
        raise RuntimeError(f"{emitted} tokens were emitted and {billed} billed")
    on.audited.append(emitted)


def emitted_tokens(on: Ground) -> int:
    """By the upstream, for Farebox and whoever has not asked through another contender."""
    return books(on.upstream)["tokens"] - sum(on.for_others)


async def billed_tokens(database: str) -> int:
    connection = await asyncpg.connect(database)
    try:
        found: int = await connection.fetchval("SELECT coalesce(sum(output_tokens), 0) FROM ai_usage_logs")
        return found
    finally:
        await connection.close()
