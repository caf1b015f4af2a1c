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
from proxy.starting import hear_log_level, stop_event
from runtime import logs
from runtime.config import load
from runtime.garbage import collect_rarely
from runtime.settings import Config
from runtime.tasks import TaskSet

# The writer waits in Redis for events, for longer than a proxy may wait for anything.
_REDIS_TIMEOUT_S = 10.0


@click.command()
@server_config_option
def ledger(config: Path) -> None:
    """The ledger writer, and what keeps Redis in step with Postgres."""
    loaded = load(config)
    logs.configure(loaded.log.level)

    async def work() -> None:
        stop = stop_event()
        shards = loaded.redis.shards
        opened = open_backends(loaded, "farebox-ledger", redis_timeout_s=_REDIS_TIMEOUT_S, redis_waiting=shards)
        hear_log_level()
        async with AsyncExitStack() as stack, opened as backends:
            consumer = f"{socket.gethostname()}-{os.getpid()}"
            url = loaded.database.url.get_secret_value()
            jobs = background_jobs(loaded, backends)
            await _open_metrics(stack, loaded, backends)
            collect_rarely()
            await run_ledger(
                backends.redis, backends.store, url, stop, shards=shards, consumer_name=consumer, jobs=jobs
            )

    run(work())


async def _open_metrics(stack: AsyncExitStack, config: Config, backends: Backends) -> None:
    if config.metrics.ledger is None:
        return
    # here, because an HTTP server, and what it serves, is more than a ledger process is otherwise made of
    from proxy.metrics_api import open_metrics, serve_ledger_metrics

    tasks = TaskSet()
    stack.push_async_callback(tasks.cancel)
    await serve_ledger_metrics(stack, config, open_metrics(tasks, config, backends, LEDGER))


COMMANDS = (ledger,)
