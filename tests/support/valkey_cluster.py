"""A real cluster on this machine: three nodes of the embedded Valkey, made into one as an operator would.

Nodes are told to serve what they have when another is away (`cluster-require-full-coverage no`).
"""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from proxy.redis_client import connect_cluster
from runtime.embedded.launch import HOST, free_port
from runtime.embedded.valkey import EmbeddedValkey
from runtime.redis_cluster import RedisCluster
from tests.support.ledger import until

NODES = 3
# More than there are nodes, and not spread evenly: 2 on the first, 2 on the second, 1 on the third or so.
SHARDS = 5
SLOTS = 16_384
# What a slow machine may take to answer is no outage.
TIMEOUT_S = 5.0
_PASSWORD = secrets.token_urlsafe()
# A machine that is busy for a while is no node that is away: without replicas, nothing waits for this to be noticed.
_NODE_TIMEOUT_MS = 5_000
_MIGRATE_TIMEOUT_MS = 5_000


class ValkeyCluster:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bus_ports: list[int] = []
        self.servers: list[EmbeddedValkey] = []

    @classmethod
    async def start(cls, folder: Path) -> "ValkeyCluster":
        cluster = cls(folder)
        cluster._bus_ports = [free_port() for _ in range(NODES)]
        cluster.servers = [await cluster._start(number) for number in range(NODES)]
        await cluster._join()
        return cluster

    async def _start(self, number: int, port: int = 0) -> EmbeddedValkey:
        settings = {
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": str(_NODE_TIMEOUT_MS),
            "cluster-require-full-coverage": "no",
            "cluster-port": str(self._bus_ports[number]),
            "cluster-announce-ip": HOST,
            "masterauth": _PASSWORD,  # by which nodes present themselves to each other when slots move at once
        }
        folder = self._folder / f"node-{number}"
        return await EmbeddedValkey.start(folder, _PASSWORD, port=port, settings=settings)

    async def _join(self) -> None:
        borders = [number * SLOTS // NODES for number in range(NODES + 1)]
        for number in range(NODES):
            async with self.node(number) as node:
                await node.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                await node.execute_command("CLUSTER ADDSLOTSRANGE", borders[number], borders[number + 1] - 1)
        async with self.node(0) as first:
            for server, bus_port in zip(self.servers[1:], self._bus_ports[1:], strict=True):
                await first.execute_command("CLUSTER MEET", HOST, server.port, bus_port)
        await until(self.is_whole)

    async def is_whole(self) -> bool:
        """Does every node know the owner of every slot, and think it alive?"""
        for number in range(NODES):
            try:
                async with self.node(number) as node:
                    seen = await node.execute_command("CLUSTER SLOTS")
                    told = await node.execute_command("CLUSTER INFO")
            except RedisError:
                return False
            served = sum(last - first + 1 for first, last, *_ in seen)
            if served != SLOTS or told["cluster_state"] != "ok" or int(told.get("cluster_slots_fail", 0)):
                return False
        return True

    @property
    def url(self) -> str:
        return self.servers[0].url

    @property
    def nodes(self) -> list[tuple[str, int]]:
        return [(HOST, server.port) for server in self.servers]

    def client(self, timeout_s: float = TIMEOUT_S) -> RedisCluster:
        return connect_cluster(self.url, self.nodes, timeout_s)

    @asynccontextmanager
    async def node(self, number: int) -> AsyncIterator[Any]:
        """A client of this node alone."""
        client = Redis.from_url(self.servers[number].url)
        try:
            yield client
        finally:
            await client.aclose()

    async def owner(self, slot: int) -> int:
        """The number of the node that serves it, by the word of a node that answers."""
        for number in range(NODES):
            if self.servers[number].exit_code is not None:
                continue
            async with self.node(number) as node:
                seen = await node.execute_command("CLUSTER SLOTS")
            ports = [owner[1] for first, last, owner, *_ in seen if first <= slot <= last]
            return next(n for n, server in enumerate(self.servers) if server.port in ports)
        raise AssertionError("no node runs")

    async def owner_of_shard(self, shard: int) -> int:
        return await self.owner(slot_of_shard(shard))

    async def empty(self) -> None:
        for number in range(NODES):
            async with self.node(number) as node:
                await node.flushall()
                await node.script_flush()

    async def kill(self, number: int) -> None:
        """Without a warning."""
        os.kill(self.servers[number].pid, signal.SIGKILL)
        await self.servers[number].wait()
        await self.servers[number].stop()

    async def start_again(self, number: int) -> None:
        """On the same port, with what it had written."""
        self.servers[number] = await self._start(number, self.servers[number].port)
        await until(self.is_whole)

    async def stop(self) -> None:
        await asyncio.gather(*(server.stop() for server in self.servers))

    async def move_at_once(self, slot: int, to: int) -> None:
        """As Valkey 9 does it: copied in the background, then handed over whole."""
        source = await self.owner(slot)
        async with self.node(to) as node:
            to_id = await node.execute_command("CLUSTER MYID")
        async with self.node(source) as node:
            await node.execute_command("CLUSTER MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", to_id)

        async def all_agree() -> bool:
            for number in range(NODES):
                async with self.node(number) as node:
                    seen = await node.execute_command("CLUSTER SLOTS")
                port = next(owner[1] for first, last, owner, *_ in seen if first <= slot <= last)
                if port != self.servers[to].port:
                    return False
            return True

        await until(all_agree)

    async def begin_to_move(self, slot: int, to: int) -> "Move":
        move = Move(self, slot, await self.owner(slot), to)
        await move.begin()
        return move


class Move:
    """A slot on its way from node to node, key by key, while the cluster serves it."""

    def __init__(self, cluster: ValkeyCluster, slot: int, source: int, to: int) -> None:
        self._cluster, self.slot, self.source, self.to = cluster, slot, source, to

    async def begin(self) -> None:
        source_id, to_id = await self._id(self.source), await self._id(self.to)
        async with self._cluster.node(self.to) as node:
            await node.execute_command("CLUSTER SETSLOT", self.slot, "IMPORTING", source_id)
        async with self._cluster.node(self.source) as node:
            await node.execute_command("CLUSTER SETSLOT", self.slot, "MIGRATING", to_id)

    async def keys(self, count: int = 100) -> list[bytes]:
        """What is still where it was."""
        async with self._cluster.node(self.source) as node:
            found: list[bytes] = await node.execute_command("CLUSTER GETKEYSINSLOT", self.slot, count)
            return found

    async def bring(self, names: Sequence[bytes]) -> None:
        if not names:
            return
        port = self._cluster.servers[self.to].port
        async with self._cluster.node(self.source) as node:
            await node.execute_command(
                "MIGRATE", HOST, port, "", 0, _MIGRATE_TIMEOUT_MS, "AUTH", _PASSWORD, "KEYS", *names
            )

    async def bring_all(self) -> None:
        while names := await self.keys():
            await self.bring(names)

    async def end(self) -> None:
        to_id = await self._id(self.to)
        for number in (self.to, *(n for n in range(NODES) if n != self.to)):
            async with self._cluster.node(number) as node:
                await node.execute_command("CLUSTER SETSLOT", self.slot, "NODE", to_id)

    async def _id(self, number: int) -> bytes:
        async with self._cluster.node(number) as node:
            found: bytes = await node.execute_command("CLUSTER MYID")
            return found


def slot_of_shard(shard: int) -> int:
    return int(key_slot(f"{{{shard}}}".encode()))


@pytest.fixture(scope="session")
def valkey_cluster(servers_dir: Path) -> Iterator[ValkeyCluster]:
    """A running cluster, for tests that leave its nodes alone and put back the slots that they move."""
    cluster = asyncio.run(ValkeyCluster.start(servers_dir / "cluster"))
    yield cluster
    asyncio.run(cluster.stop())


@pytest.fixture
async def cluster(valkey_cluster: ValkeyCluster) -> ValkeyCluster:
    """The same without data and scripts."""
    await valkey_cluster.empty()
    return valkey_cluster


@pytest.fixture(params=["one server", "cluster"])
def one_or_cluster(request: pytest.FixtureRequest) -> EmbeddedValkey | ValkeyCluster:
    """For what must be the same on both."""
    name = "valkey_cluster" if request.param == "cluster" else "valkey_server"
    found: EmbeddedValkey | ValkeyCluster = request.getfixturevalue(name)
    return found


def client_of(server: EmbeddedValkey | ValkeyCluster) -> Redis:
    return server.client() if isinstance(server, ValkeyCluster) else Redis.from_url(server.url)


async def emptied(server: EmbeddedValkey | ValkeyCluster) -> None:
    """Without data and scripts."""
    if isinstance(server, ValkeyCluster):
        await server.empty()
        return
    async with Redis.from_url(server.url) as client:
        await client.flushall()
        await client.script_flush()


@pytest.fixture
async def either_redis(one_or_cluster: EmbeddedValkey | ValkeyCluster) -> AsyncIterator[Redis]:
    """A client of one server or of a cluster, which is empty."""
    await emptied(one_or_cluster)
    client = client_of(one_or_cluster)
    yield client
    await client.aclose()
