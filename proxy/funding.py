"""The money of one admitted request while it runs: its lease, its checkpoints, and of a stream what more to hold."""

import structlog

from metering.estimate.likely import likely_prompt_tokens
from metering.holds import StreamFunds
from metering.leases import Lease, Leases
from metering.progress import Progress, tokens_so_far
from metering.reading import all_input_tokens
from metering.scripts import AWAY
from proxy.relay import Relay
from proxy.settlement import Admitted, checkpoint_entry
from runtime.clock import ClockMs, monotonic_ms
from runtime.coalesce import Overloaded
from runtime.tasks import TaskSet

_NOT_ANSWERED: tuple[type[BaseException], ...] = (*AWAY, Overloaded)

log = structlog.get_logger("farebox.gateway")


class Funding:
    """Begins with the admission; the lease ends with the settlement. `tasks`: more is asked for while bytes pass on."""

    __slots__ = (
        "_funds",
        "_is_asking",
        "_lease",
        "_prompt_tokens",
        "_relay",
        "admitted",
        "began_ms",
        "clock_ms",
        "leases",
        "tasks",
    )

    def __init__(
        self, admitted: Admitted, leases: Leases, tasks: TaskSet, began_ms: int, clock_ms: ClockMs = monotonic_ms
    ) -> None:
        self.admitted, self.leases, self.tasks = admitted, leases, tasks
        self.began_ms, self.clock_ms = began_ms, clock_ms
        self._funds = StreamFunds(admitted.plan, admitted.held_nanos) if admitted.plan.is_stepwise else None
        self._relay: Relay | None = None
        self._prompt_tokens: int | None = None
        self._is_asking = False
        identity = admitted.identity
        self._lease = Lease(
            admitted.request_id, identity.key_id, identity.wallet_id, admitted.held_nanos, self.checkpoint
        )
        leases.open(self._lease)

    def follow(self, relay: Relay) -> None:
        """The request was sent, or sent again: this is where its answer comes."""
        self._relay = relay
        if self._funds is not None:
            relay.watch(self.look, self._funds.look_at_bytes)

    def delivering(self) -> None:
        """Bytes go to the client from here on: noted at once, and not with the next second."""
        self._lease.is_due = True

    def checkpoint(self) -> bytes:
        """The usage entry so far, as JSON; nothing where nothing was delivered. Looks at the funds by the way."""
        relay = self._relay
        if relay is None or not relay.is_owed:
            return b""
        progress = relay.tap.progress()
        if self._funds is not None:
            self._consider(relay, self._funds, progress)
        if self._prompt_tokens is None:
            self._prompt_tokens = likely_prompt_tokens(self.admitted.asked.fields)
        duration_ms = self.clock_ms() - self.began_ms
        return checkpoint_entry(self.admitted, progress, self._prompt_tokens, relay.status, duration_ms).to_json()

    def look(self) -> None:
        """So much has passed that what is held may be used up soon. Of what was not delivered nothing is owed."""
        relay, funds = self._relay, self._funds
        assert relay is not None and funds is not None
        if self._is_asking:
            return  # it is planned anew with the answer
        if relay.is_owed:
            self._consider(relay, funds, relay.tap.progress())
        else:
            relay.look_at_bytes = relay.passed_bytes + funds.plan.step_tokens

    def _consider(self, relay: Relay, funds: StreamFunds, progress: Progress) -> None:
        funds.held_nanos = self._lease.held_nanos
        # beside a prompt there may be what was cached; and a server that says 0 does not know yet
        if input_tokens := all_input_tokens(progress.reading):
            funds.plan = funds.plan.with_input(input_tokens)
        tokens = _tokens_of(funds, progress)
        _plan_look(relay, funds, tokens)
        wanted_nanos = funds.wanted_nanos(tokens)
        if wanted_nanos == 0 or self._is_asking:
            return
        self._is_asking = True
        if funds.is_spent(tokens):
            relay.hold()  # faster than it could be asked for
        self.tasks.spawn(self._ask_for(wanted_nanos, relay, funds), name="extend")

    async def _ask_for(self, nanos: int, relay: Relay, funds: StreamFunds) -> None:
        """Cut is only what was refused: while Redis is away, streams go on."""
        try:
            while nanos > 0:
                nanos = await self._hold_more(nanos, relay, funds)
        except _NOT_ANSWERED as error:
            log.warning("hold_not_extended", request_id=str(self.admitted.request_id), error=type(error).__name__)
            _look_later(relay, funds)
        finally:
            self._is_asking = False
            relay.resume()

    async def _hold_more(self, nanos: int, relay: Relay, funds: StreamFunds) -> int:
        """How much more to ask for at once, where it went on in the meantime and all of it was granted."""
        hoped_for = self._lease.held_nanos + nanos
        held_nanos = await self.leases.extend(self._lease, nanos)
        if held_nanos is None:
            _look_later(relay, funds)
            return 0
        funds.held_nanos = held_nanos
        tokens = _tokens_of(funds, relay.tap.progress())
        _plan_look(relay, funds, tokens)
        if held_nanos >= hoped_for:
            return funds.wanted_nanos(tokens)
        if funds.is_spent(tokens):
            relay.cut()
        return 0


def _plan_look(relay: Relay, funds: StreamFunds, tokens: int) -> None:
    funds.plan_look(tokens, relay.passed_bytes)
    relay.look_at_bytes = funds.look_at_bytes


def _look_later(relay: Relay, funds: StreamFunds) -> None:
    """Nobody knows if there is more: asked a step later, and not with every chunk."""
    tokens = max(1, _tokens_of(funds, relay.tap.progress()))
    relay.look_at_bytes = relay.passed_bytes * (tokens + funds.plan.step_tokens) // tokens


def _tokens_of(funds: StreamFunds, progress: Progress) -> int:
    """By its length alone no answer is longer than the limit that its server keeps."""
    tokens = tokens_so_far(progress)
    return tokens if progress.is_counted else min(tokens, funds.plan.all_output)
