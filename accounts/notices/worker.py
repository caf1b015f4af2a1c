"""Claim, send, finish: one loop per receiver, so that one which is dead or slow holds up nobody else's."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from accounts.notices.deliveries import Claim, Deliveries
from accounts.notices.retry import RetryPolicy, next_wait_s
from accounts.notices.signing import Event

log = structlog.get_logger("farebox.notices")

# How often a channel asks for what is due, when nothing was.
INTERVAL_S = 1.0


class Undelivered(Exception):
    """It did not arrive. `reason` is a short code, without addresses; `is_final`: trying again would not help.

    `asked_s`: the receiver asked to be left alone for so long.
    """

    def __init__(self, reason: str, *, is_final: bool = False, asked_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_final = is_final
        self.asked_s = asked_s


# Sends one event; raises Undelivered.
Send = Callable[[Event], Awaitable[None]]
# From 0 to 1.
Dice = Callable[[], float]
_DICE: Dice = random.SystemRandom().random


class Worker:
    """Delivers what is due on one channel, at most `concurrent` at a time."""

    def __init__(
        self,
        deliveries: Deliveries,
        policy: RetryPolicy,
        channel: str,
        send: Send,
        *,
        concurrent: int,
        dice: Dice = _DICE,
    ) -> None:
        self._deliveries = deliveries
        self._policy = policy
        self._channel = channel
        self._send = send
        self._concurrent = concurrent
        self._dice = dice

    async def round(self) -> float | None:
        """What is due now, up to `concurrent`; see runtime.periodic.Round. Raises runtime.postgres.UNAVAILABLE."""
        claims = await self._deliveries.claim(self._channel, self._concurrent)
        # All of them come to an end, also where Postgres goes away under one.
        ends = await asyncio.gather(*map(self._deliver, claims), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end
        return 0.0 if len(claims) == self._concurrent else None

    async def _deliver(self, claim: Claim) -> None:
        try:
            await self._send(claim.event)
        except Undelivered as failure:
            await self._failed(claim, failure)
        else:
            await self._deliveries.delivered(claim)

    async def _failed(self, claim: Claim, failure: Undelivered) -> None:
        wait_s = None
        if not failure.is_final:
            wait_s = next_wait_s(self._policy, claim.attempt, claim.age_s, self._dice(), failure.asked_s)
        event_id = str(claim.event.id)
        if wait_s is None:
            log.warning("delivery_given_up", endpoint=self._channel, event_id=event_id, reason=failure.reason)
            await self._deliveries.bury(claim, failure.reason)
        else:
            log.info(
                "delivery_failed", endpoint=self._channel, event_id=event_id, reason=failure.reason, delay_s=wait_s
            )
            await self._deliveries.again(claim, wait_s, failure.reason)
