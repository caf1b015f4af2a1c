"""Which upstream serves a model."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from metering.kinds import KINDS, Kind, OnClientLeft
from proxy.upstream.pool import UpstreamPool
from runtime.settings import Upstream

ANY_MODEL = "*"
_CREDENTIAL_HEADERS = {"anthropic": b"x-api-key", "azure": b"api-key"}


@dataclass(frozen=True, slots=True)
class Route:
    """An upstream as configured, and the connections to it.

    `on_client_left`: what the operator says, or what is right for this kind of server. `credential_header`: Anthropic
    and Azure take a key by a header of their own.
    """

    settings: Upstream
    pool: UpstreamPool
    kind: Kind = field(init=False)
    on_client_left: OnClientLeft = field(init=False)
    credential: str | None = field(init=False, repr=False)
    credential_header: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Worked out once: every request asks."""
        settings = self.settings
        kind = KINDS[settings.kind]
        object.__setattr__(self, "kind", kind)
        wanted = settings.on_client_left
        left = kind.on_client_left if wanted == "default" else OnClientLeft(wanted)
        object.__setattr__(self, "on_client_left", left)
        object.__setattr__(self, "credential", settings.api_key.get_secret_value() if settings.api_key else None)
        object.__setattr__(self, "credential_header", _CREDENTIAL_HEADERS.get(kind.name, b"authorization"))


class Routes:
    """The first upstream that names a model serves it; `*` takes what nobody names."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = tuple(routes)

    def for_model(self, model: str) -> Route | None:
        for wanted in (model, ANY_MODEL):
            for route in self._routes:
                if wanted in route.settings.models:
                    return route
        return None

    async def close(self) -> None:
        await asyncio.gather(*(route.pool.close() for route in self._routes))
