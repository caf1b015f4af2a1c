"""How a process begins and is told to end; imports nothing of what it serves, for those who only start others."""

import asyncio
import signal
import socket

from runtime import logs

LOG_SIGNALS = {signal.SIGUSR1: 1, signal.SIGUSR2: -1}


class StartError(Exception):
    """The process cannot serve: what is missing, in words for an operator."""


def stop_event() -> asyncio.Event:
    """Set by SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


def hear_log_level() -> None:
    """SIGUSR1: a step more in the log, SIGUSR2: a step less."""
    loop = asyncio.get_running_loop()
    for number, steps in LOG_SIGNALS.items():
        loop.add_signal_handler(number, logs.turn, steps)


def free_port(host: str) -> int:
    with _socket(host) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def must_be_free(host: str, port: int, setting: str = "") -> None:
    """Raises StartError if nobody can listen there; `setting` names what in the configuration said so."""
    with _socket(host) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            named = f"{setting}: " if setting else ""
            raise StartError(f"{named}cannot listen on {host} port {port} ({error.strerror or error})") from error


def _socket(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
