"""`/api/ai-api/transactions`, `/usage`, both also as CSV, and `/usage/statistics`: what happened, page by page."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.api.downloads import Downloads
from accounts.api.history_shapes import (
    PageQuery,
    PeriodQuery,
    TransactionsAnswer,
    UsagePageAnswer,
    UsageStatisticsAnswer,
    shown_line,
    shown_sums,
    shown_totals,
    shown_usage,
)
from accounts.api.requests import parse_query
from accounts.api.router import Access, Call, Route
from accounts.errors import ExportsBusy
from accounts.filters import Filter
from accounts.transactions import Transactions
from accounts.usage import Usage
from runtime.http.request import Reply

_BASE = "/api/ai-api"
CSV = "text/csv"


@dataclass(frozen=True, slots=True)
class HistoryRoutes:
    transactions: Transactions
    usage: Usage
    downloads: Downloads

    def routes(self) -> list[Route]:
        return [
            self._pages("/transactions", self.list_lines, "The wallet's lines, newest first", TransactionsAnswer),
            self._pages("/usage", self.list_usage, "The requests, newest first", UsagePageAnswer),
            self._csv("/transactions.csv", self.export_lines, "The wallet's lines as CSV, newest first"),
            self._csv("/usage.csv", self.export_usage, "The requests as CSV, newest first"),
            Route(
                "GET", f"{_BASE}/usage/statistics", Access.USER, self.add_up,
                "Requests, tokens and cost: altogether, by model, by key and by day",
                query=PeriodQuery, answer=UsageStatisticsAnswer,
            ),
        ]  # fmt: skip

    def _pages(self, path: str, handle: Any, summary: str, answer: Any) -> Route:
        return Route("GET", _BASE + path, Access.USER, handle, summary, query=PageQuery, answer=answer)

    def _csv(self, path: str, handle: Any, summary: str) -> Route:
        return Route(
            "GET", _BASE + path, Access.USER, handle, summary,
            query=PeriodQuery, refusals=(ExportsBusy,), media_type=CSV,
        )  # fmt: skip

    async def list_lines(self, call: Call) -> Any:
        asked = parse_query(PageQuery, call.request.query)
        page = await self.transactions.page(call.user.user_id, asked.filter(), asked.limit, asked.cursor)
        lines = [shown_line(line) for line in page.rows]
        return {"success": True, "transactions": lines, "nextCursor": page.next_cursor}

    async def list_usage(self, call: Call) -> Any:
        asked = parse_query(PageQuery, call.request.query)
        page = await self.usage.page(call.user.user_id, asked.filter(), asked.limit, asked.cursor)
        return {"success": True, "usage": [shown_usage(row) for row in page.rows], "nextCursor": page.next_cursor}

    async def add_up(self, call: Call) -> Any:
        asked = parse_query(PeriodQuery, call.request.query)
        used = await self.usage.breakdown(call.user.user_id, asked.filter())
        groups = {"byKey": shown_sums(used.by_key), "byDay": shown_sums(used.by_day)}
        return {"success": True, "usageStats": shown_totals(used.total) | groups}

    async def export_lines(self, call: Call) -> Reply:
        return await self._export(call, "transactions", self.transactions.export)

    async def export_usage(self, call: Call) -> Reply:
        return await self._export(call, "usage", self.usage.export)

    async def _export(self, call: Call, name: str, export: Callable[[UUID, Filter], AsyncIterator[bytes]]) -> Reply:
        wanted = parse_query(PeriodQuery, call.request.query).filter()
        user_id = call.user.user_id
        return await self.downloads.send(call.request, user_id, name, export(user_id, wanted))
