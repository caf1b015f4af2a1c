"""`farebox serve`, and `farebox check-config`, which looks at what it would be started with."""

import sys
from pathlib import Path

import click
import structlog

from proxy.cli.options import json_option, print_result, run, server_config_option
from proxy.starting import outlive_hangups, reload_event, stop_event
from proxy.workers import supervise
from runtime import logs
from runtime.config import Loaded, load, load_with_files
from runtime.garbage import uncollected
from runtime.open_files import allow_many_files, is_too_few
from runtime.reloading import Reloader
from runtime.settings import Config
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.serve")

_MAX_WORKERS = 256


@click.command()
@server_config_option
@click.option("--workers", type=click.IntRange(1, _MAX_WORKERS), default=1, show_default=True)
def serve(config: Path, workers: int) -> None:
    """The proxy."""
    outlive_hangups()
    loaded = load_with_files(Config, config)
    logs.configure(loaded.config.log.level)
    if workers == 1:
        run(_serve(config, loaded))
    else:
        sys.exit(run(supervise(config, loaded.config.listen, workers)))


@click.command(hidden=True)
@server_config_option
def worker(config: Path) -> None:
    """One of several proxies on the same port; `serve --workers` starts it."""
    outlive_hangups()
    loaded = load_with_files(Config, config)
    logs.configure(loaded.config.log.level)
    run(_serve(config, loaded, reuse_port=True))


async def _serve(path: Path, loaded: Loaded[Config], reuse_port: bool = False) -> None:
    with uncollected():
        # here, because it takes most of a start, and who only starts workers does without it
        from proxy.app import serving
        from proxy.surface import FIXED
    _make_room(loaded.config)
    stop, asked, tasks = stop_event(), reload_event(), TaskSet()
    async with serving(loaded.config, reuse_port=reuse_port) as surface:
        reloader = Reloader(path, loaded, surface.change_to, fixed=FIXED)
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
