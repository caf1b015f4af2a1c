"""From an ended call to its settlement: what the server reported, or else what we count, becomes the usage entry.

A reported end is settled at once. Where something has to be counted first, that happens in a task of its own: the hold
stays until it is done, and the client does not wait for it any longer than for a slow Redis.
"""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import structlog
from msgspec import Struct

from ledger.entries import UsageEntry
from metering.admission import Limits
from metering.endpoints import Endpoint
from metering.outcome import Report, report, resolve
from metering.settlements import Settlement
from metering.tap import Tap
from metering.usage import Usage
from proxy.counting import Counting
from proxy.failures import Failure
from proxy.http import headers
from proxy.http.client_address import client_address
from proxy.remote_counting import counter_of
from proxy.settlement import Admitted, Ending, charged_entry, free_entry
from proxy.telemetry import meters, request_log, span_attributes
from proxy.telemetry.pace import Pace
from proxy.telemetry.tracing import Tracing, end_span
from runtime.addresses import Network
from runtime.coalesce import Overloaded
from runtime.http.request import Request
from runtime.tasks import TaskSet, running_loop, wait_until
from runtime.waits import Waits

log = structlog.get_logger("farebox.gateway")

# A complete answer waits this long for its settlement to be safe in Redis, then it is handed over all the same.
SETTLE_WAIT_S = 0.5


class Recording(Struct):
    """What becomes of an ended call; `entry` is known once everything is counted.

    The settlement goes its way whether anybody waits for it or not.
    """

    entry: UsageEntry | None = None
    _settled: "asyncio.Future[int | None] | None" = None
    _counting: "asyncio.Task[None] | None" = None

    async def wait(self, waits: Waits) -> None:
        """Until it is safe in Redis or in the spool, as long as `waits` has for each."""
        if self._counting is not None:
            await self._wait_for_count(self._counting, waits)
        elif self._settled is not None:
            await waits.wait(self._settled)

    async def _wait_for_count(self, counting: "asyncio.Task[None]", waits: Waits) -> None:
        deadline_s = running_loop().time() + waits.timeout_s
        await wait_until(counting, deadline_s)
        if self._settled is not None:
            await wait_until(self._settled, deadline_s)


@dataclass(slots=True)
class Recorder:
    """`tasks` holds what is still being counted: drain it before the limits. `slow_ms`: see request_log. `waits`: for
    settlements.
    """

    limits: Limits
    counting: Counting
    slow_ms: int = 60_000
    trusted_proxies: tuple[Network, ...] = ()
    tracing: Tracing | None = None
    tasks: TaskSet = field(default_factory=TaskSet)
    waits: Waits = field(default_factory=partial(Waits, SETTLE_WAIT_S))

    def begin(self, request: Request) -> Pace:
        """A request has come."""
        pace = Pace()
        if self.tracing is not None:
            pace.span = self.tracing.begin(request.raw_headers)
        return pace

    def refused(self, request: Request, request_id: UUID, endpoint: Endpoint, failure: Failure, pace: Pace) -> None:
        """A request that was not let in: nothing is owed, and it is told of all the same."""
        pace.close()
        meters.refused(failure.code, failure.reason)
        address = client_address(request.remote, request.raw_headers, self.trusted_proxies)
        client_id = headers.client_request_id(request.headers)
        if pace.span is not None:
            told = span_attributes.of_refused(str(request_id), endpoint, failure, pace)
            end_span(pace.span, span_attributes.span_name(endpoint.name, pace.model), told, failure.status)
        request_log.refused(request_id, endpoint, failure, pace, address, client_id)

    def free(self, admitted: Admitted, ending: Ending, pace: Pace) -> Recording:
        """Nothing was used: the hold goes, and the request is on record."""
        recording = Recording()
        self._settle(recording, admitted, ending, free_entry(admitted, ending, pace.duration_ms), pace)
        return recording

    def charge(
        self,
        admitted: Admitted,
        ending: Ending,
        tap: Tap,
        pace: Pace,
        *,
        trusts_running: bool = True,
    ) -> Recording:
        """What was used is charged. `trusts_running` False: only what was delivered counts (`on_client_left`)."""
        recording = Recording()
        found = report(tap, is_complete=ending.is_complete, trusts_running=trusts_running)
        if found.is_enough(admitted.asked.ask):
            usage, source = resolve(admitted.asked.ask, found, None)
            entry = charged_entry(admitted, ending, usage, source, pace.duration_ms)
            self._settle(recording, admitted, ending, entry, pace)
        else:
            work = self._count(recording, admitted, ending, tap, found, pace)
            recording._counting = self.tasks.spawn(work, name="count")
        return recording

    async def _count(
        self,
        recording: Recording,
        admitted: Admitted,
        ending: Ending,
        tap: Tap,
        found: Report,
        pace: Pace,
    ) -> None:
        duration_ms = pace.duration_ms
        asked, said, unread = admitted.asked, tap.texts(), getattr(tap, "text_bytes", 0)
        nothing_said = not said.pieces and not said.dropped_bytes and not unread
        is_ours_to_pay = tap.has_error or not (ending.is_complete or ending.is_clients_doing)
        if is_ours_to_pay and nothing_said and found.reading.is_empty:
            entry = charged_entry(admitted, ending, Usage(), "none", duration_ms)
        else:
            remote = counter_of(admitted.route)
            counted = await self.counting.count(asked.ask, asked.countable(), said, unread, remote)
            usage, source = resolve(asked.ask, found, counted)
            entry = charged_entry(admitted, ending, usage, source, duration_ms)
        self._settle(recording, admitted, ending, entry, pace)

    def _settle(self, recording: Recording, admitted: Admitted, ending: Ending, entry: UsageEntry, pace: Pace) -> None:
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
        meters.ended(entry, admitted.price.model, admitted.route.settings.name, pace)
        if pace.span is not None:
            told = span_attributes.of_ended(admitted, ending, entry, pace)
            end_span(pace.span, span_attributes.span_name(entry.endpoint, entry.model), told, entry.status_code)
        request_log.ended(admitted, ending, entry, pace, self.slow_ms)
