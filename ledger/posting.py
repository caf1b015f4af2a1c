"""Posting: a batch of settled entries becomes usage rows, transactions and debits, in one Postgres transaction.

First the wallets are locked, in id order. Then one statement, whose snapshot is taken after the locks and so sees all
that other writers committed for these wallets, does the whole batch. The request id decides what is new: posting the
same entries again, at once or later, changes nothing. Only a request that was `recovered` is not final: its true
settlement, or a later recovery of it, corrects it, in a second statement that is asked for where some request was known
before.

What is collected is the cost, or as much of it as the wallet has under the lock, and not the event's charge: that of a
settlement that was sent twice, or recovered and sent, or made while Redis knew less than Postgres, is too small through
nobody's fault.

An entry that Postgres refuses does not stop the others: the batch is halved until the bad one is alone.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import orjson
import structlog

from ledger.corrections import CORRECT_USAGE, without_superseded
from ledger.dead_letters import payload_of
from ledger.entries import RECOVERED, SettledEntry, WalletState
from runtime.ids import time_of_ms
from runtime.postgres import Connection, Pool
from runtime.sql import load_queries

OnStep: TypeAlias = Callable[[str], None]

log = structlog.get_logger("farebox.posting")

# The entry is at fault: SQLSTATE classes 22 and 23, a value that cannot be sent, a row too big for an index.
BAD_DATA: tuple[type[Exception], ...] = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
NO_WALLET = "there is no such wallet"
# Bounds of what clients and upstreams may write into our rows and indexes.
NAME_LENGTH = 200
MESSAGE_LENGTH = 2000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# An id can say a later time than a datetime can: the last millisecond of 9999.
LAST_MS = 253_402_300_799_999
_QUERIES = load_queries("ledger", "sql/posting.sql")


@dataclass(frozen=True, slots=True)
class PostOutcome:
    """`wallets` as they are after posting; `posted` new, `duplicates` known before, `buried` as dead letters,
    `corrected` from what was recovered."""

    wallets: tuple[WalletState, ...] = ()
    posted: int = 0
    duplicates: int = 0
    buried: int = 0
    corrected: int = 0

    def __add__(self, other: "PostOutcome") -> "PostOutcome":
        newest: dict[UUID, WalletState] = {}
        for wallet in sorted(self.wallets + other.wallets, key=lambda state: state.version):
            newest[wallet.wallet_id] = wallet
        return PostOutcome(
            tuple(newest.values()),
            self.posted + other.posted,
            self.duplicates + other.duplicates,
            self.buried + other.buried,
            self.corrected + other.corrected,
        )


def no_step(_: str) -> None:
    """Nobody watches."""


async def post(pool: Pool, entries: Sequence[SettledEntry], on_step: OnStep = no_step) -> PostOutcome:
    """Posts every entry once. Raises runtime.postgres.UNAVAILABLE; what was not committed then may be posted again."""
    if not entries:
        return PostOutcome()
    try:
        return await _post_together(pool, entries, on_step)
    except BAD_DATA as error:
        if len(entries) == 1:
            # The message alone: Postgres' DETAIL repeats the whole row, which does not belong in a log.
            reason = getattr(error, "message", None) or str(error)
            return await _bury_entry(pool, entries[0], f"{type(error).__name__}: {reason}")
    middle = len(entries) // 2
    first = await post(pool, entries[:middle], on_step)
    return first + await post(pool, entries[middle:], on_step)


async def _post_together(pool: Pool, entries: Sequence[SettledEntry], on_step: OnStep) -> PostOutcome:
    # Read committed, whatever the database's default: the second statement must see more than the first.
    async with pool.acquire() as connection, connection.transaction(isolation="read_committed"):
        outcome, homeless = await post_in_transaction(connection, entries, on_step)
        for settled in homeless:
            await bury(connection, settled.event_id, payload_of(settled), NO_WALLET)
        on_step("posted")
    return replace(outcome, buried=len(homeless))


async def post_in_transaction(
    connection: Connection, entries: Sequence[SettledEntry], on_step: OnStep = no_step
) -> tuple[PostOutcome, list[SettledEntry]]:
    """Posts in the caller's transaction (read committed); also returns the entries whose wallet is not there.

    Nobody is told of the changed balances: whoever commits brings them to Redis.
    """
    wallet_ids = list({settled.entry.wallet_id for settled in entries})
    await connection.execute(_QUERIES["begin_posting"])
    locked = {row["id"] for row in await connection.fetch(_QUERIES["lock_wallets"], wallet_ids)}
    on_step("begun")
    payable = [settled for settled in entries if settled.entry.wallet_id in locked]
    posted, corrected = await _post_payable(connection, payable) if payable else (0, 0)
    states = await connection.fetch(_QUERIES["states_after"], list(locked))
    wallets = tuple(WalletState(*row) for row in states)
    outcome = PostOutcome(wallets, posted, len(payable) - posted - corrected, corrected=corrected)
    return outcome, [settled for settled in entries if settled.entry.wallet_id not in locked]


async def _post_payable(connection: Connection, entries: Sequence[SettledEntry]) -> tuple[int, int]:
    """How many were new, and how many corrected."""
    columns = _columns(without_superseded(entries))
    posted: int = await connection.fetchval(_QUERIES["post_usage"], *columns)
    if posted == len(entries):
        return posted, 0  # as nearly always: every request was new
    corrected: int = await connection.fetchval(CORRECT_USAGE, *columns, RECOVERED)
    return posted, corrected


async def _bury_entry(pool: Pool, settled: SettledEntry, reason: str) -> PostOutcome:
    async with pool.acquire() as connection:
        await bury(connection, settled.event_id, payload_of(settled), reason)
    return PostOutcome(buried=1)


async def bury(connection: "Connection | Pool", event_id: str, payload: str, reason: str) -> None:
    """Keeps an event that cannot be posted in `farebox_dead_letters`, and says so loudly."""
    await connection.execute(_QUERIES["bury"], event_id, storable(payload), storable(reason)[:MESSAGE_LENGTH])
    # Only the kind of reason: what follows it may quote the event.
    log.error("usage_event_buried", event_id=event_id, reason=reason.partition(":")[0])


async def touch_keys(pool: Pool, entries: Iterable[SettledEntry]) -> None:
    """Notes when these entries' keys were last used, to the minute."""
    used_ms: dict[UUID, int] = {}
    for settled in entries:
        key_id = settled.entry.api_key_id
        used_ms[key_id] = max(used_ms.get(key_id, 0), time_of_ms(settled.entry.request_id))
    moments = [_EPOCH + timedelta(milliseconds=min(ms, LAST_MS)) for ms in used_ms.values()]
    await pool.execute(_QUERIES["touch_keys"], list(used_ms), moments)


