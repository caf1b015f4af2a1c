"""Which upstreams serve a model: one, or several of which each request takes one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from metering.kinds import KINDS, Kind, OnClientLeft
from proxy.additions import NOTHING_ADDED, Additions, RawHeaders, additions_of, overlaid, raw_headers
from proxy.http.headers import credential_as
from proxy.upstream.attempts import Failover
from proxy.upstream.balance import Balance, Room
from proxy.upstream.pool import UpstreamPool
from proxy.upstream.standing import Change, Standing, Tolerance
from runtime.settings import ModelAdditions, Upstream

log = structlog.get_logger("farebox.upstream")

ANY_MODEL = "*"
_CREDENTIAL_HEADERS = {"anthropic": b"x-api-key", "azure": b"api-key"}


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """An upstream as configured, the connections to it, and what is held against it.

    `on_client_left`: what the operator says, or what is right for this kind of server. `credential_header`: Anthropic
    and Azure take a key by a header of their own. `own_headers`: of requests that are ours and no client's.
    """

    settings: Upstream
    pool: UpstreamPool
    standing: Standing = field(init=False)
    kind: Kind = field(init=False)
    on_client_left: OnClientLeft = field(init=False)
    credential: str | None = field(init=False, repr=False)
    credential_header: bytes = field(init=False)
    own_headers: RawHeaders = field(init=False, repr=False)
    failover: Failover = field(init=False)
    weight: int = field(init=False)

    def __post_init__(self) -> None:
        """Worked out once: every request asks."""
        settings = self.settings
        kind = KINDS[settings.kind]
        object.__setattr__(self, "standing", Standing(_tolerance(settings), self._note))
        object.__setattr__(self, "kind", kind)
        wanted = settings.on_client_left
        left = kind.on_client_left if wanted == "default" else OnClientLeft(wanted)
        object.__setattr__(self, "on_client_left", left)
        object.__setattr__(self, "credential", settings.api_key.get_secret_value() if settings.api_key else None)
        object.__setattr__(self, "credential_header", _CREDENTIAL_HEADERS.get(kind.name, b"authorization"))
        object.__setattr__(self, "own_headers", self._own_headers())
        object.__setattr__(self, "failover", Failover(settings.failover))
        object.__setattr__(self, "weight", settings.weight)

    @property
    def busy(self) -> int:
        return self.pool.busy

    @property
    def room(self) -> Room:
        return self.pool.room

    def name_of(self, model: str) -> str:
        """What this server calls it."""
        return self.settings.model_names.get(model, model)

    def _own_headers(self) -> RawHeaders:
        own = [(b"accept-encoding", b"identity")]
        if self.credential is not None:
            own.append(credential_as(self.credential_header, self.credential))
        return overlaid(own, raw_headers(self.settings.headers))

    def _note(self, change: Change) -> None:
        if change in (Change.BREAKER_OPENED, Change.DOWN):
            log.warning("upstream_left_alone", upstream=self.settings.name, reason=change.value)
        else:
            log.info("upstream_back", upstream=self.settings.name, reason=change.value)


def _tolerance(settings: Upstream) -> Tolerance:
    breaker, health = settings.breaker, settings.health
    open_ms = int(breaker.open_s * 1000)
    if health is None:
        return Tolerance(breaker.failures, open_ms)
    return Tolerance(breaker.failures, open_ms, health.bad_checks, health.good_checks)


class Fleet:
    """The upstreams of one model, and what is added to its requests.

    `terms`: one of them for each way in which they bound what a request may come to, so that a hold is enough wherever
    it ends up; so is `max_output_tokens`, the highest of theirs. `of_ollama`: those that speak Ollama's own API.
    """

    def __init__(self, routes: Sequence[Route], additions: Additions = NOTHING_ADDED) -> None:
        self.balance = Balance(routes)
        self.additions = additions
        self.terms = tuple({_terms(route): route for route in reversed(routes)}.values())
        self.max_output_tokens = max(route.settings.max_output_tokens for route in routes)
        self._headers = {route: overlaid(raw_headers(route.settings.headers), additions.headers) for route in routes}
        of_ollama = [route for route in routes if route.kind.name == "ollama"]
        self.of_ollama: Fleet | None
        if len(of_ollama) == len(routes):
            self.of_ollama = self
        else:
            self.of_ollama = Fleet(of_ollama, additions) if of_ollama else None

    @property
    def routes(self) -> tuple[Route, ...]:
        return self.balance.servers

    def headers_for(self, route: Route) -> RawHeaders:
        """What is added to a request that goes there."""
        return self._headers[route]


def _terms(route: Route) -> tuple[str, int | None]:
    return route.kind.name, route.settings.context_tokens


class Routes:
    """All upstreams that name a model serve it; those with `*` take what nobody names."""

    def __init__(self, routes: Sequence[Route], additions: Sequence[ModelAdditions] = ()) -> None:
        self._routes = tuple(routes)
        self._additions = {each.name: additions_of(each) for each in additions}
        named = {model for route in routes for model in route.settings.models} | self._additions.keys()
        fleets = {model: self._fleet(model) for model in named}
        self._fleets = {model: fleet for model, fleet in fleets.items() if fleet is not None}
        self._any = self._fleets.get(ANY_MODEL)

    def for_model(self, model: str) -> Fleet | None:
        return self._fleets.get(model, self._any)

    @property
    def all(self) -> tuple[Route, ...]:
        return self._routes

    def _fleet(self, model: str) -> Fleet | None:
        additions = self._additions.get(model) or self._additions.get(ANY_MODEL) or NOTHING_ADDED
        for wanted in (model, ANY_MODEL):
            routes = [route for route in self._routes if wanted in route.settings.models]
            if routes:
                return Fleet(routes, additions)
        return None
