"""`farebox ledger`: the process that posts what the proxies settled."""

import os
import socket
from pathlib import Path

import click

from ledger.process import run_ledger
from proxy.backends import open_backends
from proxy.background import background_jobs
from proxy.cli.options import run, server_config_option
from proxy.starting import stop_event
from runtime import logs
from runtime.config import load
from runtime.garbage import collect_rarely

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
        async with opened as backends:
            consumer = f"{socket.gethostname()}-{os.getpid()}"
            url = loaded.database.url.get_secret_value()
            jobs = background_jobs(loaded, backends)
            collect_rarely()
            await run_ledger(
                backends.redis, backends.store, url, stop, shards=shards, consumer_name=consumer, jobs=jobs
            )

    run(work())


COMMANDS = (ledger,)
