"""The long-running processes, and what prepares them: serve, ledger, migrate, check-config, simulate."""

import os
import socket
import sys
from pathlib import Path

import click

from ledger.migrate import migrate
from ledger.process import run_ledger
from proxy.app import serving, stop_event
from proxy.backends import StartError, open_backends, open_pool
from proxy.background import background_jobs
from proxy.cli.options import config_option, json_option, print_result, run
from proxy.workers import supervise
from runtime import logs
from runtime.config import load, load_as
from runtime.settings import Config, DatabaseConfig
from runtime.simulator.kinds import Kind
from runtime.simulator.server import run as run_simulator
from runtime.simulator.settings import DEFAULT_MODEL, DEFAULT_TOKENS, SimulatorSettings

_MAX_WORKERS = 256
_SERVER_CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="FAREBOX_CONFIG",
    default=Path("config.yaml"),
    show_default=True,
)


@click.command()
@_SERVER_CONFIG
@click.option("--workers", type=click.IntRange(1, _MAX_WORKERS), default=1, show_default=True)
def serve(config: Path, workers: int) -> None:
    """The proxy."""
    loaded = load(config)
    logs.configure(loaded.log.level)
    if workers == 1:
        run(_serve(loaded))
    else:
        sys.exit(run(supervise(config, loaded.listen, workers)))


@click.command(hidden=True)
@_SERVER_CONFIG
def worker(config: Path) -> None:
    """One of several proxies on the same port; `serve --workers` starts it."""
    loaded = load(config)
    logs.configure(loaded.log.level)
    run(_serve(loaded, reuse_port=True))


async def _serve(config: Config, reuse_port: bool = False) -> None:
    stop = stop_event()
    async with serving(config, reuse_port=reuse_port):
        await stop.wait()


@click.command()
@_SERVER_CONFIG
def ledger(config: Path) -> None:
    """The ledger writer, and what keeps Redis in step with Postgres."""
    loaded = load(config)
    logs.configure(loaded.log.level)

    async def work() -> None:
        stop = stop_event()
        shards = loaded.redis.shards
        opened = open_backends(loaded, "farebox-ledger", redis_timeout_s=_LEDGER_REDIS_TIMEOUT_S, redis_waiting=shards)
        async with opened as backends:
            consumer = f"{socket.gethostname()}-{os.getpid()}"
            url = loaded.database.url.get_secret_value()
            jobs = background_jobs(loaded, backends)
            await run_ledger(
                backends.redis, backends.store, url, stop, shards=shards, consumer_name=consumer, jobs=jobs
            )

    run(work())


# The writer waits in Redis for events, for longer than a proxy may wait for anything.
_LEDGER_REDIS_TIMEOUT_S = 10.0


@click.command("migrate")
@config_option
@json_option
def migrate_database(config: Path | None, as_json: bool) -> None:
    """Bring the database to this version's schema."""
    database = load_as(DatabaseConfig, config).database

    async def work() -> list[str]:
        await (await open_pool(database, "farebox-migrate")).close()
        return await migrate(database.url.get_secret_value())

    applied = run(work())
    print_result({"applied": applied}, as_json, "\n".join(f"applied {name}" for name in applied) or "up to date")


@click.command("check-config")
@_SERVER_CONFIG
@json_option
def check_config(config: Path, as_json: bool) -> None:
    """Say what is wrong with a configuration, all of it at once."""
    load(config)
    print_result({"ok": True}, as_json, f"{config}: ok")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65_535), default=9000, show_default=True)
@click.option("--model", "models", multiple=True, default=(DEFAULT_MODEL,), show_default=True)
@click.option("--tokens", type=click.IntRange(1, 1_000_000), default=DEFAULT_TOKENS, show_default=True)
@click.option("--chunk-delay-ms", type=click.FloatRange(0, 60_000), default=0.0, show_default=True)
@click.option("--api-key", envvar="SIMULATOR_API_KEY", help="Let in only who presents this.")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in Kind]),
    default=Kind.GENERIC.value,
    show_default=True,
    help="Whose server to pose as.",
)
def simulate(
    host: str, port: int, models: tuple[str, ...], tokens: int, chunk_delay_ms: float, api_key: str | None, kind: str
) -> None:
    """The simulated LLM server on its own."""
    logs.configure("info")
    settings = SimulatorSettings(host, port, models, tokens, chunk_delay_ms, api_key, kind=Kind(kind))
    try:
        run_simulator(settings)
    except OSError as error:
        raise StartError(f"cannot listen on {host} port {port} ({error.strerror or error})") from error


COMMANDS = (serve, worker, ledger, migrate_database, check_config, simulate)
