"""The price sheet in force, read from Postgres when a change is announced and once a second in any case.

The last sheet that could be read serves until another can. Whoever was admitted keeps the price of that moment.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from metering.pricing import Price, PriceSheet
from runtime.backoff import pause
from runtime.clock import ClockMs, wall_ms
from runtime.listener import Listener
from runtime.postgres import FAILED

log = structlog.get_logger("farebox.prices")

# An operator's `UPDATE ai_pricing` is in force everywhere within a second, also where announcements are not heard.
REFRESH_S = 1.0
# A script that changes a thousand rows one by one announces each: so often the sheet is read meanwhile.
REST_S = 0.05
# The listening connection is tried so often: one that went silently hears nothing.
_TRY_CONNECTION_S = 30.0
_CHANNEL = "farebox_prices"
# Also a row that is no price, such as NaN where the table's checks were dropped.
_UNREADABLE: tuple[type[BaseException], ...] = (*FAILED, ValueError, ArithmeticError)

ReadSheet = Callable[[], Awaitable[PriceSheet]]


class PriceBook:
    """What a model costs now."""

    def __init__(self, read: ReadSheet, clock_ms: ClockMs = wall_ms) -> None:
        self._read = read
        self._clock_ms = clock_ms
        self._sheet: PriceSheet | None = None
        self._changed = asyncio.Event()

    @property
    def is_loaded(self) -> bool:
        return self._sheet is not None

    def in_force(self, model: str) -> Price | None:
        return self._sheet.in_force(model, self._clock_ms()) if self._sheet else None

    def models(self) -> list[str]:
        return self._sheet.models(self._clock_ms()) if self._sheet else []

    def announce(self) -> None:
        """The rows may have changed: they are read again, without waiting for the next time."""
        self._changed.set()

    async def refresh(self) -> None:
        """Raises what reading raises."""
        self._sheet = await self._read()

    async def keep_fresh(self) -> None:
        """Until cancelled."""
        was_away = False
        while True:
            await pause(self._changed, REFRESH_S)
            self._changed.clear()  # before reading: what is announced meanwhile is read again
            try:
                await self.refresh()
            except _UNREADABLE as error:
                if not was_away:
                    log.warning("prices_not_refreshed", error=type(error).__name__)
                was_away = True
            else:
                was_away = False
            await asyncio.sleep(REST_S)


def price_listener(url: str, book: PriceBook) -> Listener:
    """Tells the book of every announced change, and of those that it may have missed."""

    async def nothing() -> float:
        return _TRY_CONNECTION_S

    return Listener(
        url,
        (_CHANNEL,),
        hear=lambda _channel, _payload: book.announce(),
        begin=book.announce,
        work=nothing,
        application_name="farebox-prices",
    )
