"""Starts what a benchmark needs: the upstream, contenders one at a time, and all of Farebox on real servers."""

import asyncio
import json
import os
import shutil
import socket
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from benchmarks.affinity import Plan, pinned
from ledger.migrate import migrate
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.embedded.valkey import EmbeddedValkey
from runtime.processes import Child, start_child
from tests.support.ledger import USD
from tests.support.office import Customer, Office, open_office, set_prices
from tests.support.program import Program, environment

READY_S = 30.0
# More than any run can spend, so that no request is refused.
MONEY_NANOS = 100_000 * USD
REQUESTS_PER_MINUTE = 100_000_000
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log; {user}
events {{ worker_connections 16384; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    keepalive_requests 100000000;
    upstream up {{ server {upstream}; keepalive 1024; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://up; proxy_http_version 1.1; proxy_buffering off;
            proxy_set_header Connection "";
        }}
    }}
}}"""


@dataclass(frozen=True)
class Contender:
    """A server under test; no pid where nothing stands between load and upstream."""

    url: str
    key: str
    pid: int | None

    def cpu_s(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._tree())

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
    customer: Customer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def listening(port: int) -> None:
    async with asyncio.timeout(READY_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


@asynccontextmanager
async def child(name: str, argv: list[str], port: int, folder: Path, cores: frozenset[int]) -> AsyncIterator[Child]:
    """A process that is ready once somebody listens at `port`."""
    with pinned(cores):
        started = start_child(argv, name=name, env=environment(), log_path=folder / f"{name}.log")
    try:
        await listening(port)
        yield started
    finally:
        await started.stop()


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def books(upstream: str) -> dict[str, int]:
    """What the upstream says it answered."""
    with urllib.request.urlopen(upstream, timeout=READY_S) as answer:  # noqa: S310 -- ours, on this machine
        told: dict[str, int] = json.load(answer)
        return told


@asynccontextmanager
async def bare_aiohttp(upstream: str, folder: Path, plan: Plan) -> AsyncIterator[Contender]:
    port = free_port()
    argv = python("benchmarks.contenders.bare_aiohttp", str(port), upstream)
    async with child("bare_aiohttp", argv, port, folder, plan.server) as started:
        yield Contender(f"http://127.0.0.1:{port}", "none", started.pid)


@asynccontextmanager
async def nginx(program: str, upstream: str, folder: Path, plan: Plan) -> AsyncIterator[Contender]:
    port, config = free_port(), folder / "nginx.conf"
    user = "user root;" if os.getuid() == 0 else ""
    config.write_text(NGINX.format(folder=folder, upstream=upstream.removeprefix("http://"), port=port, user=user))
    async with child("nginx", [program, "-c", str(config), "-p", str(folder)], port, folder, plan.server) as started:
        yield Contender(f"http://127.0.0.1:{port}", "none", started.pid)


@asynccontextmanager
async def scratch() -> AsyncIterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="farebox-bench-"))
    folder.chmod(0o711)  # noqa: ASYNC240 -- within reach of the user that Postgres runs as under root
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@asynccontextmanager
async def servers(folder: Path, plan: Plan) -> AsyncIterator[tuple[str, str]]:
    """Postgres with fsync and Valkey with AOF, as the product starts them; their addresses."""
    with pinned(plan.stores):
        postgres = await EmbeddedPostgres.start(folder / "postgres", "a-password-of-a-benchmark")
        valkey = await EmbeddedValkey.start(folder / "valkey", "a-password-of-a-benchmark")
    try:
        await migrate(postgres.url)
        await set_prices(postgres.url)
        yield postgres.url, valkey.url
    finally:
        await valkey.stop()
        await postgres.stop()


@asynccontextmanager
async def farebox(database: str, redis: str, upstream: str, folder: Path, plan: Plan) -> AsyncIterator[Farebox]:
    keys = {"max_requests_per_minute": REQUESTS_PER_MINUTE, "max_requests_per_day": REQUESTS_PER_MINUTE}
    program = Program(folder, database, redis, {"keys": keys, "log": {"level": "warning"}})
    program.upstream_url = upstream + "/v1"
    program.sections["listen"] = {"port": free_port()}
    program.write_config()
    async with open_office(program) as office:
        customer = await office.customer(MONEY_NANOS, rpm=REQUESTS_PER_MINUTE, rpd=REQUESTS_PER_MINUTE)
        try:
            with pinned(plan.stores):
                program.start_ledger()
            yield Farebox(program, office, customer)
        finally:
            await program.stop()


@asynccontextmanager
async def proxy(running: Farebox, folder: Path, plan: Plan) -> AsyncIterator[Contender]:
    port = int(running.program.sections["listen"]["port"])
    argv = python("proxy", "serve", "--config", str(running.program.config))
    async with child("serve", argv, port, folder, plan.server) as started:
        yield Contender(f"http://127.0.0.1:{port}", running.customer.key, started.pid)


async def billed_tokens(database: str) -> int:
    connection = await asyncpg.connect(database)
    try:
        found: int = await connection.fetchval("SELECT coalesce(sum(output_tokens), 0) FROM ai_usage_logs")
        return found
    finally:
        await connection.close()
