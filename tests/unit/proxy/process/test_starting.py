"""Ports and signals of a process."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from proxy.process.starting import (
    HELD_SIGNALS,
    StartError,
    free_port,
    hear_and_pass_on,
    hold_signals,
    must_be_free,
    reload_event,
    stop_event,
)

HOST = "127.0.0.1"


def test_a_port_that_somebody_has() -> None:
    with socket.socket() as somebody:
        somebody.bind((HOST, 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        with pytest.raises(StartError, match=f"^cannot listen on {HOST} port {port}"):
            must_be_free(HOST, port)
        with pytest.raises(StartError, match=r"^listen\.admin: cannot listen"):
            must_be_free(HOST, port, "listen.admin")


def test_a_free_port_is_free() -> None:
    must_be_free(HOST, free_port(HOST))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_is_an_event(number: signal.Signals) -> None:
    stop = stop_event()
    try:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(10):
            await stop.wait()
    finally:
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(each)


@pytest.fixture
def nothing_held() -> Iterator[None]:
    yield
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)
    for each in HELD_SIGNALS:
        signal.signal(each, signal.SIG_DFL)


@pytest.mark.usefixtures("nothing_held")
async def test_a_hangup_that_came_too_early_is_heard_when_somebody_listens() -> None:
    hold_signals()
    signal.pthread_kill(threading.get_ident(), signal.SIGHUP)  # other threads of a test run hold nothing
    asked = reload_event()
    async with asyncio.timeout(10):
        await asked.wait()
    asked.clear()
    os.kill(os.getpid(), signal.SIGHUP)
    async with asyncio.timeout(10):
        await asked.wait()


@pytest.mark.usefixtures("nothing_held")
async def test_what_is_passed_on_is_what_was_heard() -> None:
    hold_signals()
    sent: asyncio.Queue[signal.Signals] = asyncio.Queue()
    hear_and_pass_on(sent.put_nowait)
    for number in HELD_SIGNALS:
        os.kill(os.getpid(), number)
        async with asyncio.timeout(10):
            assert await sent.get() == number
