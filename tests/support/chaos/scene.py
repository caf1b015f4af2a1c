"""One failure at a time, by hand: requests and faults of a single test on a rig, and the same verdict at the end."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.chaos.bounds import Applied
from tests.support.chaos.clients import Crowd, Receipt
from tests.support.chaos.customers import Account, make_accounts
from tests.support.chaos.facts import Facts, gather_facts, holds_now
from tests.support.chaos.rig import Rig
from tests.support.chaos.run import begin, lift, settled
from tests.support.chaos.schedule import Blow, Fault
from tests.support.chaos.visits import ALONG, Visit
from tests.support.waiting import until

# A customer that no proxy has seen before.
KNOWN, UNKNOWN = 0, 1


@dataclass(frozen=True, slots=True)
class Streaming:
    """A request under way."""

    receipt: Receipt
    task: "asyncio.Task[Receipt]"

    async def has(self, tokens: int) -> None:
        """Until its client has received so many."""
        await until(lambda: self.receipt.tokens >= tokens or self.task.done())
        assert self.receipt.tokens >= tokens, self.receipt

    async def end(self) -> Receipt:
        return await self.task


@dataclass
class Scene:
    """`open_scene` makes one."""

    rig: Rig
    accounts: tuple[Account, ...]
    crowd: Crowd
    old_holds: frozenset[bytes]
    receipts: list[Receipt] = field(default_factory=list)
    applied: list[Applied] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def stream(self, proxy: int = 0, **visit: Any) -> Streaming:
        """Two hundred tokens in two seconds, unless told otherwise; the server counts along."""
        receipt = Receipt(self._visit(proxy, **{"is_stream": True, "tokens": 200, **visit}), 0.0)
        self.receipts.append(receipt)
        return Streaming(receipt, asyncio.get_running_loop().create_task(self.crowd.receive(receipt)))

    async def ask(self, proxy: int = 0, **visit: Any) -> Receipt:
        """A short whole answer."""
        receipt = Receipt(self._visit(proxy, **{"is_stream": False, "tokens": 1, **visit}), 0.0)
        self.receipts.append(receipt)
        return await self.crowd.receive(receipt)

    async def until_served(self, proxy: int = 0) -> None:
        """Asks until it is answered well."""
        async with asyncio.timeout(60):
            while (await self.ask(proxy)).status != 200:  # noqa: ASYNC110 - as in tests/support/waiting.py
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def fault(self, part: str, kind: str) -> AsyncIterator[None]:
        fault, from_s = Fault(0, part, str(kind), 0), self._now_s()
        await begin(self.rig, fault)
        try:
            yield
        finally:
            await lift(self.rig, fault)
            self.applied.append(Applied(fault, from_s, self._now_s()))

    async def kill(self, part: str) -> None:
        """For good, or until somebody revives it."""
        fault = Fault(0, part, str(Blow.KILL), 0)
        self.applied.append(Applied(fault, self._now_s(), self._now_s()))
        await begin(self.rig, fault)

    async def settled(self) -> Facts:
        """Waits until every promise is kept; fails with those that are not when they should have been long ago."""

        async def look() -> Facts:
            return await gather_facts(self.rig, self.accounts, self.receipts, self.applied, self.old_holds, ())

        facts, verdict = await settled(look)
        told = [f"{each.rule}: {each.detail}; {each.about}" for each in verdict.deviations]
        assert verdict.holds, "\n".join([*told, self.rig.logs()])
        return facts

    def _visit(self, proxy: int, **more: Any) -> Visit:
        name = f"scene-{id(self)}-{next(self._numbers)}"
        chosen = {"customer": KNOWN, "model": ALONG, "delay_ms": 10, "leaves_after": None, **more}
        return Visit(name=name, proxy=proxy, **chosen)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time() - self.crowd.started_s


def row_of(facts: Facts, receipt: Receipt) -> Mapping[str, Any]:
    """The one usage row of a request."""
    (row,) = facts.rows_of[receipt.visit.name]
    return row


@asynccontextmanager
async def open_scene(rig: Rig) -> AsyncIterator[Scene]:
    """On a rig that is whole, and whole again afterwards. The known customer has been served by every proxy."""
    await rig.mend()
    await rig.forget_books()
    proxies = range(rig.topology.proxies)
    accounts = await make_accounts(rig.office)
    started_s = asyncio.get_running_loop().time()
    crowd = Crowd(rig.http, [rig.proxy_url(number) for number in proxies], accounts, started_s)
    scene = Scene(rig, accounts, crowd, await holds_now(rig))
    for number in proxies:
        assert (await scene.ask(number)).is_complete
    try:
        yield scene
    finally:
        await rig.mend()
