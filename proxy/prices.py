"""The price sheet in force, read from Postgres once a second; the last one read serves while Postgres is away."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from metering.pricing import Price, PriceSheet
from runtime.clock import ClockMs, wall_ms
from runtime.postgres import FAILED

log = structlog.get_logger("farebox.prices")

# An operator's `UPDATE ai_pricing` is in force everywhere within a second.
REFRESH_S = 1.0

ReadSheet = Callable[[], Awaitable[PriceSheet]]


class PriceBook:
    """What a model costs now."""

    def __init__(self, read: ReadSheet, clock_ms: ClockMs = wall_ms) -> None:
        self._read = read
        self._clock_ms = clock_ms
        self._sheet: PriceSheet | None = None

    @property
    def is_loaded(self) -> bool:
        return self._sheet is not None

    def in_force(self, model: str) -> Price | None:
        return self._sheet.in_force(model, self._clock_ms()) if self._sheet else None

    def models(self) -> list[str]:
        return self._sheet.models(self._clock_ms()) if self._sheet else []

    async def refresh(self) -> None:
        """Raises what reading raises."""
        self._sheet = await self._read()

    async def keep_fresh(self) -> None:
        """Until cancelled."""
        was_away = False
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await self.refresh()
            except FAILED as error:
                if not was_away:
                    log.warning("prices_not_refreshed", error=type(error).__name__)
                was_away = True
            else:
                was_away = False
