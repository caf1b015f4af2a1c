"""`farebox ledger`: the process that posts what the proxies settled."""

import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import click

from ledger.meters import LEDGER
from ledger.process import run_ledger
from proxy.backends import Backends, open_backends
from proxy.background import background_jobs
from proxy.cli.options import run, server_config_option
from proxy.process.starting import hear_log_level, hold_signals, reload_event, stop_event
from runtime import logs
from runtime.config import Loaded, load_with_files
from runtime.garbage import collect_rarely
from runtime.reloading import Reloader
from runtime.settings import Config
from runtime.tasks import TaskSet

# The writer waits in Redis for events, for longer than a proxy may wait for anything.
_REDIS_TIMEOUT_S = 10.0


# Of the rest of the file it uses nothing.
_FIXED = ("database", "redis", "stripe", "notices", "metrics", "retention", "holds.max_unposted_events")
_IGNORED = (
    *("listen", "spool", "keys", "identity", "upstreams", "models", "tokenizers", "traces"),
    *("holds.step_tokens", "holds.lower_limits", "log.slow_s", "metrics.max_models"),
)


@click.command()
@server_config_option
def ledger(config: Path) -> None:
    """The ledger writer, and what keeps Redis in step with Postgres."""
    hold_signals()
    loaded = load_with_files(Config, config)
    logs.set_level(loaded.config.log.level)
    run(_work(config, loaded))


async def _work(path: Path, loaded: Loaded[Config]) -> None:
    stop, asked, tasks = stop_event(), reload_event(), TaskSet()
    hear_log_level()
    config = loaded.config
    shards = config.redis.shards
    opened = open_backends(config, "farebox-ledger", redis_timeout_s=_REDIS_TIMEOUT_S, redis_waiting=shards)
    async with AsyncExitStack() as stack, opened as backends:
        consumer = f"{socket.gethostname()}-{os.getpid()}"
        url = config.database.url.get_secret_value()
        jobs = background_jobs(config, backends)
        await _open_metrics(stack, config, backends)
        reloader = Reloader(path, loaded, _change_to, fixed=_FIXED, ignored=_IGNORED)
        tasks.spawn(reloader.run(asked), name="reload")
        collect_rarely()
        try:
            await run_ledger(
                backends.redis, backends.store, url, stop, shards=shards, consumer_name=consumer, jobs=jobs
            )
        finally:
            await tasks.cancel()


async def _change_to(config: Config) -> None:
    logs.set_level(config.log.level)


async def _open_metrics(stack: AsyncExitStack, config: Config, backends: Backends) -> None:
    if config.metrics.ledger is None:
        return
    # here, because an HTTP server, and what it serves, is more than a ledger process is otherwise made of
    from proxy.metrics_api import open_metrics, serve_ledger_metrics

    tasks = TaskSet()
    stack.push_async_callback(tasks.cancel)
    await serve_ledger_metrics(stack, config, open_metrics(tasks, config, backends, LEDGER))


COMMANDS = (ledger,)
