"""`GET /api/ai-api/openapi.json`: the routes that exist with this configuration, described."""

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Any

from accounts.api.openapi import describe
from accounts.api.router import Access, Call, Route
from accounts.api.shapes import Answer

PATH = "/api/ai-api/openapi.json"


class Description(Answer):
    """An OpenAPI 3.1 description."""

    openapi: str
    info: dict[str, Any]
    servers: list[dict[str, Any]]
    tags: list[dict[str, Any]]
    paths: dict[str, Any]
    components: dict[str, Any]


def with_description(routes: Sequence[Route], version: str) -> list[Route]:
    """These routes, and one more that describes all of them, itself too. It tells nothing of anybody."""

    @cache
    def described() -> dict[str, Any]:
        return describe(all_routes, version)

    async def show(_call: Call) -> Any:
        # made by the first who asks, and beside the loop: it takes 30 to 100 ms
        return await asyncio.to_thread(described)

    all_routes = [*routes, Route("GET", PATH, Access.OPEN, show, "This description (OpenAPI 3.1).", answer=Description)]
    return all_routes
