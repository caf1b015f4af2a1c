"""From an ended call to its settlement: what the server reported, or else what we count, becomes the usage entry.

A reported end is settled at once. Where something has to be counted first, that happens in a task of its own: the hold
stays until it is done, and the client does not wait for it any longer than for a slow Redis.
"""

import asyncio
import logging
from dataclasses import dataclass, field

import structlog

from ledger.entries import UsageEntry
from metering.admission import Limits
from metering.outcome import Report, report, resolve
from metering.settlements import Settlement
from metering.tap import Tap
from metering.usage import Usage
from proxy.counting import Counting
from proxy.remote_counting import counter_of
from proxy.settlement import Admitted, Ending, charged_entry, free_entry
from runtime.coalesce import Overloaded
from runtime.tasks import TaskSet, wait_until

log = structlog.get_logger("farebox.gateway")


@dataclass(slots=True)
class Recording:
    """What becomes of an ended call; `entry` is known once everything is counted."""

    entry: UsageEntry | None = None
    _settled: "asyncio.Future[int | None] | None" = None
    _counting: "asyncio.Task[None] | None" = None

    async def wait(self, timeout_s: float) -> None:
        """Until it is safe in Redis or in the spool, at most `timeout_s`."""
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        if self._counting is not None:
            await wait_until(self._counting, deadline_s)
        if self._settled is not None:
            await wait_until(self._settled, deadline_s)


@dataclass(frozen=True, slots=True)
class Recorder:
    """`tasks` holds what is still being counted: drain it before the limits."""

    limits: Limits
    counting: Counting
    tasks: TaskSet = field(default_factory=TaskSet)

    def free(self, admitted: Admitted, ending: Ending, duration_ms: int) -> Recording:
        """Nothing was used: the hold goes, and the request is on record."""
        recording = Recording()
        self._settle(recording, free_entry(admitted, ending, duration_ms))
        return recording

    def charge(
        self,
        admitted: Admitted,
        ending: Ending,
        tap: Tap,
        duration_ms: int,
        *,
        trusts_running: bool = True,
    ) -> Recording:
        """What was used is charged. `trusts_running` False: only what was delivered counts (`on_client_left`)."""
        recording = Recording()
        found = report(tap, is_complete=ending.is_complete, trusts_running=trusts_running)
        if found.is_enough(admitted.asked.ask):
            usage, source = resolve(admitted.asked.ask, found, None)
            self._settle(recording, charged_entry(admitted, ending, usage, source, duration_ms))
        else:
            work = self._count(recording, admitted, ending, tap, found, duration_ms)
            recording._counting = self.tasks.spawn(work, name="count")
        return recording

    async def _count(
        self,
        recording: Recording,
        admitted: Admitted,
        ending: Ending,
        tap: Tap,
        found: Report,
        duration_ms: int,
    ) -> None:
        asked, said, unread = admitted.asked, tap.texts(), getattr(tap, "text_bytes", 0)
        nothing_said = not said.pieces and not said.dropped_bytes and not unread
        is_ours_to_pay = tap.has_error or not (ending.is_complete or ending.is_clients_doing)
        if is_ours_to_pay and nothing_said and found.reading.is_empty:
            entry = charged_entry(admitted, ending, Usage(), "none", duration_ms)
        else:
            remote = counter_of(admitted.route)
            counted = await self.counting.count(asked.ask, asked.fields, said, unread, remote)
            usage, source = resolve(asked.ask, found, counted)
            entry = charged_entry(admitted, ending, usage, source, duration_ms)
        self._settle(recording, entry)

    def _settle(self, recording: Recording, entry: UsageEntry) -> None:
        recording.entry = entry
        settlement = Settlement(
            entry.request_id,
            entry.api_key_id,
            entry.wallet_id,
            entry.cost_nanos,
            entry.to_json(),
            tokens=entry.all_tokens,
        )
        try:
            recording._settled = self.limits.settle(settlement)
        except Overloaded:
            log.error("settlement_lost", request_id=str(entry.request_id), cost_nanos=entry.cost_nanos)
        _log_request(entry)


def _log_request(entry: UsageEntry) -> None:
    if not log.is_enabled_for(logging.INFO):
        return
    log.info(
        "request",
        request_id=str(entry.request_id),
        key_id=str(entry.api_key_id),
        model=entry.model,
        endpoint=entry.endpoint,
        status=entry.status_code,
        end_reason=entry.end_reason,
        usage_source=entry.usage_source,
        input_tokens=entry.all_input_tokens,
        output_tokens=entry.all_output_tokens,
        cost_nanos=entry.cost_nanos,
        duration_ms=entry.response_time_ms,
    )
