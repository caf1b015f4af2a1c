"""Usage events that could not be posted: looked at, posted after all, or dropped, by an operator.

What is posted or dropped leaves the table in the transaction that does it, together with its line in the log of acts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from accounts.admin_log import Act, record_act
from accounts.errors import DeadLetterNotFound, DeadLetterNotPosted, InvalidRequest
from accounts.filters import check_limit
from accounts.pages import DEFAULT_LIMIT
from ledger.dead_letters import settled_of
from ledger.entries import EntryError, SettledEntry
from ledger.posting import BAD_DATA, NO_WALLET, PostOutcome, post_in_transaction
from runtime.postgres import Connection, Pool
from runtime.sql import load_queries

Posted = Literal["posted", "corrected", "known before"]

_QUERIES = load_queries("accounts", "sql/dead_letters.sql")
# Of one event id there are as many as there are shards, at most, each with a payload of its own.
_MAX_SAME = 100
_MAX_NUMBER = 2**63 - 1  # of a bigint
# What the log keeps of an event: its lines are bounded, to 16 KiB of JSON. One that is dropped is nowhere else.
_REASON_CHARS, _PAYLOAD_CHARS = 500, 2000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`event_id` is its place in the Stream; `payload` what it held; `reason` why Postgres did not take it."""

    number: int
    event_id: str
    payload: str
    reason: str
    created_at: datetime


class DeadLetters:
    """`event` is an event's id, or a letter's number where shards had the same id.

    Raises DeadLetterNotFound, InvalidRequest, runtime.postgres.UNAVAILABLE while Postgres is away.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, before: int | None = None, limit: int = DEFAULT_LIMIT) -> list[DeadLetter]:
        """Newest first, from before that number on."""
        check_limit(limit)
        if before is not None and not 0 <= before <= _MAX_NUMBER:
            raise InvalidRequest("before: is no number of a dead letter")
        return [_letter(row) for row in await self._pool.fetch(_QUERIES["page"], before, limit)]

    async def find(self, event: str) -> list[DeadLetter]:
        """All that have this id, nearly always one."""
        return _found(event, await self._pool.fetch(_QUERIES["find"], *_name(event)))

    async def post(self, event: str, reason: str, by: str) -> Posted:
        """Posts it in the ordinary way, once what kept it out is mended. Raises DeadLetterNotPosted if it is not."""
        try:
            # as posting asks for it: the statements of one transaction must see what others commit between them
            async with self._pool.acquire() as connection, connection.transaction(isolation="read_committed"):
                letter = await _lock(connection, event)
                settled = _read(letter)
                outcome, homeless = await post_in_transaction(connection, [settled])
                if homeless:
                    raise DeadLetterNotPosted(f"{event}: {NO_WALLET}")
                said = _in_a_word(outcome)
                await connection.execute(_QUERIES["announce"], settled.entry.wallet_id)
                after = {"outcome": said, "request_id": str(settled.entry.request_id)}
                await _finish(connection, letter, "post", settled.entry.user_id, after, reason, by)
        except BAD_DATA as error:
            # the message alone: Postgres' DETAIL repeats the row
            raise DeadLetterNotPosted(f"{event}: {getattr(error, 'message', None) or error}") from None
        return said

    async def drop(self, event: str, reason: str, by: str) -> None:
        """Gives it up: nobody is charged for it. The log keeps what it held, or the beginning of that."""
        async with self._pool.acquire() as connection, connection.transaction():
            letter = await _lock(connection, event)
            await _finish(connection, letter, "drop", _owner(letter), None, reason, by)


async def _lock(connection: Connection, event: str) -> DeadLetter:
    found = _found(event, await connection.fetch(_QUERIES["lock"], *_name(event)))
    if len(found) > 1:
        numbers = ", ".join(str(letter.number) for letter in found)
        raise InvalidRequest(f"{event} is the id of several events: say which by its number: {numbers}")
    return found[0]


async def _finish(
    connection: Connection,
    letter: DeadLetter,
    what: str,
    user_id: UUID | None,
    after: Mapping[str, Any] | None,
    reason: str,
    by: str,
) -> None:
    await connection.execute(_QUERIES["delete"], letter.number)
    before: dict[str, Any] = {"number": letter.number, "reason": letter.reason[:_REASON_CHARS]}
    if after is None:
        before["payload"] = letter.payload[:_PAYLOAD_CHARS]
    await record_act(
        connection, Act(by, f"dead_letter.{what}", "dead_letter", letter.event_id, user_id, before, after, reason)
    )


def _read(letter: DeadLetter) -> SettledEntry:
    try:
        return settled_of(letter.event_id, letter.payload)
    except EntryError as error:
        raise DeadLetterNotPosted(f"{letter.event_id}: cannot be read: {error}") from None


def _owner(letter: DeadLetter) -> UUID | None:
    try:
        return settled_of(letter.event_id, letter.payload).entry.user_id
    except EntryError:
        return None


def _in_a_word(outcome: PostOutcome) -> Posted:
    if outcome.corrected:
        return "corrected"
    return "posted" if outcome.posted else "known before"


def _name(event: str) -> tuple[str, int | None, int]:
    """The event's id, the number if it is one, and how many at most."""
    is_number = event.isascii() and event.isdecimal() and len(event) <= len(str(_MAX_NUMBER))
    return event, min(int(event), _MAX_NUMBER) if is_number else None, _MAX_SAME


def _found(event: str, rows: list[Any]) -> list[DeadLetter]:
    if not rows:
        raise DeadLetterNotFound(f"no event {event} was set aside")
    return [_letter(row) for row in rows]


def _letter(row: Any) -> DeadLetter:
    return DeadLetter(row["id"], row["event_id"], row["payload"], row["reason"], row["created_at"])
