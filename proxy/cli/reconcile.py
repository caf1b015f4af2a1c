"""`farebox reconcile`: what was billed, held against an upstream's own counters, or against Stripe's payments."""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from math import isnan
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from ledger.posted import Unposted
from metering.reconciliation import Bounds
from proxy.backends import connect_redis, open_pool
from proxy.cli.options import Duration, Moment, config_option, json_option, print_result, progress, run
from proxy.cli.reconcile_stripe import reconcile_stripe
from proxy.reconcile import snapshots, words
from proxy.reconcile.scrape import scrape
from proxy.reconcile.snapshots import Snapshot
from proxy.reconcile.upstream import Compared, compare
from runtime.config import load_as
from runtime.settings import ReconcileConfig, Upstream, UpstreamsConfig

_DIFFERS = 1
_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)


class Address(click.ParamType[str]):
    """An http or https address, without a password in it: it is kept in files and shown."""

    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _is_plain_address(value):
            self.fail("must be an http or https address without user and password", param, ctx)
        return str(value)


def _is_plain_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
        )
    except ValueError:
        return False


class Percent(click.FloatRange):
    """0 to 100; `nan`, which would allow anything or nothing, is no number of percent."""

    def __init__(self) -> None:
        super().__init__(0, 100)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        percent = float(super().convert(value, param, ctx))
        if isnan(percent):
            self.fail(f"{value!r} is not a number", param, ctx)
        return percent


class Same(click.ParamType[tuple[str, str]]):
    """`OURS=THEIRS`: one model under two names."""

    name = "OURS=THEIRS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        ours, equals, theirs = value.partition("=")
        if not (ours and equals and theirs):
            self.fail(f"{value!r} is not OURS=THEIRS", param, ctx)
        return ours, theirs


