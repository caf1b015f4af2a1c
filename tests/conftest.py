"""Fixtures that every test may ask for."""

import signal
import threading

from tests.support.certificates import certificate
from tests.support.profiles import load_profile
from tests.support.servers import (
    database_url,
    postgres_server,
    reachable_dir,
    redis_url,
    servers_dir,
    valkey_server,
)
from tests.support.valkey_cluster import cluster, either_redis, one_or_cluster, valkey_cluster

__all__ = [
    "certificate",
    "cluster",
    "database_url",
    "either_redis",
    "one_or_cluster",
    "postgres_server",
    "reachable_dir",
    "redis_url",
    "servers_dir",
    "valkey_cluster",
    "valkey_server",
]

load_profile()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    # A shell has what it runs in the background ignore Ctrl-C, and so would every program that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
