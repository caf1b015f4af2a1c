"""What every process measures: its calls to Redis and Postgres, its log lines, its event loop, itself."""

import asyncio
import os
import resource
from collections.abc import Callable
from pathlib import Path

from runtime.clock import wall_ms
from runtime.metrics.series import MICROSECONDS, MILLISECONDS, Counter, Gauge, Histogram, Metric
from runtime.version import farebox_version

# From a quarter of a millisecond, which is one call over loopback, to where every timeout has struck.
CALL_BOUNDS_US = (
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    5_000_000,
)

REDIS_CALLS = Histogram(
    "farebox_redis_call_seconds",
    "Time of a call to Redis, of a script or for keys, from sending to its answer; one call carries many requests.",
    bounds=CALL_BOUNDS_US,
)
REDIS_FAILURES = Counter(
    "farebox_redis_failures_total", "Such calls to Redis that got no answer: away, too slow, connection lost."
)
POSTGRES_QUERIES = Histogram(
    "farebox_postgres_query_seconds", "Time of a statement in Postgres, as its caller waits.", bounds=CALL_BOUNDS_US
)
POSTGRES_FAILURES = Counter("farebox_postgres_failures_total", "Statements that Postgres refused or did not answer.")
POSTGRES_CONNECTIONS = Gauge("farebox_postgres_connections", "Connections in the pool, by state.", ("state",))
LOOP_LAG = Histogram(
    "farebox_event_loop_lag_seconds",
    "How late the event loop woke a timer: what every request waits when something keeps the process busy.",
    bounds=(500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000),
)
LOG_LINES = Counter(
    "farebox_log_lines_total", "Lines of level warning and above in the log, by event.", ("level", "event")
)
# Alerts ask if these have grown: what begins with its first time has not, for Prometheus.
for _event in (
    "settlement_lost",
    "settlements_lost",
    "hold_leaked",
    "usage_event_buried",
    "redis_was_emptied",
    "spool_corrupt",
    "spool_full",
    "spool_file_missing",
    "spool_unreadable",
    "spool_record_unknown",
    "call_failed",
    "task_failed",
    "handler_failed",
    "api_failed",
    "checkpoint_failed",
):
    LOG_LINES.add(("error", _event), 0)
BUILD = Gauge("farebox_build_info", "1, with the version as a label.", ("version",), across="max")
WORKERS = Gauge("farebox_workers", "Processes that answer at this address and have told of themselves lately.")
CPU = Counter(
    "process_cpu_seconds_total", "CPU time of the process, user and system; of all workers.", per_unit=MICROSECONDS
)
MEMORY = Gauge("process_resident_memory_bytes", "Memory of the process; of all workers.")
OPEN_FILES = Gauge("process_open_fds", "Open files and sockets; of all workers.")
MAX_FILES = Gauge("process_max_fds", "How many it may have open; of all workers.")
STARTED = Gauge(
    "process_start_time_seconds",
    "When the process started, in Unix time; of several workers the youngest.",
    per_unit=MILLISECONDS,
    across="max",
)

COMMON: tuple[Metric, ...] = (
    REDIS_CALLS,
    REDIS_FAILURES,
    POSTGRES_QUERIES,
    POSTGRES_FAILURES,
    POSTGRES_CONNECTIONS,
    LOOP_LAG,
    LOG_LINES,
    BUILD,
    WORKERS,
    CPU,
    MEMORY,
    OPEN_FILES,
    MAX_FILES,
    STARTED,
)

LAG_INTERVAL_S = 0.5
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STARTED_MS = wall_ms()
_PROC = Path("/proc/self")
_HAS_PROC = (_PROC / "statm").exists()


def process_look() -> Callable[[], None]:
    """Puts what the system says of this process."""
    counted_us = 0

    def look() -> None:
        nonlocal counted_us
        BUILD.put(1, (farebox_version(),))
        WORKERS.put(1)
        STARTED.put(_STARTED_MS)
        MEMORY.put(_resident_bytes())
        OPEN_FILES.put(_open_files())
        MAX_FILES.put(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        used = os.times()
        used_us = int((used.user + used.system) * MICROSECONDS)
        CPU.add((), used_us - counted_us)
        counted_us = used_us

    return look


async def watch_loop(interval_s: float = LAG_INTERVAL_S) -> None:
    """Until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + interval_s
        await asyncio.sleep(interval_s)
        LOOP_LAG.observe((), max(0, int((loop.time() - due_s) * MICROSECONDS)))


def _resident_bytes() -> int:
    if _HAS_PROC:
        return int((_PROC / "statm").read_text().split()[1]) * _PAGE_BYTES
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _open_files() -> int:
    return sum(1 for _ in (_PROC / "fd" if _HAS_PROC else Path("/dev/fd")).iterdir())
