"""All parts and the links between them, and what brings everything back after a schedule."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import yaml
from redis.asyncio import Redis

from ledger.migrate import migrate
from ledger.redis_schema import LEDGER_GROUP, usage_stream
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.embedded.valkey import EmbeddedValkey
from tests.support.chaos.customers import set_prices
from tests.support.chaos.links import Link, Mode, open_link
from tests.support.chaos.parts import Part, Process, Server
from tests.support.chaos.schedule import Topology
from tests.support.chaos.visits import ALONG, AT_END, NEVER
from tests.support.office import Office, open_books
from tests.support.program import JWT_SECRET, PEPPER, UPSTREAM_KEY, patient_redis

FEE_ONLY = "fee-only"
_SIMULATE = """
import sys
from runtime.simulator.server import run
from runtime.simulator.settings import SimulatorSettings
run(SimulatorSettings(models=tuple(sys.argv[2:]), api_key=sys.argv[1]))
"""
# Shorter than what they wait for in real life, so that a schedule sees them come true.
PATIENCE_S = {"connect_timeout_s": 1, "first_byte_timeout_s": 3, "idle_timeout_s": 3}
_BOOKS_TIMEOUT_S = 5
_MEND_TIMEOUT_S = 60.0
# Any time longer than a reader's absence has to be until the others take over what it had in hand.
_LONG_GONE_MS = 3_600_000


class Rig:
    """`make_rig` builds one. `links` and `parts` are named as in `Topology`; `office` and `http` go around links."""

    def __init__(self, topology: Topology, folder: Path, http: aiohttp.ClientSession) -> None:
        self.topology = topology
        self.folder = folder
        self.http = http
        self.links: dict[str, Link] = {}
        self.postgres = Server(EmbeddedPostgres, folder / "postgres")
        self.valkey = Server(EmbeddedValkey, folder / "valkey")
        self.processes: dict[str, Process] = {}
        self.office: Office
        # of requests that an LLM server knew when it was killed
        self._kept_books: list[dict[str, Any]] = []

    @property
    def parts(self) -> Mapping[str, Part]:
        return {**self.processes, "postgres": self.postgres, "valkey": self.valkey}

    def proxy_url(self, number: int) -> str:
        """Where clients of this proxy call."""
        return f"http://127.0.0.1:{self.links[f'client>proxy-{number}'].port}"

    async def start(self, stack: AsyncExitStack) -> None:
        self._plan_processes()
        for name in self.topology.links:
            self.links[name] = await stack.enter_async_context(open_link(name))
        stack.push_async_callback(self._end)
        await asyncio.gather(self.postgres.start(), self.valkey.start(), self.processes["upstream"].start())
        await migrate(self.postgres.url)
        await set_prices(self.postgres.url)
        for name, process in self.processes.items():
            if name != "upstream":
                self._write_config(process)
        self.retarget()
        self.office = await stack.enter_async_context(open_books(self.postgres.url, patient_redis(self.valkey.url)))
        await self.mend()

    async def mend(self) -> list[str]:
        """Lifts every fault and starts what is dead; returns when all proxies are ready. What had ended by itself."""
        for link in self.links.values():
            link.set(Mode.PASS)
        for part in self.parts.values():
            part.thaw()
        ended = [process.how_it_ended() for process in self.processes.values() if process.ended_by_itself]
        async with asyncio.timeout(_MEND_TIMEOUT_S):
            await asyncio.gather(self.postgres.start(), self.valkey.start())
            await self._let_time_pass_for_dead_readers()
            await asyncio.gather(*(process.start() for process in self.processes.values()))
            self.retarget()
            await asyncio.gather(*(self._until_ready(name) for name in self.processes if name.startswith("proxy")))
        return ended

    async def revive(self, name: str) -> None:
        """Start it again. One of ours that finds its servers away ends at once, and is left to `mend`."""
        try:
            await self.parts[name].start()
        except AssertionError:
            self.processes[name].was_ready = False
        self.retarget()

    async def kill(self, name: str) -> None:
        """Of an LLM server its books are kept: nobody else knows what it emitted."""
        if name == "upstream":
            for record in await self.books():
                self._kept_books.append(record | ({"state": "killed"} if record["state"] == "running" else {}))
        await self.parts[name].kill()

    async def books(self) -> list[dict[str, Any]]:
        """What the LLM server emitted, request by request, before its deaths and since."""
        timeout = aiohttp.ClientTimeout(total=_BOOKS_TIMEOUT_S)
        async with self.http.get(f"{self._books_url}/requests", timeout=timeout) as answer:
            found: list[dict[str, Any]] = await answer.json()
        known = {record["request_id"] for record in self._kept_books}
        return self._kept_books + [record for record in found if record["request_id"] not in known]

    async def forget_books(self) -> None:
        self._kept_books.clear()
        async with self.http.delete(f"{self._books_url}/requests") as answer:
            assert answer.status == 200

    def retarget(self) -> None:
        """Links lead to where their servers listen now."""
        for name, link in self.links.items():
            server = name.split(">")[1]
            if server in ("postgres", "valkey"):
                link.target = ("127.0.0.1", (self.postgres if server == "postgres" else self.valkey).port)
            else:
                link.target = self.processes[server].address

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{process.logs()}" for name, process in self.processes.items())

    @property
    def _books_url(self) -> str:
        address = self.processes["upstream"].address
        assert address is not None
        return f"http://{address[0]}:{address[1]}/simulator"

    def _plan_processes(self) -> None:
        simulate = ["-c", _SIMULATE, UPSTREAM_KEY, ALONG, AT_END, NEVER, FEE_ONLY]
        self.processes["upstream"] = Process("upstream", simulate, self.folder / "upstream", "listening on ")
        for name in self.topology.processes:
            if name.startswith("proxy"):
                self._plan(name, "serve", '"event":"serving"')
            elif name.startswith("ledger"):
                self._plan(name, "ledger", '"event":"ledger_running"')

    def _plan(self, name: str, command: str, ready_sign: str) -> None:
        folder = self.folder / name
        argv = ["-m", "proxy", command, "--config", str(folder / "config.yaml")]
        self.processes[name] = Process(name, argv, folder, ready_sign)

    def _write_config(self, process: Process) -> None:
        name = process.name
        tree = configuration(
            through(self.postgres.url, self.links[f"{name}>postgres"]),
            through(self.valkey.url, self.links[f"{name}>valkey"]),
            self.links.get(f"{name}>upstream"),
        )
        (process.folder / "config.yaml").write_text(yaml.safe_dump(tree))

    async def _let_time_pass_for_dead_readers(self) -> None:
        """What a killed ledger process had in hand is taken over after half a minute; here, at once."""
        living = {f"-{process.pid}" for process in self.processes.values() if process.runs}
        redis = Redis.from_url(self.valkey.url)
        stream = usage_stream(0)
        try:
            if not await redis.exists(stream):
                return
            for reader in await redis.xinfo_consumers(stream, LEDGER_GROUP):
                name = reader["name"].decode()
                if not reader["pending"] or any(name.endswith(pid) for pid in living):
                    continue
                pending = await redis.xpending_range(stream, LEDGER_GROUP, "-", "+", 1000, consumername=name)
                ids: list[Any] = [entry["message_id"] for entry in pending]
                await redis.xclaim(stream, LEDGER_GROUP, name, 0, ids, idle=_LONG_GONE_MS, justid=True)
        finally:
            await redis.aclose()

    async def _until_ready(self, name: str) -> None:
        address = self.processes[name].address
        assert address is not None
        while True:  # bounded by `mend`
            async with self.http.get(f"http://{address[0]}:{address[1]}/readyz") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.02)

    async def _end(self) -> None:
        await asyncio.gather(*(process.end() for process in self.processes.values()))
        await asyncio.gather(self.postgres.end(), self.valkey.end())


def through(url: str, link: Link) -> str:
    """The same server, reached through a link."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{link.port}"))


