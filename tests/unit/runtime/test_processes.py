"""Children that live and die as told. The children are real, but hold no sockets."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runtime import processes
from runtime.processes import STDIN_BYTES_MAX, Child, start_child
from runtime.tasks import TaskSet
from tests.support.waiting import until_gone, until_line


def shell(script: str, **options: object) -> Child:
    return start_child(["/bin/sh", "-c", script], name="shell", **options)  # type: ignore[arg-type]


@asynccontextmanager
async def stopped_afterwards(child: Child) -> AsyncIterator[Child]:
    try:
        yield child
    finally:
        await child.stop(signal.SIGKILL)


async def test_wait_returns_the_exit_code() -> None:
    child = shell("exit 7")
    assert await child.wait() == 7
    assert child.exit_code == 7


async def test_stop_sends_the_polite_signal_and_returns_what_the_child_made_of_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = shell("trap 'exit 3' USR1; echo ready; while :; do sleep 0.01; done", log_path=log)
    await until_line(log)
    assert await child.stop(signal.SIGUSR1) == 3


async def test_stop_kills_a_deaf_child_and_its_group_after_the_timeout(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = shell("trap '' TERM; sleep 300 & echo $!; wait; wait", log_path=log)
    grandchild = int(await until_line(log))
    assert await child.stop(timeout_s=0.05) == -signal.SIGKILL
    await until_gone(grandchild)


async def test_stop_of_an_ended_child_returns_its_exit_code_again() -> None:
    child = shell("exit 4")
    await child.wait()
    assert await child.stop() == 4
    assert await child.stop() == 4


async def test_the_loop_goes_on_while_a_child_is_awaited() -> None:
    async with stopped_afterwards(shell("exec sleep 300")) as child:
        waiting = TaskSet().spawn(child.wait(), name="waiting")
        await asyncio.sleep(0)
        assert not waiting.done()
        child.send(signal.SIGTERM)
        assert await waiting == -signal.SIGTERM


async def test_a_child_has_a_session_of_its_own() -> None:
    async with stopped_afterwards(shell("exec sleep 300")) as child:
        assert os.getsid(child.pid) == child.pid != os.getsid(0)


async def test_output_is_appended_to_a_log_that_only_we_can_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    await shell("echo out; echo err >&2", log_path=log).wait()
    await shell("echo again", log_path=log).wait()
    assert log.read_text() == "out\nerr\nagain\n"
    assert log.stat().st_mode & 0o777 == 0o600


async def test_a_log_that_is_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        shell("echo out", log_path=tmp_path / "log")


async def test_environment_folder_and_stdin_are_passed_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    await shell('pwd; echo "$A"; cat', env={"A": "1"}, cwd=tmp_path, stdin=b"line\n", log_path=log).wait()
    assert log.read_text().splitlines() == [str(tmp_path), "1", "line"]


async def test_kept_descriptors_are_open_in_the_child(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    program = f"import os; os.write({writer}, b'heard')"
    child = start_child([sys.executable, "-c", program], name="python", keep_fds=[writer])
    os.close(writer)
    await child.wait()
    assert os.read(reader, 100) == b"heard"
    os.close(reader)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may run a child as another user")
async def test_a_child_can_be_run_as_another_user_without_our_groups(tmp_path: Path) -> None:
    log = tmp_path / "log"
    await shell("id -u; id -g; id -G", run_as=processes.UserIds(12345, 23456), log_path=log).wait()
    assert log.read_text().split() == ["12345", "23456", "23456"]


async def test_a_held_signal_ends_no_child_that_does_not_listen_yet(tmp_path: Path) -> None:
    log, go = tmp_path / "log", tmp_path / "go"
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    script = f"""import os, signal, time
print("deaf", flush=True)
while not os.path.exists({str(go)!r}):
    time.sleep(0.01)
signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
"""
    child = start_child([sys.executable, "-c", script], name="held", log_path=log, held=[signal.SIGUSR1])
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    async with stopped_afterwards(child):
        assert await until_line(log) == "deaf\n"
        child.send(signal.SIGUSR1)
        go.touch()
        assert await child.wait() == 7


async def test_too_much_stdin_is_refused_rather_than_blocking() -> None:
    with pytest.raises(ValueError, match="at most"):
        shell("cat", stdin=b"x" * (STDIN_BYTES_MAX + 1))


async def test_what_cannot_be_run_raises() -> None:
    with pytest.raises(FileNotFoundError):
        start_child(["/nonexistent/program"], name="nothing")


async def test_starting_off_the_main_thread_is_refused() -> None:
    failures: list[BaseException] = []

    def start() -> None:
        try:
            shell("exit 0")
        except RuntimeError as error:
            failures.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(failures[0])


PARENT = """
import sys, time
from pathlib import Path
from runtime.processes import start_child
start_child(["/bin/sh", "-c", sys.argv[1]], name="orphan", log_path=Path(sys.argv[2]))
time.sleep(300)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")
async def test_a_child_gets_its_signal_when_the_parent_is_killed(tmp_path: Path) -> None:
    log, last_words = tmp_path / "log", tmp_path / "last-words"
    script = f"trap 'echo bye > {last_words}; exit' TERM; echo $$; while :; do sleep 0.01; done"
    parent = start_child([sys.executable, "-c", PARENT, script, str(log)], name="parent")
    orphan = int(await until_line(log))
    await parent.stop(signal.SIGKILL)
    await until_gone(orphan)
    assert last_words.read_text() == "bye\n"


def test_a_child_whose_parent_is_gone_already_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The race between fork and prctl, played: the parent the child finds is not the one that forked it."""
    left: list[int] = []
    monkeypatch.setattr(processes, "_PRCTL", lambda *_arguments: 0)
    monkeypatch.setattr(os, "_exit", left.append)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    in_child = processes._die_with_parent(signal.SIGTERM)
    assert in_child is not None
    in_child()
    assert left == [processes.EXIT_ORPHANED]


async def test_without_help_from_the_kernel_children_are_ended_at_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[tuple[object, ...]] = []
    monkeypatch.setattr(processes, "_KERNEL_TELLS_CHILDREN", False)
    monkeypatch.setattr("atexit.register", lambda *call: registered.append(call))
    child = shell("exec sleep 300")
    ((function, *arguments),) = registered
    assert callable(function)
    function(*arguments)
    assert await child.wait() == -signal.SIGTERM
