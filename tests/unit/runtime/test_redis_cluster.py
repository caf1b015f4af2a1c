"""Where a command is sent, how often, and what the failure of one node does to the others. Nodes are played."""

import asyncio
from typing import Any, cast

import pytest
from redis.asyncio import ConnectionPool, Redis
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import TimeoutError as RedisSlow

from runtime.redis_cluster import RedisCluster
from runtime.redis_slots import Address
from tests.support.waiting import until

A, B = ("a", 1), ("b", 2)
KEY = "k"
SLOT = key_slot(KEY.encode())
TIMEOUT_S = 0.2


class Node:
    """Answers as told; the last answer stays."""

    def __init__(self, cluster: "Nodes", address: Address) -> None:
        self._cluster, self._address = cluster, address
        self.connection_pool = ConnectionPool()
        self.got: list[tuple[Any, ...]] = []
        self.answers: list[Any] = [b"answer"]
        self.is_closed = False

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] == "CLUSTER SLOTS":
            return self._cluster.seen_by(self._address)
        self.got.append(args)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def pipeline(self, transaction: bool) -> "Pipeline":
        assert not transaction
        return Pipeline(self)

    async def aclose(self) -> None:
        self.is_closed = True


class Pipeline:
    def __init__(self, node: Node) -> None:
        self._node, self._stack = node, list[tuple[Any, ...]]()

    def execute_command(self, *args: Any, **options: Any) -> None:
        self._stack.append(args)

    async def execute(self) -> list[Any]:
        assert self._stack[0] == ("ASKING",)
        self._node.got.append(("ASKING",))
        return [True, await self._node.execute_command(*self._stack[1])]


class Nodes:
    def __init__(self) -> None:
        self.made: dict[Address, Node] = {}
        self.owners: dict[Address, tuple[int, int]] = {A: (0, 16_383)}
        self.away: set[Address] = set()
        self.looks = 0

    def connect(self, address: Address) -> Redis:
        return cast(Redis, self.made.setdefault(address, Node(self, address)))

    def seen_by(self, address: Address) -> list[Any]:
        self.looks += 1
        if address in self.away:
            raise RedisGone("gone")
        return [[*slots, [host.encode(), port]] for (host, port), slots in self.owners.items()]

    def __getitem__(self, address: Address) -> Node:
        self.connect(address)
        return self.made[address]


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()


@pytest.fixture
async def cluster(nodes: Nodes) -> RedisCluster:
    return RedisCluster([A], nodes.connect, TIMEOUT_S)


async def test_a_command_goes_to_the_owner_of_its_slot(nodes: Nodes, cluster: RedisCluster) -> None:
    nodes.owners = {A: (0, SLOT - 1), B: (SLOT, 16_383)}
    assert await cluster.get(KEY) == b"answer"
    assert (nodes[A].got, nodes[B].got) == ([], [("GET", KEY)])
    assert nodes.looks == 1


async def test_who_was_sent_elsewhere_goes_there_from_then_on(nodes: Nodes, cluster: RedisCluster) -> None:
    nodes[A].answers = [MovedError(f"{SLOT} b:2")]
    assert [await cluster.get(KEY), await cluster.get(KEY)] == [b"answer"] * 2
    assert (len(nodes[A].got), len(nodes[B].got)) == (1, 2)
    await cluster.aclose()


async def test_who_was_sent_elsewhere_for_one_time_says_so_and_comes_back(nodes: Nodes, cluster: RedisCluster) -> None:
    nodes[A].answers = [AskError(f"{SLOT} b:2"), b"mine"]
    assert [await cluster.get(KEY), await cluster.get(KEY)] == [b"answer", b"mine"]
    assert nodes[B].got == [("ASKING",), ("GET", KEY)]


async def test_a_node_that_names_no_host_means_itself(nodes: Nodes, cluster: RedisCluster) -> None:
    nodes[A].answers = [MovedError(f"{SLOT} :2")]
    assert await cluster.get(KEY) == b"answer"
    assert nodes.made[("a", 2)].got == [("GET", KEY)]
    await cluster.aclose()


async def test_keys_that_are_on_two_nodes_for_a_moment_are_waited_for(nodes: Nodes, cluster: RedisCluster) -> None:
    nodes[A].answers = [TryAgainError("rehashing"), TryAgainError("rehashing"), b"whole"]
    assert await cluster.get(KEY) == b"whole"


