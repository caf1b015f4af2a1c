"""`farebox serve`, and `farebox check-config`, which looks at what it would be started with."""

import sys
from pathlib import Path

import click

from proxy.cli.options import json_option, print_result, run, server_config_option
from proxy.starting import hear_log_level, stop_event
from proxy.workers import supervise
from runtime import logs
from runtime.config import load
from runtime.garbage import uncollected
from runtime.lean import lean
from runtime.settings import Config

_MAX_WORKERS = 256


@click.command()
@server_config_option
@click.option("--workers", type=click.IntRange(1, _MAX_WORKERS), default=1, show_default=True, help="Processes.")
@click.option("--ledger", "with_ledger", is_flag=True, help="And a ledger process beside them.")
def serve(config: Path, workers: int, with_ledger: bool) -> None:
    """The proxy. Processes that end by accident are started again."""
    loaded = load(config)
    logs.configure(loaded.log.level)
    if workers == 1 and not with_ledger:
        run(_serve(loaded))
    else:
        sys.exit(run(supervise(config, loaded.listen, workers, with_ledger=with_ledger)))


@click.command(hidden=True)
@server_config_option
@click.option("--metrics-slot", type=click.Path(path_type=Path), help="Where its metrics go, beside the others'.")
def worker(config: Path, metrics_slot: Path | None) -> None:
    """One of several proxies on the same port; `serve --workers` starts it."""
    loaded = load(config)
    logs.configure(loaded.log.level)
    run(_serve(loaded, reuse_port=True, metrics_slot=metrics_slot))


async def _serve(config: Config, reuse_port: bool = False, metrics_slot: Path | None = None) -> None:
    stop = stop_event()  # first: whoever tells process 1 of a container before it listens to signals is not heard
    hear_log_level()
    with uncollected(), lean():
        # here, because it takes most of a start, and who only starts workers does without it
        from proxy.app import serving
    async with serving(config, reuse_port=reuse_port, metrics_slot=metrics_slot):
        await stop.wait()


@click.command("check-config")
@server_config_option
@json_option
def check_config(config: Path, as_json: bool) -> None:
    """Say what is wrong with a configuration, all of it at once."""
    load(config)
    print_result({"ok": True}, as_json, f"{config}: ok")


COMMANDS = (serve, worker, check_config)
