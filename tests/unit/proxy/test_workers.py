"""Several proxies on one port: who is started, and what happens when one of them ends."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from proxy import workers
from proxy.starting import StartError
from proxy.workers import supervise
from runtime.settings import AdminListen, Listen
from tests.support.asking import begin
from tests.support.waiting import until

CONFIG = Path("config.yaml")
# Nobody listens: the port is only looked at.
LISTEN = Listen(port=0, shutdown_timeout_s=7)


class FakeChild:
    def __init__(self, argv: list[str], name: str) -> None:
        self.argv = argv
        self.name = name
        self.exit_code: int | None = None
        self.stopped_within_s: list[float] = []
        self.heard: list[int] = []
        self._ended = asyncio.Event()

    def end(self, code: int) -> None:
        self.exit_code = code
        self._ended.set()

    def send(self, number: signal.Signals) -> None:
        self.heard.append(number)

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.exit_code is not None
        return self.exit_code

    async def stop(self, polite: signal.Signals = signal.SIGTERM, timeout_s: float = 0.0) -> int:
        self.stopped_within_s.append(timeout_s)
        if self.exit_code is None:
            self.end(0)
        return await self.wait()


class Rig:
    def __init__(self) -> None:
        self.children: list[FakeChild] = []
        self.stop = asyncio.Event()

    def start_child(self, argv: list[str], *, name: str) -> FakeChild:
        self.children.append(FakeChild(argv, name))
        return self.children[-1]


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    made = Rig()
    monkeypatch.setattr(workers, "start_child", made.start_child)
    monkeypatch.setattr(workers, "stop_event", lambda: made.stop)
    return made


async def test_told_to_stop_all_are_stopped_in_time_to_drain(rig: Rig) -> None:
    running = begin(supervise(CONFIG, LISTEN, 3))
    await until(lambda: len(rig.children) == 3)
    rig.stop.set()
    assert await running == 0
    assert [child.name for child in rig.children] == ["worker-0", "worker-1", "worker-2"]
    slots = [Path(child.argv.pop()) for child in rig.children]
    assert [slot.name for slot in slots] == ["worker-0", "worker-1", "worker-2"]
    assert len({slot.parent for slot in slots}) == 1
    for child in rig.children:
        assert child.argv[1:] == ["-m", "proxy", "worker", "--config", "config.yaml", "--metrics-slot"]
        (allowed_s,) = child.stopped_within_s
        assert allowed_s > LISTEN.shutdown_timeout_s


async def test_what_is_to_be_logged_is_passed_on(rig: Rig) -> None:
    running = begin(supervise(CONFIG, LISTEN, 2))
    await until(lambda: len(rig.children) == 2)
    os.kill(os.getpid(), signal.SIGUSR1)
    await until(lambda: all(child.heard == [signal.SIGUSR1] for child in rig.children))
    rig.stop.set()
    assert await running == 0


@pytest.mark.parametrize("code", [0, 1, -9])
async def test_one_that_ends_by_itself_ends_them_all(rig: Rig, code: int) -> None:
    running = begin(supervise(CONFIG, LISTEN, 2))
    await until(lambda: len(rig.children) == 2)
    rig.children[1].end(code)
    assert await running == 1
    assert all(child.exit_code is not None for child in rig.children)


async def test_cancelled_it_leaves_nobody_behind(rig: Rig) -> None:
    running = begin(supervise(CONFIG, LISTEN, 2))
    await until(lambda: len(rig.children) == 2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [child.exit_code for child in rig.children] == [0, 0]


async def test_a_port_that_a_stranger_has_is_not_shared(rig: Rig) -> None:
    """SO_REUSEPORT would let us in, and half of the requests would go to the stranger."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with pytest.raises(StartError, match=f"^listen: .* port {port}"):
            await supervise(CONFIG, Listen(port=port), 2)
        with pytest.raises(StartError, match=f"^listen.admin: .* port {port}"):
            await supervise(CONFIG, Listen(port=0, admin=AdminListen(port=port)), 2)
    assert rig.children == []
