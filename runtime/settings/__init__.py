"""Every setting, with its type, bounds and default; `config.yaml` at the top of the tree says what each is for.

    fields    addresses, secrets, durations
    servers   listen, database, redis, spool, reload, log
    accounts  keys, identity, stripe
    notices   webhooks and mails about events
    upstream  the LLM servers, and what is added to requests for a model
    metering  holds, tokenizers
    metrics   what Prometheus is told; traces, which go to OpenTelemetry
    retention how long the usage log is kept
    changes   what differs between two configurations
    outline   which settings a section has, and which of them are secrets

Sections are frozen; secrets are `SecretStr`, which prints as stars.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field

from runtime.settings.accounts import AutoTopup, Identity, KeyPolicy, Keys, Stripe
from runtime.settings.fields import Section
from runtime.settings.metering import Holds, Tokenizers
from runtime.settings.metrics import LedgerListen, Metrics
from runtime.settings.notices import Notices, Smtp, WebhookEndpoint
from runtime.settings.retention import Retention
from runtime.settings.servers import AdminListen, Database, Listen, Log, RedisServer, Reload, SpoolFolder
from runtime.settings.traces import Traces
from runtime.settings.upstream import Breaker, HealthCheck, ModelAdditions, Tls, Upstream, UpstreamKind

__all__ = [
    "AccountsConfig",
    "AdminListen",
    "AuditConfig",
    "AutoTopup",
    "Breaker",
    "Config",
    "Database",
    "DatabaseConfig",
    "HealthCheck",
    "Holds",
    "Identity",
    "IdentityConfig",
    "KeyPolicy",
    "Keys",
    "LedgerListen",
    "Listen",
    "Log",
    "Metrics",
    "ModelAdditions",
    "Notices",
    "ReconcileConfig",
    "RedisServer",
    "Reload",
    "Retention",
    "RetentionConfig",
    "Smtp",
    "SpoolFolder",
    "Stripe",
    "StripeConfig",
    "Tls",
    "Traces",
    "Upstream",
    "UpstreamKind",
    "UpstreamsConfig",
    "WebhookEndpoint",
]


def _at_least_one(upstreams: tuple[Upstream, ...]) -> tuple[Upstream, ...]:
    # not Field(min_length=1), which also complains where there is one, and it is wrong
    if not upstreams:
        raise ValueError("must have at least one")
    if twice := _first_twice(upstream.name for upstream in upstreams):
        raise ValueError(f"must have names of their own: {twice} comes twice")
    return upstreams


def _about_each_once(additions: tuple[ModelAdditions, ...]) -> tuple[ModelAdditions, ...]:
    if twice := _first_twice(addition.name for addition in additions):
        raise ValueError(f"must name a model once: {twice} comes twice")
    return additions


def _first_twice(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


class DatabaseConfig(Section):
    """What `farebox migrate` needs of the same file."""

    database: Database


class AuditConfig(DatabaseConfig):
    """What `farebox audit` needs of the same file; without Redis it checks Postgres alone."""

    redis: RedisServer | None = None


class AccountsConfig(DatabaseConfig):
    """What the commands for keys and credits need of the same file."""

    redis: RedisServer
    keys: KeyPolicy = KeyPolicy()


class UpstreamsConfig(Section):
    """What `farebox reconcile snapshot` needs of the same file."""

    upstreams: Annotated[tuple[Upstream, ...], AfterValidator(_at_least_one)]


class ReconcileConfig(UpstreamsConfig, DatabaseConfig):
    """What `farebox reconcile` needs of the same file."""

    redis: RedisServer


class RetentionConfig(DatabaseConfig):
    """What `farebox retention` needs of the same file."""

    retention: Retention = Retention()


class StripeConfig(DatabaseConfig):
    """What `farebox reconcile --stripe` needs of the same file."""

    stripe: Stripe = Stripe()


class IdentityConfig(Section):
    """What `farebox token` needs of the same file."""

    identity: Identity = Identity()


class Config(AccountsConfig):
    """Everything an operator can set; `config.yaml` at the top of the tree explains each line."""

    listen: Listen = Listen()
    keys: Keys
    identity: Identity = Identity()
    stripe: Stripe = Stripe()
    notices: Notices = Notices()
    upstreams: Annotated[tuple[Upstream, ...], AfterValidator(_at_least_one)]
    models: Annotated[tuple[ModelAdditions, ...], AfterValidator(_about_each_once)] = Field((), max_length=10_000)
    holds: Holds = Holds()
    tokenizers: Tokenizers = Field(default_factory=dict)
    spool: SpoolFolder = SpoolFolder()
    metrics: Metrics = Metrics()
    traces: Traces | None = None
    retention: Retention = Retention()
    reload: Reload = Reload()
    log: Log = Log()
