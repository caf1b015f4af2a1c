"""What a process serves with its configuration, and how that is exchanged for another while requests run.

A request that has begun keeps all that it began with: limits, upstreams, prices. What no younger request uses is closed
when the last of its own has ended.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from proxy.account_api import AccountTables, open_account_api
from proxy.backends import Backends
from proxy.drain import Drain, Generation
from proxy.gateway_api import GatewayParts, RouteTable, gateway_table
from proxy.http.routes import Table
from proxy.listeners import Listeners, listen
from proxy.metrics_api import with_metrics
from proxy.prices import PriceBook
from proxy.process.starting import StartError
from proxy.process.stopping import COUNT_S
from proxy.routing import Routes
from proxy.telemetry.metrics_page import MetricsPage
from runtime.config import ConfigError
from runtime.logs import set_level
from runtime.settings import Config
from runtime.tasks import TaskSet

# What a serving process cannot take up; everything else it can. How long it may take to stop is known to whoever
# started it: they kill it after that.
FIXED = (
    "database",
    "redis",
    "spool",
    "tokenizers",
    "keys.pepper",
    "keys.prefix",
    "listen.host",
    "listen.port",
    "listen.admin",
    "listen.shutdown_delay_s",
    "listen.shutdown_timeout_s",
    "metrics",
    "traces",
)
# What the ledger process is told by the same file.
IGNORED = ("metrics.ledger", "retention")


_OF_ACCOUNTS = ("keys", "identity", "stripe", "notices")


@dataclass(frozen=True, slots=True)
class Base:
    """What stays, whatever is configured. `health`: at every port."""

    backends: Backends
    prices: PriceBook
    drain: Drain
    parts: GatewayParts
    metrics: MetricsPage
    health: RouteTable


@dataclass(frozen=True, slots=True)
class _Made:
    """What was made of one configuration; `accounts_stack` closes the account API's."""

    config: Config
    routes: Routes
    accounts: AccountTables
    accounts_stack: AsyncExitStack


class Surface:
    """Enter it with `open`; `change_to` may then be called at any time, once at a time."""

    def __init__(self, base: Base, made: _Made) -> None:
        self._base = base
        self._made = made
        self._listeners: Listeners
        self._retiring = TaskSet()
        self._accounts: list[AsyncExitStack] = [made.accounts_stack]

    @classmethod
    async def open(cls, stack: AsyncExitStack, base: Base, config: Config, *, reuse_port: bool) -> "Surface":
        """Listening when it returns. Raises StartError."""
        made = await _make(base, config, None)
        surface = cls(base, made)
        stack.push_async_callback(surface._close)
        tables = _tables(base, made, base.drain)
        looks = base.metrics.book.looks
        surface._listeners = await listen(stack, config.listen, *tables, base.drain, reuse_port=reuse_port, looks=looks)
        return surface

    @property
    def address(self) -> str:
        return self._listeners.address

    async def change_to(self, config: Config) -> None:
        """Serve as `config` says; raises ConfigError, and then nothing has changed."""
        try:
            made = await _make(self._base, config, self._made)
        except StartError as error:
            raise ConfigError([str(error)]) from error
        generation = self._base.drain.generation()
        self._listeners.exchange(config.listen, *_tables(self._base, made, generation), generation)
        self._base.parts.follow(config)
        self._base.metrics.max_events = config.holds.max_unposted_events
        before, self._made = self._made, made
        if config.log.level != before.config.log.level:  # else what it was told by a signal stays
            set_level(config.log.level)
        if made.accounts_stack is not before.accounts_stack:
            self._accounts.append(made.accounts_stack)
        self._retiring.spawn(self._retire(before, made, generation), name="retire-configuration")

    async def _retire(self, old: _Made, new: _Made, generation: Generation) -> None:
        """Requests that ended may still be counted by their server's tokenizer, for as long as that may take."""
        await self._base.drain.idle_before(generation)
        await asyncio.sleep(COUNT_S)
        if old.routes is not new.routes:
            await self._base.parts.routes.retire(old.routes)
        if old.accounts_stack is not new.accounts_stack:
            self._accounts.remove(old.accounts_stack)
            await old.accounts_stack.aclose()

    async def _close(self) -> None:
        await self._retiring.cancel()
        for stack in self._accounts:
            await stack.aclose()


async def _make(base: Base, config: Config, old: _Made | None) -> _Made:
    """With what of `old` is the same still. Raises StartError; what was begun is closed then."""
    is_same = old is not None and old.config.upstreams == config.upstreams and old.config.models == config.models
    routes = old.routes if is_same and old is not None else await base.parts.routes.open(config)
    try:
        if old is not None and _same_accounts(old.config, config):
            return _Made(config, routes, old.accounts, old.accounts_stack)
        async with AsyncExitStack() as stack:
            accounts = await open_account_api(stack, config, base.backends)
            return _Made(config, routes, accounts, stack.pop_all())
    except BaseException:
        if old is not None and routes is not old.routes:
            await base.parts.routes.retire(routes)
        raise


def _same_accounts(old: Config, new: Config) -> bool:
    is_same_port = old.listen.admin_on_public_port == new.listen.admin_on_public_port
    return is_same_port and all(getattr(old, name) == getattr(new, name) for name in _OF_ACCOUNTS)


def _tables(base: Base, made: _Made, drain: Drain | Generation) -> tuple[Table, Table]:
    """The public port's, and that of the port for administrators."""
    gateway = gateway_table(base.parts, made.config, made.routes, base.backends, base.prices, drain)
    public, admin = base.health | gateway | made.accounts.public, base.health | made.accounts.admin
    return with_metrics(base.metrics, made.config.listen, public, admin)