_upstream_option = click.option("--upstream", "name", help="Which one of the configuration.  [default: the only one]")
_metrics_option = click.option(
    "--metrics-url",
    "urls",
    type=Address(),
    multiple=True,
    help="Its page of metrics; several times where several servers stand behind it.  [default: /metrics at its origin]",
)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group("reconcile", invoke_without_command=True)
@_upstream_option
@_metrics_option
@click.option("--interval", type=Duration(), help="How long to count, from now on.  [default: 60s]")
@click.option("--from", "first", type=_FILE, help="Or from this snapshot on …")
@click.option("--to", "second", type=_FILE, help="… to this one.  [default: now]")
@click.option("--tolerance", type=Percent(), default=0.5, show_default=True, help="Percent that may differ.")
@click.option(
    "--late-tokens",
    type=click.IntRange(0, 1_000_000),
    default=32,
    show_default=True,
    help="Tokens that a server may go on with after a client left.",
)
@click.option("--slack", type=Duration(), default=_SECOND, show_default="1s", help="How far clocks may be apart.")
@click.option("--wait", type=Duration(), default=_MINUTE, show_default="1m", help="For open requests and the ledger.")
@click.option("--same", type=Same(), multiple=True, help="What a model of ours is called there.")
@click.option("--stripe", is_flag=True, help="Compare Stripe's payments with what was credited instead.")
@click.option("--since", type=Moment(), help="With --stripe: payments of then or later.  [default: 30 days ago]")
@click.option("--until", type=Moment(), help="… and before this.  [default: ten minutes ago]")
@config_option
@json_option
@click.pass_context
def reconcile(
    ctx: click.Context,
    /,
    stripe: bool,
    since: datetime | None,
    until: datetime | None,
    config: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare what was billed with an upstream's own token counters, or what was credited with Stripe.

    Reads the upstream's Prometheus page twice and sums up what was billed in between, by model. Exit code 0 only if
    both agree. `reconcile snapshot` keeps a reading for later, for --from.
    """
    if ctx.invoked_subcommand is not None:
        _hand_on(ctx)
        return
    if stripe:
        if any(ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in options):
            raise click.UsageError("--stripe goes with --since and --until only")
        reconcile_stripe(since, until, config, as_json)
    elif since is not None or until is not None:
        raise click.UsageError("--since and --until go with --stripe")
    else:
        _reconcile(config=config, as_json=as_json, **options)


def _hand_on(ctx: click.Context) -> None:
    """`reconcile --config X snapshot` means what `reconcile snapshot --config X` does."""
    given = {name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    if given - _OF_SNAPSHOT:
        raise click.UsageError("a snapshot takes --upstream, --metrics-url and --config only")
    ctx.default_map = {"snapshot": {name: ctx.params[name] for name in given}}


_OF_SNAPSHOT = {"name", "urls", "config"}


def _reconcile(
    *,
    name: str | None,
    urls: tuple[str, ...],
    interval: timedelta | None,
    first: Path | None,
    second: Path | None,
    tolerance: float,
    late_tokens: int,
    slack: timedelta,
    wait: timedelta,
    same: Iterable[tuple[str, str]],
    config: Path | None,
    as_json: bool,
) -> None:
    if first is not None and interval is not None:
        raise click.UsageError("--interval, or --from with --to, not both")
    if second is not None and first is None:
        raise click.UsageError("--to needs --from")
    if second is not None and urls:
        raise click.UsageError("--metrics-url: with --to nothing is read")
    settings = load_as(ReconcileConfig, config)

    async def work() -> Compared:
        begin, end = await _readings(settings, name, urls, interval or _MINUTE, first, second)
        bounds = Bounds(tolerance / 100, late_tokens)
        return await _compare(settings, begin, end, bounds, slack, wait, dict(same))

    compared = run(work())
    print_result(words.as_json(compared), as_json, words.as_text(compared))
    if not compared.is_within:
        raise SystemExit(_DIFFERS)


async def _readings(
    settings: UpstreamsConfig,
    name: str | None,
    urls: tuple[str, ...],
    interval: timedelta,
    first: Path | None,
    second: Path | None,
) -> tuple[Snapshot, Snapshot]:
    if first is None:
        upstream = _upstream(settings, name)
        begin = await scrape(upstream, urls)
        await _sleep(interval)
        return begin, await scrape(upstream, urls)
    begin = snapshots.read(first)
    if name is not None and name != begin.upstream:
        raise click.UsageError(f"--upstream: the snapshot is of {begin.upstream}")
    if second is not None:
        return begin, snapshots.read(second)
    return begin, await scrape(_upstream(settings, begin.upstream), urls or [one.url for one in begin.scraped])


async def _sleep(interval: timedelta) -> None:
    """A second at a time, which the bar shows."""
    seconds = int(interval.total_seconds())
    with progress("counting", seconds) as bar:
        for _ in range(seconds):
            await asyncio.sleep(1)
            bar.update(1)


async def _compare(
    settings: ReconcileConfig,
    begin: Snapshot,
    end: Snapshot,
    bounds: Bounds,
    slack: timedelta,
    wait: timedelta,
    same: dict[str, str],
) -> Compared:
    redis = connect_redis(settings.redis)
    try:
        pool = await open_pool(settings.database, "farebox-reconcile")
        try:
            return await compare(
                pool,
                redis,
                begin,
                end,
                bounds,
                slack_ms=int(slack.total_seconds() * 1000),
                wait_s=wait.total_seconds(),
                shards=settings.redis.shards,
                same=same,
                on_wait=_Once(),
            )
        finally:
            await pool.close()
    finally:
        await redis.aclose()


class _Once:
    """Says once, on standard error, that there is something to wait for."""

    def __init__(self) -> None:
        self._has_said = False

    def __call__(self, missing: Unposted) -> None:
        if not self._has_said:
            click.echo("waiting for open requests to end and be posted", err=True)
        self._has_said = True


@reconcile.command("snapshot")
@_upstream_option
@_metrics_option
@click.option("--out", type=_FILE, required=True, help="The file to write.")
@config_option
def snapshot(name: str | None, urls: tuple[str, ...], out: Path, config: Path | None) -> None:
    """Keep a reading of an upstream's counters, for `reconcile --from`."""
    upstream = _upstream(load_as(UpstreamsConfig, config), name)
    taken = run(scrape(upstream, urls))
    snapshots.write(out, taken)
    click.echo(f"{out}: {sum(len(page.series) for page in taken.pages)} counters of {taken.upstream}")


def _upstream(settings: UpstreamsConfig, name: str | None) -> Upstream:
    known = {upstream.name: upstream for upstream in settings.upstreams}
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name not in known:
        raise click.BadParameter(f"must be one of {', '.join(known)}", param_hint="--upstream")
    return known[name]


COMMANDS = (reconcile,)
