"""What a figure is measured with: loads of requests, how large they may be, and what Farebox stands on."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import stack
from benchmarks.affinity import Cores, Plan, pinned
from benchmarks.asked import body
from benchmarks.load import OPEN, TIMEOUT_S
from benchmarks.stack import Contender, Ground

__all__ = ["FULL", "QUICK", "Contender", "Size", "Stage"]

# How long what is on its way may take to come back when wrk has stopped asking. Uvicorn closes a connection that rests
# for 5 seconds.
DRAIN_S, SLOW_DRAIN_S = 1, 4
# A slow server is asked for so many times longer, or there would be too few answers to count.
SLOW_TIMES = 3
# Of plain requests. A server that waits for its stores is only kept busy by many at once: on four cores Valkey waits
# for Postgres and the ledger a third of the time, so over 64 connections Farebox has nothing to do for a fifth of it,
# over 256 for a twentieth. Most servers that wait for nobody do better over few.
FEW_CONNECTIONS, CONNECTIONS = 64, 256
ANSWER_TIMEOUT_S = 20
# Of each open stream: in the server its two ends, and some for all else.
DESCRIPTORS_PER_STREAM, OTHER_DESCRIPTORS = 2, 1_000


@dataclass(frozen=True)
class Size:
    """`seconds`: how long a load lasts that has no other end."""

    repeats: int
    seconds: int
    quick: bool

    def pick(self, full: int, quick: int) -> int:
        return quick if self.quick else full


QUICK = Size(repeats=1, seconds=1, quick=True)
FULL = Size(repeats=3, seconds=4, quick=False)


@dataclass
class Stage:
    ground: Ground
    size: Size
    # The load generator of plain requests; None: ours.
    wrk: str | None
    # How many files each process may have open.
    descriptors: int
    # Half of the short streams that Farebox answers in a second; 0.0: not known yet in this repeat.
    half_rate: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def where(self) -> Plan:
        return self.ground.where

    def note(self, text: str) -> None:
        """Told with the results."""
        if text not in self.notes:
            self.notes.append(text)

    def streams(self, wanted: int) -> int:
        """As many as can be open at once."""
        most = (self.descriptors - OTHER_DESCRIPTORS) // DESCRIPTORS_PER_STREAM
        if most < wanted:
            self.note(f"{most:,} open streams instead of {wanted:,}: no more files may be open")
        return min(most, wanted)

    async def load(self, at: Contender, **asked: Any) -> dict[str, float]:
        """A load of ours, see benchmarks/load.py."""
        return await _told(await self._start(at, asked, self.where.load))

    async def load_beside(self, at: Contender, **asked: Any) -> dict[str, float]:
        """A second one, which shares the cores of Postgres and not those of the first, of Valkey and the upstream: who
        is asked by the first waits for those."""
        return await _told(await self._start(at, asked, self.where.stores))

    async def memory_while_open(self, at: Contender, asked: dict[str, Any]) -> int:
        """Bytes, once every stream has begun."""
        process = await self._start(at, asked, self.where.load)
        assert process.stdout is not None
        async with asyncio.timeout(TIMEOUT_S):
            opened = await process.stdout.readline()
        found = at.memory_bytes()
        if opened.decode() != OPEN:
            raise RuntimeError("the streams did not open")
        await _told(process)
        return found

    async def unary(self, at: Contender, connections: int = CONNECTIONS) -> dict[str, float]:
        """Plain requests, as many as are answered: `requests`, and `per_s` while they were asked."""
        seconds = self.size.seconds * (SLOW_TIMES if at.slow else 1)
        if self.wrk is None:
            return await self.load(at, kind="unary", connections=connections, seconds=seconds)
        path = self.ground.folder / "body.json"
        path.write_bytes(body(max_tokens=20))
        lasts = seconds + (SLOW_DRAIN_S if at.slow else DRAIN_S)
        options = ["-t1", f"-c{connections}", f"-d{lasts}s", "--timeout", f"{ANSWER_TIMEOUT_S}s"]
        given = ["-s", str(Path(__file__).with_name("wrk.lua")), at.url, "--", str(seconds), str(connections)]
        with pinned(self.where.load):
            process = await asyncio.create_subprocess_exec(self.wrk, *options, *given, str(path), *at.keys, stdout=PIPE)
        found = await _told(process)
        if found["failed"] or found["asked"] != found["requests"]:
            raise RuntimeError(f"not every request was answered well: {found}")
        return found

    async def _start(self, at: Contender, asked: dict[str, Any], cores: Cores) -> Process:
        argv = stack.python("benchmarks.load", at.url, ",".join(at.keys), json.dumps(asked))
        with pinned(cores):
            return await asyncio.create_subprocess_exec(*argv, stdout=PIPE)


async def _told(process: Process) -> dict[str, float]:
    """Its last line."""
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("the load generator failed; what it said is above")
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found
