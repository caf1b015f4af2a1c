"""How much of a response that was cut may go unbilled, and why. Pure; times are seconds since the load began.

A proxy writes down once a second what it has relayed (CHECKPOINT_S). A renewal takes its time, and what the LLM
server has emitted is on its way through sockets for a moment (BUFFERS_S). While a fault keeps bytes or checkpoints from
moving, the server may go on emitting: so long as faults lasted, so much more may be lost.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.chaos.clients import Receipt
from tests.support.chaos.schedule import Blow, Fault

CHECKPOINT_S = 1.0
BUFFERS_S = 1.0
# The last byte was delivered, and its settlement is not safe yet.
SETTLING_S = 1.0
# Where nobody reports and length decides: as docs/METERING.md promises.
ESTIMATE_PERCENT = 35


@dataclass(frozen=True, slots=True)
class Applied:
    """A fault as it really happened: from when until when, by the rig's clock."""

    fault: Fault
    from_s: float
    to_s: float


def hindered_s(receipt: Receipt, applied: Sequence[Applied]) -> float:
    """For how long faults of any kind lasted during a visit and the moment after it."""
    begin, end = receipt.began_s, receipt.ended_s + SETTLING_S
    spans = sorted((max(begin, each.from_s), min(end, each.to_s)) for each in applied)
    total, upto = 0.0, begin
    for start, stop in spans:
        total += max(0.0, stop - max(start, upto))
        upto = max(upto, stop)
    return total


def may_lose_tokens(receipt: Receipt, applied: Sequence[Applied]) -> int:
    """What a second of the stream carries, and what it carried while a fault lasted."""
    window_s = CHECKPOINT_S + BUFFERS_S + hindered_s(receipt, applied)
    return math.ceil(window_s * receipt.visit.tokens_per_s)


def killer_of(receipt: Receipt, applied: Sequence[Applied]) -> Applied | None:
    """The SIGKILL that its proxy got before the settlement of this visit was safe for sure."""
    proxy = f"proxy-{receipt.visit.proxy}"
    until_s = receipt.ended_s + SETTLING_S + hindered_s(receipt, applied)
    for each in applied:
        is_kill = each.fault.part == proxy and each.fault.kind == Blow.KILL
        if is_kill and receipt.began_s <= each.from_s <= until_s:
            return each
    return None


def cause_of(receipt: Receipt, applied: Sequence[Applied]) -> str:
    """What a loss is put down to: its proxy's death, else the fault nearest to its bytes, of several the longest."""
    if killer := killer_of(receipt, applied):
        return killer.fault.name
    during = [each for each in applied if each.from_s <= receipt.ended_s and each.to_s >= receipt.began_s]
    if during:
        return max(during, key=lambda each: (_nearness(receipt, each), _shared_s(receipt, each))).fault.name
    return "client left" if receipt.has_left else "no fault"


def _nearness(receipt: Receipt, each: Applied) -> int:
    """On the way from the LLM server, at its proxy, elsewhere."""
    proxy = f"proxy-{receipt.visit.proxy}"
    if each.fault.part in ("upstream", f"{proxy}>upstream"):
        return 2
    return int(proxy in each.fault.part)


def _shared_s(receipt: Receipt, each: Applied) -> float:
    return min(receipt.ended_s, each.to_s) - max(receipt.began_s, each.from_s)
