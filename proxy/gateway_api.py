"""The gateway, wired: what programs call with a key. Every part of it is made here, and closed in the reverse order."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
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
from proxy.drain import Drain
from proxy.gateway import Gateway
from proxy.gauges import GatewayLook, Look
from proxy.keys import KeyVerifier
from proxy.models import ModelList
from proxy.opening import open_routes
from proxy.prices import PriceBook
from proxy.recording import Recorder
from proxy.starting import StartError
from proxy.stopping import COUNT_S, SETTLE_S
from proxy.tracing import open_tracing
from proxy.usage_lookup import UsageLookup
from runtime.http.request import Reply
from runtime.settings import Config, SpoolFolder
from runtime.spool import Spool

log = structlog.get_logger("farebox.app")

RouteTable = dict[tuple[str, str], Callable[..., Awaitable[Reply]]]


async def open_gateway(
    stack: AsyncExitStack, config: Config, backends: Backends, prices: PriceBook, drain: Drain, looks: list[Look]
) -> RouteTable:
    """Every path that is answered; OpenAI's and Anthropic's stand under `/v1` and `/api/v1` alike.

    `looks` gets what puts the gauges.
    """
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
    routes = await open_routes(stack, config)
    verifier = _verifier(config, backends)
    stack.push_async_callback(verifier.close)
    counter = _token_counter(config)
    stack.push_async_callback(counter.close)
    looks.append(GatewayLook(limits, routes, verifier, spool, config.spool.max_bytes, prices, drain))
    slow_ms = int(config.log.slow_s * 1000)
    recorder = Recorder(limits, Counting(counter), slow_ms, config.listen.trusted_proxies, tracing)
    stack.push_async_callback(recorder.tasks.drain, COUNT_S)
    desk = Desk(verifier, limits, prices, routes, config.listen, config.holds)
    gateway = Gateway(desk, recorder, config.listen, drain)
    stack.push_async_callback(gateway.tasks.cancel)
    callers = Callers(verifier, limits, config.listen.trusted_proxies)
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
