"""`farebox serve`, and `farebox check-config`, which looks at what it would be started with."""

import sys
from pathlib import Path

import click
import structlog

from proxy.cli.options import json_option, print_result, run, server_config_option
from proxy.process.starting import hear_log_level, hold_signals, reload_event, stop_event
from proxy.process.workers import supervise
from runtime import logs
from runtime.config import Loaded, load, load_with_files
from runtime.garbage import uncollected
from runtime.lean import lean
from runtime.open_files import allow_many_files, is_too_few
from runtime.reloading import Reloader
from runtime.settings import Config
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.serve")

_MAX_WORKERS = 256


@click.command()
@server_config_option
@click.option("--workers", type=click.IntRange(1, _MAX_WORKERS), default=1, show_default=True, help="Processes.")
@click.option("--ledger", "with_ledger", is_flag=True, help="And a ledger process beside them.")
def serve(config: Path, workers: int, with_ledger: bool) -> None:
    """The proxy. Processes that end by accident are started again."""
    hold_signals()
    loaded = load_with_files(Config, config)
    logs.set_level(loaded.config.log.level)
    if workers == 1 and not with_ledger:
        run(_serve(config, loaded))
    else:
        sys.exit(run(supervise(config, loaded.config.listen, workers, with_ledger=with_ledger)))


@click.command(hidden=True)
@server_config_option
@click.option("--metrics-slot", type=click.Path(path_type=Path), help="Where its metrics go, beside the others'.")
def worker(config: Path, metrics_slot: Path | None) -> None:
    """One of several proxies on the same port; `serve --workers` starts it."""
    hold_signals()
    loaded = load_with_files(Config, config)
    logs.set_level(loaded.config.log.level)
    run(_serve(config, loaded, reuse_port=True, metrics_slot=metrics_slot))


async def _serve(
    path: Path, loaded: Loaded[Config], reuse_port: bool = False, metrics_slot: Path | None = None
) -> None:
    stop = stop_event()  # first: whoever tells process 1 of a container before it listens to signals is not heard
    hear_log_level()
    asked, tasks = reload_event(), TaskSet()
    with uncollected(), lean():
        # here, because it takes most of a start, and who only starts workers does without it
        from proxy.app import serving
        from proxy.surface import FIXED, IGNORED
    _make_room(loaded.config)
    async with serving(loaded.config, reuse_port=reuse_port, metrics_slot=metrics_slot) as surface:
        reloader = Reloader(path, loaded, surface.change_to, fixed=FIXED, ignored=IGNORED)
        tasks.spawn(reloader.run(asked), name="reload")
        await stop.wait()
        await tasks.cancel()


def _make_room(config: Config) -> None:
    """For connections on both sides. Too few is no reason not to begin: most never need so many."""
    wanted = config.listen.max_connections + sum(upstream.max_connections for upstream in config.upstreams)
    files = allow_many_files()
    if is_too_few(files, wanted):
        log.warning("few_open_files", count=files, wanted=wanted)


@click.command("check-config")
@server_config_option
@json_option
def check_config(config: Path, as_json: bool) -> None:
    """Say what is wrong with a configuration, all of it at once."""
    load(config)
    print_result({"ok": True}, as_json, f"{config}: ok")


COMMANDS = (serve, worker, check_config)