@pytest.mark.parametrize("refusal", [TryAgainError("rehashing"), MovedError(f"{SLOT} a:1"), AskError(f"{SLOT} a:1")])
async def test_a_command_that_is_refused_all_the_time_is_given_up(
    nodes: Nodes, cluster: RedisCluster, refusal: RedisError
) -> None:
    nodes[A].answers = [refusal]
    with pytest.raises(type(refusal)):
        await cluster.get(KEY)
    await cluster.aclose()


@pytest.mark.parametrize(
    "failure", [RedisGone("gone"), RedisSlow("slow"), ClusterDownError("down"), ResponseError("no")]
)
async def test_a_command_that_may_have_run_is_not_sent_again(
    nodes: Nodes, cluster: RedisCluster, failure: RedisError
) -> None:
    nodes[A].answers = [failure]
    with pytest.raises(type(failure)):
        await cluster.evalsha("ab12", 1, KEY)
    assert nodes[A].got == [("EVALSHA", "ab12", 1, KEY)]
    await cluster.aclose()


async def test_after_a_failure_the_cluster_is_looked_at_again(nodes: Nodes, cluster: RedisCluster) -> None:
    nodes.owners = {A: (0, SLOT), B: (SLOT + 1, 16_383)}
    nodes[A].answers = [RedisGone("gone")]
    with pytest.raises(RedisGone):
        await cluster.get(KEY)
    nodes.away, nodes.owners = {A}, {B: (0, 16_383)}
    await until(lambda: nodes.looks >= 2)

    async def answer() -> Any:
        try:
            return await cluster.get(KEY)
        except RedisGone:
            await asyncio.sleep(0)
            return None

    async with asyncio.timeout(30):
        while await answer() is None:
            pass
    assert ("GET", KEY) in nodes[B].got
    await cluster.aclose()


async def test_a_slot_that_nobody_serves_is_said_to_be_down(nodes: Nodes, cluster: RedisCluster) -> None:
    nodes.owners = {A: (SLOT + 1, 16_383)}
    with pytest.raises(ClusterDownError):
        await cluster.get(KEY)
    with pytest.raises(ClusterDownError):
        await cluster.primaries()
    await cluster.aclose()


async def test_a_cluster_of_which_no_node_answers_says_so_and_is_asked_again(
    nodes: Nodes, cluster: RedisCluster
) -> None:
    nodes.away = {A}
    with pytest.raises(RedisGone, match="no node of the cluster answers"):
        await cluster.get(KEY)
    nodes.away = set()
    assert await cluster.get(KEY) == b"answer"
    assert await cluster.primaries() == [cast(Redis, nodes[A])]


async def test_what_is_for_any_node_is_answered_by_one_that_can(nodes: Nodes) -> None:
    cluster = RedisCluster([A, B], nodes.connect, TIMEOUT_S)
    nodes[A].answers, nodes[B].answers = [RedisGone("gone")], [True]
    assert await cluster.ping() is True
    nodes[B].answers = [RedisSlow("slow")]
    with pytest.raises(RedisError):
        await cluster.ping()
    await cluster.aclose()


async def test_a_script_that_a_node_does_not_know_is_sent_whole_to_this_node(
    nodes: Nodes, cluster: RedisCluster
) -> None:
    script = cluster.register_script("return 1")
    nodes[A].answers = [NoScriptError("NOSCRIPT"), 1]
    assert await script([KEY], ["x"]) == 1
    assert nodes[A].got == [("EVALSHA", script.sha, 1, KEY, "x"), ("EVAL", "return 1", 1, KEY, "x")]


async def test_a_pipeline_is_its_commands_each_to_its_node(nodes: Nodes, cluster: RedisCluster) -> None:
    pipeline = cluster.pipeline(transaction=False)
    pipeline.get(KEY)
    pipeline.hmget("another", ["a"])
    assert await pipeline.execute() == [b"answer", b"answer"]
    nodes[A].answers = [RedisGone("gone")]
    pipeline.get(KEY)
    with pytest.raises(RedisGone):
        await pipeline.execute()
    with pytest.raises(NotImplementedError):
        cluster.pipeline()
    await cluster.aclose()


async def test_a_node_that_is_gone_for_good_is_let_go_of_and_all_are_closed_at_the_end(
    nodes: Nodes, cluster: RedisCluster
) -> None:
    nodes.owners = {B: (0, 16_383)}
    assert await cluster.get(KEY) == b"answer"
    nodes.owners = {A: (0, 16_383)}
    await cluster.primaries()
    await until(lambda: nodes[B].is_closed)
    assert not nodes[A].is_closed
    await cluster.aclose()
    assert nodes[A].is_closed
