"""Several proxies on one port: the kernel spreads connections over processes that listen with SO_REUSEPORT."""

import asyncio
import signal
import sys
from pathlib import Path

import structlog

from proxy.starting import must_be_free, reload_event, stop_event
from runtime.processes import Child, start_child
from runtime.settings import Listen
from runtime.tasks import TaskSet

log = structlog.get_logger("farebox.workers")

_STOP_MARGIN_S = 15.0


async def supervise(config: Path, listen: Listen, count: int) -> int:
    """Run `count` workers until told to stop, or until one of them ends; returns the exit code."""
    # with SO_REUSEPORT, listening beside a stranger would succeed and split the traffic with them
    must_be_free(listen.host, listen.port, "listen")
    if listen.admin is not None:
        must_be_free(listen.admin.host, listen.admin.port, "listen.admin")
    stop = stop_event()
    argv = [sys.executable, "-m", "proxy", "worker", "--config", str(config)]
    children = [start_child(argv, name=f"worker-{index}") for index in range(count)]
    # Only now: a child begins with what its parent ignores, and would end by a SIGHUP that came before it listens.
    asked, passing = reload_event(), TaskSet()
    passing.spawn(_pass_on(asked, children), name="pass-on-hangups")
    try:
        ended = await _first_to_end(children, stop)
        if ended is not None:
            log.error("worker_ended", worker=ended.name, exit_code=ended.exit_code)
        return 0 if ended is None else 1
    finally:
        await passing.cancel()
        await asyncio.gather(*(child.stop(timeout_s=listen.shutdown_timeout_s + _STOP_MARGIN_S) for child in children))


async def _pass_on(asked: asyncio.Event, children: list[Child]) -> None:
    """Each worker reads the configuration anew by itself."""
    while True:
        await asked.wait()
        asked.clear()
        for child in children:
            child.send(signal.SIGHUP)


async def _first_to_end(children: list[Child], stop: asyncio.Event) -> Child | None:
    """The child that ended by itself, or None if `stop` was set first."""
    tasks = TaskSet()
    waits = {tasks.spawn(child.wait(), name=f"wait-{child.name}"): child for child in children}
    stopping = tasks.spawn(stop.wait(), name="wait-stop")
    await asyncio.wait([*waits, stopping], return_when=asyncio.FIRST_COMPLETED)
    ended = [child for task, child in waits.items() if task.done()]
    await tasks.cancel()
    return ended[0] if ended and not stop.is_set() else None
