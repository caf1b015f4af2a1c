"""Ports and signals of a process."""

import asyncio
import os
import signal
import socket

import pytest

from proxy.starting import StartError, free_port, must_be_free, outlive_hangups, reload_event, stop_event

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


async def test_a_hangup_ends_nothing_and_is_an_event_once_somebody_listens() -> None:
    before = signal.getsignal(signal.SIGHUP)
    try:
        outlive_hangups()
        os.kill(os.getpid(), signal.SIGHUP)
        asked = reload_event()
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            async with asyncio.timeout(10):
                await asked.wait()
            asked.clear()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
