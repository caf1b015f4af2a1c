"""The gateway, wired: what programs call with a key. Every part of it is made here, and closed in the reverse order."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

import structlog

from accounts.key_format import KeyFormat
from accounts.request_usage import RequestUsages
from metering import endpoints
from metering.admission import Limits
from metering.tokenizers.counter import TokenCounter
from metering.tokenizers.huggingface import TokenizerMissing
from proxy.admitting import Desk
from proxy.backends import Backends, in_short
from proxy.callers import Callers
from proxy.counting import Counting
from proxy.drain import Drain, Generation
from proxy.gateway import Gateway
from proxy.keys.door import Door
from proxy.keys.verifier import KeyVerifier
from proxy.leaving import Drains
from proxy.models import ModelList
from proxy.opening import RoutesInUse
from proxy.prices import PriceBook
from proxy.process.starting import StartError
from proxy.process.stopping import COUNT_S, SETTLE_S
from proxy.questions import Questions
from proxy.recording import Recorder
from proxy.routing import Routes
from proxy.telemetry.tracing import open_tracing
from proxy.usage_lookup import UsageLookup
from runtime.http.request import Reply
from runtime.settings import Config, SpoolFolder
from runtime.spool import Spool
from runtime.strikes import Strikes
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.app")

RouteTable = dict[tuple[str, str], Callable[..., Awaitable[Reply]]]


@dataclass(slots=True)
class GatewayParts:
    """What lives as long as the process, whatever is configured meanwhile."""

    limits: Limits
    verifier: KeyVerifier
    strikes: Strikes
    recorder: Recorder
    routes: RoutesInUse
    spool: Spool
    questions: Questions = field(default_factory=Questions)
    drains: Drains = field(default_factory=Drains)
    tasks: TaskSet = field(default_factory=TaskSet)

    def follow(self, config: Config) -> None:
        """What of it is a number or a list, from now on as `config` says."""
        self.limits.max_backlog_events = config.holds.max_unposted_events
        self.strikes.per_minute = config.listen.max_wrong_keys_per_minute
        self.recorder.slow_ms = _slow_ms(config)
        self.recorder.trusted_proxies = config.listen.trusted_proxies


async def open_gateway(stack: AsyncExitStack, config: Config, backends: Backends) -> GatewayParts:
    """Each part is closed in the reverse order."""
    tracing = await stack.enter_async_context(open_tracing(config.traces))
    spool = await _open_spool(config.spool)
    stack.push_async_callback(spool.close)
    limits = Limits(
        backends.redis,
        backends.mirror,
        shards=backends.shards,
        spool=spool,
        max_backlog_events=config.holds.max_unposted_events,
    )
    stack.push_async_callback(_drain, limits)
    limits.start()
    routes = RoutesInUse()
    stack.push_async_callback(routes.close)
    verifier = _verifier(config, backends)
    stack.push_async_callback(verifier.close)
    counter = _token_counter(config)
    stack.push_async_callback(counter.close)
    trusted, slow_ms = config.listen.trusted_proxies, _slow_ms(config)
    recorder = Recorder(limits, Counting(counter), slow_ms, trusted, tracing)
    stack.push_async_callback(recorder.tasks.drain, COUNT_S)
    strikes = Strikes(config.listen.max_wrong_keys_per_minute)
    parts = GatewayParts(limits, verifier, strikes, recorder, routes, spool)
    stack.push_async_callback(parts.tasks.cancel)
    return parts


def gateway_table(
    parts: GatewayParts,
    config: Config,
    routes: Routes,
    backends: Backends,
    prices: PriceBook,
    drain: Drain | Generation,
) -> RouteTable:
    """Every path that is answered with this configuration; OpenAI's and Anthropic's stand under `/v1` and `/api/v1`."""
    door = Door(parts.verifier, parts.strikes, config.listen.trusted_proxies)
    desk = Desk(door, parts.limits, prices, routes, config.listen, config.holds)
    gateway = Gateway(desk, parts.recorder, config.listen, drain, parts.questions, parts.drains, parts.tasks)
    callers = Callers(door, parts.limits)
    lookup = UsageLookup(callers, RequestUsages(backends.pool))
    return route_table(gateway, ModelList(callers, prices, routes), lookup)


def route_table(gateway: Gateway, models: ModelList, lookup: UsageLookup) -> RouteTable:
    table: RouteTable = {("POST", each.name): partial(gateway.serve, each) for each in endpoints.OLLAMA}
    for base in ("/v1", "/api/v1"):
        for endpoint in endpoints.OPENAI:
            table["POST", f"{base}{endpoint.path}"] = partial(gateway.serve, endpoint)
        table["GET", f"{base}/models"] = models.list
        table["GET", f"{base}/models/{{id}}"] = models.one
        table["GET", f"{base}/usage/{{request_id}}"] = lookup.show
    return table


def _slow_ms(config: Config) -> int:
    return int(config.log.slow_s * 1000)


def _token_counter(config: Config) -> TokenCounter:
    try:
        return TokenCounter(config.tokenizers)
    except TokenizerMissing as error:
        raise StartError(f"tokenizers: {error}") from error


def _verifier(config: Config, backends: Backends) -> KeyVerifier:
    pepper = config.keys.pepper.get_secret_value().encode()
    return KeyVerifier(
        backends.redis,
        backends.store,
        KeyFormat(config.keys.prefix),
        pepper,
        needs_cache=not config.redis.cluster,
    )


async def _open_spool(settings: SpoolFolder) -> Spool:
    try:
        return await Spool.open(settings.dir, max_bytes=settings.max_bytes)
    except OSError as error:
        where = settings.dir.absolute()
        raise StartError(f"spool.dir: {where} cannot be written to ({error.strerror or in_short(error)})") from error


async def _drain(limits: Limits) -> None:
    left = await limits.drain(SETTLE_S)
    if left:
        log.error("settlements_lost", count=left)
