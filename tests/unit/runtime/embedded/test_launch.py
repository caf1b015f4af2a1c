"""Started, waited for, and explained when it fails: with shell scripts in the servers' place."""

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runtime.embedded import launch
from runtime.embedded.errors import EmbeddedServerError
from runtime.embedded.folder import FolderLock
from runtime.embedded.launch import EmbeddedServer, Program, check_password
from runtime.processes import Child
from tests.support.waiting import runs


@pytest.fixture
async def lock(tmp_path: Path) -> AsyncIterator[FolderLock]:
    lock = await FolderLock.take(tmp_path, "Shell")
    yield lock
    lock.release()


class Script:
    """A server that is a shell script, and answers as told."""

    def __init__(self, script: str, log_path: Path, answers: Iterator[bool]) -> None:
        self.ports: list[int] = []
        self.children: list[Child] = []
        self._script = script
        self._answers = answers
        self.program = Program(
            "Shell", self._argv, lambda port: str(port).encode(), self._is_ready, log_path, signal.SIGTERM, None
        )

    def _argv(self, port: int) -> list[str]:
        self.ports.append(port)
        return ["/bin/sh", "-c", self._script]

    async def _is_ready(self, port: int, child: Child) -> bool:
        self.children.append(child)
        return next(self._answers)


def never() -> Iterator[bool]:
    while True:
        yield False


async def test_it_is_asked_until_it_answers(tmp_path: Path, lock: FolderLock) -> None:
    server = Script("exec sleep 300", tmp_path / "log", iter([False, False, True]))
    child, port = await launch.launch(server.program, lock, 0, 30)
    assert len(server.children) == 3
    assert server.ports == [port]
    await child.stop()


async def test_one_that_ends_is_reported_with_its_last_words(tmp_path: Path, lock: FolderLock) -> None:
    (tmp_path / "log").write_text("yesterday's trouble\n")
    server = Script("echo the reason; exit 3", tmp_path / "log", never())
    with pytest.raises(EmbeddedServerError) as caught:
        await launch.launch(server.program, lock, 0, 30)
    assert "exit code 3" in str(caught.value)
    assert "the reason" in str(caught.value)
    assert "yesterday" not in str(caught.value)


async def test_one_that_never_answers_is_stopped(tmp_path: Path, lock: FolderLock) -> None:
    server = Script("exec sleep 300", tmp_path / "log", never())
    with pytest.raises(EmbeddedServerError, match="did not answer within"):
        await launch.launch(server.program, lock, 0, 0.05)
    assert not runs(server.children[0].pid)


async def test_if_asking_fails_it_is_stopped(tmp_path: Path, lock: FolderLock) -> None:
    server = Script("exec sleep 300", tmp_path / "log", (1 // 0 == 0 for _ in range(1)))
    with pytest.raises(ZeroDivisionError):
        await launch.launch(server.program, lock, 0, 30)
    assert not runs(server.children[0].pid)


async def test_a_port_lost_to_another_is_replaced(
    tmp_path: Path, lock: FolderLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = iter([1111, 2222, 3333])
    monkeypatch.setattr(launch, "free_port", lambda: next(ports))
    script = "read port; [ $port = 3333 ] && exec sleep 300; echo 'bind: Address already in use'; exit 1"

    async def is_ready(port: int, _child: Child) -> bool:
        return port == 3333

    server = Script(script, tmp_path / "log", never())
    program = Program(
        "Shell", server._argv, lambda port: f"{port}\n".encode(), is_ready, tmp_path / "log", signal.SIGTERM, None
    )
    child, port = await launch.launch(program, lock, 0, 30)
    assert (port, server.ports) == (3333, [1111, 2222, 3333])
    await child.stop()


async def test_ports_are_not_tried_for_ever(tmp_path: Path, lock: FolderLock) -> None:
    server = Script("echo 'bind: Address already in use'; exit 1", tmp_path / "log", never())
    with pytest.raises(EmbeddedServerError, match="free ports taken"):
        await launch.launch(server.program, lock, 0, 30)
    assert len(server.ports) == launch.PORT_TRIES


async def test_a_port_that_was_asked_for_is_not_replaced(tmp_path: Path, lock: FolderLock) -> None:
    server = Script("echo 'bind: Address already in use'; exit 1", tmp_path / "log", never())
    with pytest.raises(EmbeddedServerError, match="Address already in use"):
        await launch.launch(server.program, lock, 4444, 30)
    assert server.ports == [4444]


async def test_stopping_twice_is_no_error_and_frees_the_folder(tmp_path: Path) -> None:
    lock = await FolderLock.take(tmp_path, "Shell")
    script = Script("exec sleep 300", tmp_path / "log", iter([True]))
    child, port = await launch.launch(script.program, lock, 0, 30)
    server = EmbeddedServer(script.program, child, lock, port, "secret")
    assert server.exit_code is None
    assert await server.stop() == await server.stop() == await server.wait() == -signal.SIGTERM
    (await FolderLock.take(tmp_path, "Shell")).release()


@pytest.mark.parametrize("password", ["", " ", "a b", "line\nbreak", "é", "x" * 257])
def test_unusable_passwords_are_refused_without_being_quoted(password: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        check_password(password)
    assert repr(password) not in str(caught.value)


def test_what_the_system_refuses_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=str(tmp_path)), launch.plain_errors("Shell", tmp_path):
        raise PermissionError(13, "Permission denied")
