"""How a process begins and is told to end; imports nothing of what it serves, for those who only start others."""

import asyncio
import signal
import socket
from collections.abc import Callable
from functools import partial

from runtime import logs

LOG_SIGNALS = {signal.SIGUSR1: 1, signal.SIGUSR2: -1}
HELD_SIGNALS = (signal.SIGHUP, *LOG_SIGNALS)


class StartError(Exception):
    """The process cannot serve: what is missing, in words for an operator."""


def stop_event() -> asyncio.Event:
    """Set by SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


def reload_event() -> asyncio.Event:
    """Set by each SIGHUP."""
    asked = asyncio.Event()
    _hear(signal.SIGHUP, asked.set)
    return asked


def hear_log_level() -> None:
    """SIGUSR1: a step more in the log, SIGUSR2: a step less."""
    for number, steps in LOG_SIGNALS.items():
        _hear(number, partial(logs.turn, steps))


def hear_and_pass_on(send: Callable[[signal.Signals], None]) -> None:
    """To processes that reload, and change their logs, by themselves."""
    for number in HELD_SIGNALS:
        _hear(number, partial(send, number))


def hold_signals() -> None:
    """Those that would end a process which does not listen to them yet wait until it does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD_SIGNALS)


def _hear(number: signal.Signals, callback: Callable[[], None]) -> None:
    asyncio.get_running_loop().add_signal_handler(number, callback)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])


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
