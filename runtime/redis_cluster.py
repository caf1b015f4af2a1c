"""A Redis or Valkey Cluster behind the face of one server: each command goes to the node that has its key.

Nothing is repeated behind our back: a command that may have run is never sent again. Sent again is only what a node
has refused, saying where it belongs (MOVED, ASK) or that it must wait for the rest of its keys (TRYAGAIN).

redis-py has a client for clusters of its own; docs/decisions/0007-cluster-client.md says why this is another. A node
that is away costs only those who need it: each node has its own connections, and what the cluster looks like is asked
in the background.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import TimeoutError as RedisSlow

from runtime.lua import Script
from runtime.redis_slots import Address, SlotMap, slot_of
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.redis")

# While a slot moves key by key, its keys are on two nodes: a moment later they may be on one.
_TRY_AGAIN_S = 0.02
# One redirection is usual, two happen while a slot moves. More come from nodes that disagree for a moment.
_REDIRECTIONS_AT_ONCE = 4
# However many commands fail, the cluster is not asked for its state more often.
_LOOK_AGAIN_S = 0.1


class RedisCluster(Redis):
    """`connect` makes the client of one node, with timeouts of its own. Connects when it is needed.

    What names no key (PING) is answered by the first node that answers. Pipelines are not atomic here.
    """

    def __init__(self, start: Iterable[Address], connect: Callable[[Address], Redis], timeout_s: float) -> None:
        self._connect = connect
        self._timeout_s = timeout_s
        self._start = tuple(dict.fromkeys(start))
        self._nodes = {address: connect(address) for address in self._start}
        self._map = SlotMap()
        self._tasks = TaskSet()
        self._look: asyncio.Task[None] | None = None
        self._looked_at_s = -_LOOK_AGAIN_S
        self._why_unknown: Exception = RedisGone("the cluster was not asked yet")
        # Only the encoder and the callbacks of this one are used: commands go through the nodes'.
        super().__init__(connection_pool=self._nodes[self._start[0]].connection_pool)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Raises redis.RedisError as a client of one server does; ClusterDownError where nobody serves the slot."""
        slot = slot_of(args)
        if slot is None:
            return (await self._first_answer(self._known(), args, options))[1]
        clock = asyncio.get_running_loop().time
        until_s, redirections = clock() + self._timeout_s, 0
        address, is_asking = await self._owner_of(slot), False
        while True:
            try:
                return await self._send(address, is_asking, args, options)
            except (MovedError, AskError) as error:
                address, is_asking = self._redirected(address, error)
                redirections += 1
                if redirections <= _REDIRECTIONS_AT_ONCE:
                    continue
                refused: RedisError = error
            except TryAgainError as error:
                refused = error
            except (RedisGone, RedisSlow, ClusterDownError):
                self._look_soon()
                raise
            if clock() >= until_s:
                raise refused
            await asyncio.sleep(_TRY_AGAIN_S)
            address, is_asking = await self._owner_of(slot), False

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        if transaction:
            raise NotImplementedError("one transaction over several nodes")
        return _Pipeline(self)

    def register_script(self, script: Any) -> Any:
        return Script(self, script)

    async def primaries(self) -> list[Redis]:
        """A client of each node that has slots, for what concerns all keys. All slots must be served."""
        await self._look_now()
        if any(self._map.owner(slot) is None for slot in range(16_384)):
            raise ClusterDownError("not all hash slots are served")
        return [self._node(address) for address in sorted(self._map.owners)]

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await self._tasks.cancel()
        nodes, self._nodes = list(self._nodes.values()), {}
        await asyncio.gather(*(node.aclose() for node in nodes))

    def _known(self) -> list[Address]:
        return list(dict.fromkeys((*self._start, *self._map.addresses)))

    def _node(self, address: Address) -> Redis:
        if address not in self._nodes:
            self._nodes[address] = self._connect(address)
        return self._nodes[address]

    async def _send(self, address: Address, is_asking: bool, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        node: Any = self._node(address)
        if not is_asking:
            return await node.execute_command(*args, **options)
        # ASKING is for the next command of the same connection
        both = node.pipeline(transaction=False)
        both.execute_command("ASKING")
        both.execute_command(*args, **options)
        return (await both.execute())[1]

    def _redirected(self, asked: Address, error: AskError) -> tuple[Address, bool]:
        """Where the node has sent us, and whether for this one time."""
        address = (error.host or asked[0], int(error.port))
        if isinstance(error, MovedError):
            self._map.moved(int(error.slot_id), address)
            self._look_soon()
            return address, False
        return address, True

    async def _owner_of(self, slot: int) -> Address:
        if not self._map.ranges:
            await self._look_now()
        owner = self._map.owner(slot)
        if owner is None:
            self._look_soon()
            raise ClusterDownError(f"hash slot {slot} is served by no node")
        return owner

    async def _look_now(self) -> None:
        """Returns when what the cluster looks like is known."""
        if self._look is None or self._look.done():
            self._look = self._tasks.spawn(self._look_around(), name="redis-cluster")
        await asyncio.shield(self._look)
        if not self._map.ranges:
            raise self._why_unknown

    def _look_soon(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if (self._look is None or self._look.done()) and now_s - self._looked_at_s >= _LOOK_AGAIN_S:
            self._looked_at_s = now_s
            self._look = self._tasks.spawn(self._look_around(), name="redis-cluster")

    async def _look_around(self) -> None:
        try:
            asked, reply = await self._first_answer(self._known(), ("CLUSTER SLOTS",), {})
        except ResponseError as error:
            self._why_unknown = error
        except RedisError as error:
            self._why_unknown = RedisGone(f"no node of the cluster answers ({error})")
        else:
            seen = SlotMap.read(reply, asked)
            if seen.ranges:
                self._map = seen
                self._forget_nodes()
            else:
                self._why_unknown = ClusterDownError("no hash slot of the cluster is served")

    def _forget_nodes(self) -> None:
        for address in set(self._nodes) - set(self._known()):
            log.info("redis_node_gone", address=f"{address[0]}:{address[1]}")
            self._tasks.spawn(self._retire(self._nodes.pop(address)), name="redis-node-gone")

    async def _retire(self, node: Redis) -> None:
        """Closes its connections when what is under way there has had its time."""
        try:
            await asyncio.sleep(2 * self._timeout_s)
        finally:
            await node.aclose()

    async def _first_answer(
        self, addresses: list[Address], args: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[Address, Any]:
        """All are asked at once, so that one that is away costs no time; raises the error of one if all fail."""

        async def ask(address: Address) -> Any:
            try:
                node: Any = self._node(address)
                return address, await node.execute_command(*args, **options)
            except RedisError as error:
                return error

        error: RedisError = RedisGone("no node is known")
        asking = {self._tasks.spawn(ask(address), name="redis-cluster-ask") for address in addresses}
        try:
            while asking:
                done, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
                for answer in (task.result() for task in done):
                    if not isinstance(answer, RedisError):
                        found: tuple[Address, Any] = answer
                        return found
                    error = answer
            raise error
        finally:
            for task in asking:
                task.cancel()


class _Pipeline(Pipeline):
    """Commands for any nodes, sent side by side."""

    def __init__(self, cluster: RedisCluster) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, False, None)
        self._send: Callable[..., Awaitable[Any]] = cluster.execute_command

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack, self.command_stack = self.command_stack, []
        sending = (self._send(*args, **options) for args, options in stack)
        answers = await asyncio.gather(*sending, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and (raise_on_error or not isinstance(answer, RedisError)):
                raise answer
        return answers


async def primaries_of(redis: Redis) -> list[Redis]:
    """For what concerns all keys: the nodes of a cluster that have slots, or the one server. Raises RedisError."""
    return await redis.primaries() if isinstance(redis, RedisCluster) else [redis]