def configuration(database_url: str, redis_url: str, upstream: Link | None) -> dict[str, Any]:
    """Of one process. Its working folder is its own, so that what it keeps on disk is too."""
    url = f"http://127.0.0.1:{upstream.port if upstream else 1}"
    served = {"api_key": UPSTREAM_KEY, **PATIENCE_S}
    return {
        "listen": {"host": "127.0.0.1", "port": 0, "shutdown_timeout_s": 2},
        "database": {"url": database_url, "timeout_s": 2},
        "redis": {"url": redis_url},
        "keys": {"pepper": PEPPER, "bcrypt_cost": 4},
        "identity": {"jwt_secret": JWT_SECRET},
        "upstreams": [
            {"name": "along", "kind": "vllm", "url": f"{url}/kinds/vllm/v1", "models": [ALONG], **served},
            {"name": "plain", "url": f"{url}/v1", "models": [AT_END, NEVER, FEE_ONLY], **served},
        ],
    }


def _open_folder() -> Path:
    """Outside pytest's own, which is closed to the user that Postgres runs as under root."""
    folder = Path(tempfile.mkdtemp(prefix="farebox-chaos-"))
    folder.chmod(0o711)
    return folder


@asynccontextmanager
async def make_rig(topology: Topology) -> AsyncIterator[Rig]:
    """Everything started and ready; all of it gone afterwards."""
    folder = _open_folder()
    try:
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession())
            rig = Rig(topology, folder, http)
            await rig.start(stack)
            yield rig
    finally:
        await asyncio.to_thread(rmtree, folder)  # other rigs of this loop go on
