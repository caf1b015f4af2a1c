"""One schedule on a rig: load and faults side by side, then everything is mended, settles, and is judged."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.support.chaos.bounds import Applied
from tests.support.chaos.clients import Crowd
from tests.support.chaos.customers import make_accounts
from tests.support.chaos.facts import Facts, gather_facts, holds_now
from tests.support.chaos.links import Mode
from tests.support.chaos.report import Outcome
from tests.support.chaos.rig import Rig
from tests.support.chaos.schedule import Blow, Fault, Schedule
from tests.support.chaos.verdict import Verdict, judge
from tests.support.chaos.visits import CLIENTS, make_clients

# A lease lapses after 5 s, a statement that hangs is given up after 2, and a busy machine takes its time. What has not
# settled by then never will.
SETTLE_S = 30.0
_LOOK_AGAIN_S = 0.2


async def play(rig: Rig, schedule: Schedule, clients: int = CLIENTS) -> Outcome:
    """The whole of it. Raises only where the rig itself fails."""
    await rig.forget_books()
    accounts = await make_accounts(rig.office)
    old_holds = await holds_now(rig)
    topology = rig.topology
    crowd_plan = make_clients(schedule.seed, len(accounts), topology.proxies, clients)
    urls = [rig.proxy_url(number) for number in range(topology.proxies)]
    started_s = asyncio.get_running_loop().time()
    crowd = Crowd(rig.http, urls, accounts, started_s)
    receipts, applied = await asyncio.gather(
        crowd.work(crowd_plan),
        asyncio.gather(*(apply(rig, fault, started_s) for fault in schedule.faults)),
    )
    ended = await rig.mend()

    async def look() -> Facts:
        return await gather_facts(rig, accounts, receipts, applied, old_holds, ended)

    facts, verdict = await settled(look)
    return Outcome(schedule, facts, verdict, "" if verdict.holds else rig.logs())


async def apply(rig: Rig, fault: Fault, started_s: float) -> Applied:
    """One fault, from its beginning to its end."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(started_s + fault.at_ms / 1_000 - loop.time())
    from_s = loop.time() - started_s
    await begin(rig, fault)
    await asyncio.sleep(fault.duration_ms / 1_000)
    await lift(rig, fault)
    return Applied(fault, from_s, loop.time() - started_s)


async def begin(rig: Rig, fault: Fault) -> None:
    if fault.part in rig.links:
        rig.links[fault.part].set(Mode(fault.kind))
    elif fault.kind == Blow.KILL:
        await rig.kill(fault.part)
    elif fault.kind == Blow.RESTART:
        await rig.parts[fault.part].end()
    else:
        rig.parts[fault.part].freeze()


async def lift(rig: Rig, fault: Fault) -> None:
    if fault.part in rig.links:
        rig.links[fault.part].set(Mode.PASS)
    elif fault.kind == Blow.STOP:
        rig.parts[fault.part].thaw()
    else:
        await rig.revive(fault.part)


async def settled(look: Callable[[], Awaitable[Facts]]) -> tuple[Facts, Verdict]:
    """As soon as nothing deviates, or as it stands when it should have settled long ago."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + SETTLE_S
    while True:
        facts = await look()
        verdict = judge(facts)
        if verdict.holds or verdict.is_final or loop.time() > until_s:
            return facts, verdict
        await asyncio.sleep(_LOOK_AGAIN_S)