def storable(text: str) -> str:
    """Postgres holds neither NUL nor half a surrogate pair. A client must not escape its bill by sending one."""
    if text.isascii() and "\x00" not in text:  # as nearly always
        return text
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()


def _columns(entries: Sequence[SettledEntry]) -> list[list[Any]]:
    """One list per parameter of post_usage."""
    return [list(column) for column in zip(*map(_row, entries), strict=True)]


def _row(settled: SettledEntry) -> tuple[Any, ...]:
    entry = settled.entry
    return (
        entry.request_id, entry.user_id, entry.wallet_id, entry.api_key_id, entry.pricing_id,
        storable(entry.model)[:NAME_LENGTH], storable(entry.endpoint)[:NAME_LENGTH],
        entry.input_tokens, entry.cached_input_tokens, entry.cache_write_tokens,
        entry.output_tokens, entry.reasoning_tokens, entry.audio_input_tokens, entry.audio_output_tokens,
        entry.images, entry.audio_ms,
        entry.cost_nanos, entry.usage_source, storable(entry.end_reason)[:NAME_LENGTH],
        entry.status_code, entry.response_time_ms,
        None if entry.error_message is None else storable(entry.error_message)[:MESSAGE_LENGTH],
        _metadata_json(entry.metadata),
    )  # fmt: skip


def _metadata_json(metadata: dict[str, Any]) -> str:
    if not metadata:
        return "{}"
    text = orjson.dumps(metadata).decode()
    if "\\u0000" in text:  # valid JSON that jsonb refuses: kept as a string, in which the escape is only text
        return orjson.dumps({"unstorable": text}).decode()
    return text
