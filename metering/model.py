"""Admission and settlement in plain Python: the twin that the Lua is held against, and what they mean.

    available = balance + overdraft - held - unposted

A hold is taken from what is available, and may grow; settling gives it back and takes the charge instead; acknowledging
moves the charge from `unposted` into the balance that Postgres reports. A hold is leased: after its time anybody may
settle it at its checkpoint, and only then.

A key with limits of its own keeps a note of each open request: what it took of them is given back by the note, once.
"""

from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from metering.model_keys import ModelKey
from metering.verdict import Outcome


@dataclass(slots=True)
class ModelWallet:
    """Nano-dollars. `balance` None: Redis does not know this wallet."""

    balance: int | None = None
    overdraft: int = 0
    version: int = 0
    held: int = 0
    unposted: int = 0
    is_frozen: bool = False

    @property
    def available(self) -> int:
        assert self.balance is not None
        return self.balance + self.overdraft - self.held - self.unposted


class ModelHold(Struct, frozen=True):
    """Nano-dollars, until when, and the usage entry as far as it is known, or nothing."""

    nanos: int
    expiry_ms: int
    wallet: str
    key: str
    checkpoint: str = ""


@dataclass(slots=True)
class Model:
    """One shard of Redis. Keys, wallets and requests are named by any string."""

    lease_ms: int = 5_000
    max_events: int = 1_000_000
    keys: dict[str, ModelKey] = field(default_factory=dict)
    wallets: dict[str, ModelWallet] = field(default_factory=dict)
    holds: dict[str, ModelHold] = field(default_factory=dict)
    events: list[tuple[str, str, int]] = field(default_factory=list)

    def admit(
        self,
        request: str,
        key_name: str,
        wallet_name: str,
        hold: int,
        now_ms: int,
        *,
        least: int | None = None,
        tokens: int = 0,
        judged: str = "",
    ) -> Outcome:
        """`least`: the hold is lowered to what there is, if there is so much; None: it is not.

        `judged` is the id of the policy that the request was judged by, after REFUSED_MARK where it says no.
        """
        key, least = self.keys.get(key_name), hold if least is None else least
        if key is None:
            return Outcome.UNKNOWN_KEY
        is_backlogged = len(self.events) > self.max_events
        refusal = key.refusal(tokens, judged, now_ms, is_backlogged=is_backlogged)
        refusal = refusal or self._money_refusal(key, wallet_name, least, now_ms)
        if refusal is not None:
            return refusal
        wallet = self.wallets[wallet_name]
        hold = min(key.within_budgets(hold, now_ms), wallet.available)
        minute, day = key.buckets_at(now_ms)
        key.minute, key.day = minute.taken(), day.taken()
        key.buckets_ms = max(now_ms, key.buckets_ms or now_ms)
        key.take(request, hold, tokens, now_ms)
        wallet.held += hold
        self.holds[request] = ModelHold(hold, now_ms + self.lease_ms, wallet_name, key_name)
        return Outcome.ADMITTED

    def _money_refusal(self, key: ModelKey, wallet_name: str, least: int, now_ms: int) -> Outcome | None:
        wallet = self.wallets.get(wallet_name)
        if wallet is None or wallet.balance is None:
            return Outcome.UNKNOWN_WALLET
        if wallet.is_frozen:
            return Outcome.WALLET_FROZEN
        over = key.over_budget(least, now_ms)
        if over is not None:
            return over[0]
        return Outcome.NO_FUNDS if least > wallet.available else None

    def renew(
        self, request: str, key_name: str, wallet_name: str, believed: int, wanted: int, checkpoint: str, now_ms: int
    ) -> int | None:
        """What is held then: `wanted` more, as far as there is. None: nothing, and the wallet is not known."""
        hold, wallet = self.holds.get(request), self.wallets.get(wallet_name)
        is_known = wallet is not None and wallet.balance is not None
        if hold is None and not is_known:
            return None
        more = min(wanted + (believed if hold is None else 0), wallet.available if wallet and is_known else 0)
        if more > 0 and key_name in self.keys:
            more = self.keys[key_name].hold_more(request, more, now_ms)
        held = (hold.nanos if hold else 0) + max(0, more)
        if wallet is not None:
            wallet.held += max(0, more)
        kept = checkpoint or (hold.checkpoint if hold else "")
        self.holds[request] = ModelHold(held, now_ms + self.lease_ms, wallet_name, key_name, kept)
        return held

    def lapsed(self, now_ms: int) -> dict[str, ModelHold]:
        """What anybody may settle. A lease from before the clock was set back ends a lease from now."""
        latest_ms = now_ms + self.lease_ms
        for request, hold in self.holds.items():
            self.holds[request] = replace(hold, expiry_ms=min(hold.expiry_ms, latest_ms))
        return {request: hold for request, hold in self.holds.items() if hold.expiry_ms <= now_ms}

    def settle(
        self,
        request: str,
        wallet_name: str,
        cost: int,
        key_name: str = "",
        *,
        tokens: int = 0,
        now_ms: int = 0,
        has_entry: bool = True,
        lapsed_ms: int | None = None,
    ) -> int | None:
        """Returns the charge: the cost, or as much of it as the hold or the wallet has.

        `lapsed_ms`: only if its lease lapsed, as it was seen by then; None: it did not, and nothing was done.
        """
        hold = self.holds.get(request)
        if lapsed_ms is not None and (hold is None or hold.expiry_ms != lapsed_ms or hold.expiry_ms > now_ms):
            return None
        if hold is not None:
            del self.holds[request]
            self.wallets.setdefault(wallet_name, ModelWallet()).held -= hold.nanos
        charge = self._charge(request, wallet_name, cost, hold.nanos if hold else 0) if has_entry else 0
        if key_name in self.keys:
            self.keys[key_name].close(request, hold is not None, charge, tokens, now_ms)
        return charge

    def _charge(self, request: str, wallet_name: str, cost: int, hold: int) -> int:
        """What was held can be charged, whatever the wallet seems to have just then: see `lua/settle.lua`."""
        wallet = self.wallets.setdefault(wallet_name, ModelWallet())
        charge = cost if wallet.balance is None else min(cost, max(hold, wallet.available))
        wallet.unposted += charge
        self.events.append((request, wallet_name, charge))
        return charge

    def release(self, request: str, wallet_name: str, key_name: str = "", *, now_ms: int = 0) -> None:
        self.settle(request, wallet_name, 0, key_name, now_ms=now_ms, has_entry=False)

    def acknowledge(self, place: int) -> None:
        """The event at `place` was posted: its charge is in the balance that comes with the wallet's next version."""
        _, wallet_name, charge = self.events.pop(place)
        wallet = self.wallets[wallet_name]
        wallet.unposted = max(0, wallet.unposted - charge)

    def put_wallet(self, name: str, balance: int, overdraft: int, version: int, *, is_frozen: bool = False) -> None:
        """What Postgres says, unless something newer is known."""
        wallet = self.wallets.setdefault(name, ModelWallet())
        if wallet.balance is None or version > wallet.version:
            wallet.balance, wallet.overdraft, wallet.version = balance, overdraft, version
            wallet.is_frozen = is_frozen

    def put_key(self, name: str, state: ModelKey) -> None:
        """What Postgres says, unless something newer is known; what went on at the key stays as it is."""
        known = self.keys.get(name)
        if known is not None and state.version <= known.version:
            return
        if known is not None:
            state.go_on_from(known)
        self.keys[name] = state
