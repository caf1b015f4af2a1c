"""Which upstream serves a model."""

from collections.abc import Sequence
from dataclasses import dataclass

from metering.kinds import KINDS, Kind, OnClientLeft
from proxy.upstream.pool import UpstreamPool
from runtime.settings import Upstream

ANY_MODEL = "*"
_CREDENTIAL_HEADERS = {"anthropic": b"x-api-key", "azure": b"api-key"}


@dataclass(frozen=True, slots=True)
class Route:
    """An upstream as configured, and the connections to it."""

    settings: Upstream
    pool: UpstreamPool

    @property
    def kind(self) -> Kind:
        return KINDS[self.settings.kind]

    @property
    def on_client_left(self) -> OnClientLeft:
        """What the operator says, or what is right for this kind of server."""
        wanted = self.settings.on_client_left
        return self.kind.on_client_left if wanted == "default" else OnClientLeft(wanted)

    @property
    def credential_header(self) -> bytes:
        """Anthropic and Azure take a key by a header of their own."""
        return _CREDENTIAL_HEADERS.get(self.kind.name, b"authorization")

    @property
    def credential(self) -> str | None:
        return self.settings.api_key.get_secret_value() if self.settings.api_key else None


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
        for route in self._routes:
            await route.pool.close()
