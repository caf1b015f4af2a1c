"""Several proxies on one port: who is started, and what happens when one of them ends."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from proxy.process import workers
from proxy.process.starting import HELD_SIGNALS, StartError
from proxy.process.stopping import LONGEST_LEDGER_STOP_S, longest_stop_s
from proxy.process.workers import supervise
from runtime.settings import AdminListen, Listen
from tests.support.asking import begin
from tests.support.waiting import until

CONFIG = Path("config.yaml")
# Nobody listens: the port is only looked at.
LISTEN = Listen(port=0, shutdown_timeout_s=7)


class FakeChild:
    """Runs until it is told to `end`, or stopped."""

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
    """`failing` starts are refused by the system, `now_ms` is the time, `slept_s` what was waited before restarts."""

    def __init__(self) -> None:
        self.children: list[FakeChild] = []
        self.stop = asyncio.Event()
        self.now_ms = 5_000
        self.failing = 0
        self.slept_s: list[float] = []

    def start_child(self, argv: list[str], *, name: str, held: object) -> FakeChild:
        if self.failing:
            self.failing -= 1
            raise OSError("no process can be had")
        self.children.append(FakeChild(argv, name))
        return self.children[-1]

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)

    @property
    def running(self) -> list[str]:
        return [child.name for child in self.children if child.exit_code is None]


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    made = Rig()
    monkeypatch.setattr(workers, "start_child", made.start_child)
    monkeypatch.setattr(workers, "stop_event", lambda: made.stop)
    monkeypatch.setattr(workers, "monotonic_ms", lambda: made.now_ms)
    monkeypatch.setattr(workers, "sleep", made.sleep)
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
        assert child.stopped_within_s == [longest_stop_s(LISTEN)]


@pytest.mark.parametrize("number", HELD_SIGNALS)
async def test_what_is_to_be_logged_or_read_again_is_passed_on_each_time(rig: Rig, number: signal.Signals) -> None:
    running = begin(supervise(CONFIG, LISTEN, 2))
    await until(lambda: len(rig.children) == 2)
    for times in (1, 2):
        os.kill(os.getpid(), number)
        await until(lambda times=times: [child.heard for child in rig.children] == [[number] * times] * 2)  # type: ignore[misc]
    rig.stop.set()
    assert await running == 0


@pytest.mark.parametrize("code", [1, 2])
async def test_one_that_gives_up_at_its_first_start_ends_them_all(rig: Rig, code: int) -> None:
    """It was told something wrong, and so were the others: whoever started them is to know."""
    running = begin(supervise(CONFIG, LISTEN, 2))
    await until(lambda: len(rig.children) == 2)
    rig.children[1].end(code)
    assert await running == 1
    assert all(child.exit_code is not None for child in rig.children)


@pytest.mark.parametrize(
    ("ran_ms", "code"), [(0, -9), (0, -11), (0, 0), (30_000, 1)], ids=["killed", "crashed", "told to stop", "later"]
)
async def test_one_that_ends_by_accident_is_started_again_and_the_others_go_on(
    rig: Rig, ran_ms: int, code: int
) -> None:
    running = begin(supervise(CONFIG, LISTEN, 2))
    await until(lambda: len(rig.children) == 2)
    rig.now_ms += ran_ms
    rig.children[1].end(code)
    await until(lambda: rig.running == ["worker-0", "worker-1"])
    assert rig.children[2].argv == rig.children[1].argv
    rig.stop.set()
    assert await running == 0
    assert [child.exit_code for child in rig.children] == [0, code, 0]
    assert rig.children[1].stopped_within_s == []


async def test_one_that_keeps_ending_is_tried_less_and_less_often_and_never_given_up(rig: Rig) -> None:
    """Redis is away, say: the others have streams that go on."""
    running = begin(supervise(CONFIG, LISTEN, 2))
    await until(lambda: len(rig.children) == 2)
    rig.children[1].end(-9)
    for count in range(3, 12):
        await until(lambda count=count: len(rig.children) == count)  # type: ignore[misc]  # mypy sees no lambda's default
        rig.children[-1].end(1)
    await until(lambda: len(rig.children) == 12)
    assert rig.slept_s == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]
    rig.now_ms += 60_000
    rig.children[-1].end(-9)
    await until(lambda: len(rig.children) == 13)
    assert rig.slept_s[-1] == 0.1
    assert rig.children[0].exit_code is None
    rig.stop.set()
    assert await running == 0


async def test_when_the_system_has_no_process_to_give_it_is_asked_again(rig: Rig) -> None:
    running = begin(supervise(CONFIG, LISTEN, 1))
    await until(lambda: len(rig.children) == 1)
    rig.failing = 3
    rig.children[0].end(-9)
    await until(lambda: rig.running == ["worker-0"])
    assert len(rig.slept_s) == 4
    rig.stop.set()
    assert await running == 0


async def test_a_ledger_process_beside_them(rig: Rig) -> None:
    running = begin(supervise(CONFIG, LISTEN, 1, with_ledger=True))
    await until(lambda: rig.running == ["worker-0", "ledger"])
    assert rig.children[1].argv[1:] == ["-m", "proxy", "ledger", "--config", "config.yaml"]
    rig.children[1].end(-9)
    await until(lambda: rig.running == ["worker-0", "ledger"])
    rig.stop.set()
    assert await running == 0
    assert rig.children[2].stopped_within_s == [LONGEST_LEDGER_STOP_S]


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
