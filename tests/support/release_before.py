"""What the release before does to Postgres, by its own statements (tests/data/release) and with their parameters as
they were: posting, correcting, crediting. Written anew when its statements are."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from ledger.entries import RECOVERED, SettledEntry, UsageEntry, WalletState
from runtime.postgres import Connection, Pool
from tests.support.release_snapshot import queries_before


@dataclass(frozen=True)
class Before:
    pool: Pool

    async def post(self, entries: Sequence[SettledEntry]) -> tuple[int, int]:
        """How many were new, and how many corrected."""
        posting, columns = queries_before()["ledger/posting.sql"], _columns([settled.entry for settled in entries])
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(posting["begin_posting"])
            wallets = list({settled.entry.wallet_id for settled in entries})
            await connection.fetch(posting["lock_wallets"], wallets)
            posted: int = await connection.fetchval(posting["post_usage"], *columns)
            corrected: int = await connection.fetchval(_corrections(), *columns, RECOVERED)
            await connection.fetch(posting["states_after"], wallets)
        return posted, corrected

    async def give(self, wallet: WalletState, nanos: int) -> None:
        """A bonus."""
        wallets = queries_before()["ledger/wallets.sql"]
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.fetchrow(wallets["lock_wallet"], wallet.wallet_id)
            await connection.fetchrow(
                wallets["record"], wallet.wallet_id, "bonus", Decimal(nanos).scaleb(-9), "before", "{}"
            )

    async def ensure_partitions(self, months_ahead: int) -> int:
        return int(await self.pool.fetchval(queries_before()["ledger/wallets.sql"]["ensure_partitions"], months_ahead))

    async def breaks(self, connection: Connection) -> dict[str, int]:
        """The rules of its audit that are broken, and how often."""
        rules = queries_before()["ledger/audit.sql"]
        found = {rule: len(await connection.fetch(query, None, None)) for rule, query in rules.items()}
        return {rule: count for rule, count in found.items() if count}


def _corrections() -> str:
    return queries_before()["ledger/corrections.sql"]["correct_usage"]


def _columns(entries: Sequence[UsageEntry]) -> list[list[Any]]:
    return [list(column) for column in zip(*map(_row, entries), strict=True)]


def _row(entry: UsageEntry) -> tuple[int | str | UUID | None, ...]:
    return (
        entry.request_id, entry.user_id, entry.wallet_id, entry.api_key_id, entry.pricing_id,
        entry.model, entry.endpoint, entry.input_tokens, entry.cached_input_tokens,
        entry.cache_write_tokens, entry.output_tokens, entry.reasoning_tokens,
        entry.audio_input_tokens, entry.audio_output_tokens, entry.images, entry.audio_ms,
        entry.cost_nanos, entry.usage_source, entry.end_reason, entry.status_code, entry.response_time_ms,
        entry.error_message, orjson.dumps(entry.metadata).decode(),
    )  # fmt: skip
