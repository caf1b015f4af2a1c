"""Parts that end are started again, on the same port, but not for ever."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from proxy.local import parts
from proxy.local.parts import OwnProcess, PrivateServer, keep, keep_all
from proxy.process.starting import StartError
from runtime.embedded.errors import EmbeddedServerError
from runtime.embedded.launch import EmbeddedServer
from runtime.processes import Child
from tests.support.asking import begin
from tests.support.waiting import until


class FakePart:
    """Ends with these exit codes, one after the other, and then runs on."""

    def __init__(self, *codes: int, name: str = "ledger") -> None:
        self.name = name
        self.codes = list(codes)
        self.starts = 0
        self.start_error: Exception | None = None

    async def start(self) -> None:
        if self.start_error is not None:
            raise self.start_error
        self.starts += 1

    async def wait(self) -> int:
        if not self.codes:
            await asyncio.Event().wait()
        return self.codes.pop(0)

    async def stop(self) -> None:
        raise AssertionError("whoever made it stops it")


@pytest.fixture
def now_ms(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The clock; each look at it lets this much time pass: [now, step]."""
    clock = [1_000_000, 0]

    def read() -> int:
        clock[0] += clock[1]
        return clock[0]

    monkeypatch.setattr(parts, "monotonic_ms", read)
    return clock


async def test_a_part_that_ends_is_started_again(now_ms: list[int]) -> None:
    part, said = FakePart(3, -9), list[str]()
    keeping = begin(keep(part, said.append))
    await until(lambda: part.starts == 2)
    keeping.cancel()
    assert said == [f"ledger ended with exit code {code}; starting it again" for code in (3, -9)]


async def test_a_part_that_keeps_ending_is_given_up(now_ms: list[int]) -> None:
    part = FakePart(*[1] * 100)
    with pytest.raises(StartError, match=r"ledger keeps ending \(exit code 1\)"):
        await keep(part, lambda _: None)
    assert part.starts == 5


async def test_one_that_ends_now_and_then_is_not(now_ms: list[int]) -> None:
    now_ms[1] = 12_001  # the sixth end is just over a minute after the first
    part = FakePart(*[1] * 100)
    keeping = begin(keep(part, lambda _: None))
    await until(lambda: part.starts == 100)
    keeping.cancel()


async def test_all_are_kept_until_told_to_stop(now_ms: list[int]) -> None:
    some, stop = [FakePart(1, name="a"), FakePart(1, 1, name="b")], asyncio.Event()
    keeping = begin(keep_all(some, stop, lambda _: None))
    await until(lambda: [part.starts for part in some] == [1, 2])
    stop.set()
    await keeping


async def test_one_that_cannot_be_kept_ends_them_all_and_says_why(now_ms: list[int]) -> None:
    """As itself and not as part of a group: the command line prints what it knows in one line."""
    some = [FakePart(), FakePart(*[1] * 100, name="serve")]
    with pytest.raises(StartError, match="serve keeps ending"):
        await keep_all(some, asyncio.Event(), lambda _: None)


async def test_one_that_cannot_be_started_again_says_why(now_ms: list[int]) -> None:
    part = FakePart(1)
    part.start_error = EmbeddedServerError("Postgres does not start")
    with pytest.raises(EmbeddedServerError, match="does not start"):
        await keep_all([part, FakePart()], asyncio.Event(), lambda _: None)


class FakeServer:
    def __init__(self, port: int) -> None:
        self.port = port
        self.stops = 0

    async def wait(self) -> int:
        return 9

    async def stop(self) -> None:
        self.stops += 1


async def test_a_server_comes_back_on_the_port_it_had() -> None:
    asked: list[int] = []
    made: list[FakeServer] = []

    async def launch(port: int) -> EmbeddedServer:
        asked.append(port)
        made.append(FakeServer(port or 54_321))
        return cast(EmbeddedServer, made[-1])

    server = PrivateServer("postgres", launch)
    await server.stop()
    await server.start()
    assert await server.wait() == 9
    await server.start()
    assert asked == [0, 54_321]
    await server.stop()
    assert [one.stops for one in made] == [1, 1]


class FakeChild:
    def __init__(self) -> None:
        self.exit_code: int | None = None
        self.stopped_with: tuple[Any, ...] = ()

    async def wait(self) -> int:
        return 4

    async def stop(self, *how: Any) -> int:
        self.stopped_with = how
        return 0


async def test_a_process_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[Sequence[str], str, Path | None]] = []
    child = FakeChild()

    def start_child(argv: Sequence[str], *, name: str, log_path: Path | None = None) -> Child:
        started.append((argv, name, log_path))
        return cast(Child, child)

    monkeypatch.setattr(parts, "start_child", start_child)
    log = tmp_path / "serve.log"
    process = OwnProcess("serve", ["serve", "--workers", "2"], log)
    await process.stop()
    await process.start()
    assert started == [([sys.executable, "-m", "proxy", "serve", "--workers", "2"], "serve", log)]
    child.exit_code = 4
    assert (process.exit_code, await process.wait()) == (4, 4)
    await process.stop()
    assert child.stopped_with[1] > 30, "a proxy is given the time it drains for"


async def test_what_a_process_said_last(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    log.write_text("first\nsecond\n")
    assert "second" in OwnProcess("serve", [], log).said()
