"""Child processes that die with their parent, however it dies.

On Linux the kernel sends each child a signal when its parent ends, SIGKILL included (`prctl(2)`,
PR_SET_PDEATHSIG). Elsewhere (macOS) there is no such thing: children are ended by `atexit`, so they outlive a
parent that was SIGKILLed; what they lock (`runtime.embedded.folder`) then names the process to end by hand.

A child is not tied to an event loop: it may be started under one and stopped under another.
"""

import asyncio
import atexit
import ctypes
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import structlog

log = structlog.get_logger("farebox.processes")

STOP_TIMEOUT_S = 10.0
# SIGKILL cannot be refused; only a process stuck in the kernel (a dead disk) takes longer than this to go.
KILL_TIMEOUT_S = 10.0
# What a pipe surely holds without a reader (Linux has 64 KiB, macOS 16 KiB), so writing it never blocks.
STDIN_BYTES_MAX = 4096
EXIT_ORPHANED = 125

# Asking again costs microseconds. It works under asyncio and uvloop, on macOS, and across event loops, and it
# needs neither a SIGCHLD handler nor a thread per child.
_POLL_FIRST_S = 0.005
_POLL_LAST_S = 0.1

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class UserIds(NamedTuple):
    """Whom to run a child as."""

    uid: int
    gid: int


class Child:
    """A running child process; `start_child` makes one."""

    def __init__(self, process: subprocess.Popen[bytes], name: str) -> None:
        self._process = process
        self.name = name

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number if a signal ended it."""
        return self._process.poll()

    def send(self, signal_number: signal.Signals) -> None:
        """Signal the child itself, not its children. Nothing happens if it has already ended."""
        self._process.send_signal(signal_number)

    async def wait(self) -> int:
        """The exit code, once the child has ended. Waits for as long as it runs."""
        pause_s = _POLL_FIRST_S
        while (code := self.exit_code) is None:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _POLL_LAST_S)
        return code

    async def stop(self, polite: signal.Signals = signal.SIGTERM, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Ask politely, wait at most `timeout_s`, then SIGKILL it and the children in its group.

        Returns the exit code; an ended child is no error. Raises TimeoutError if even SIGKILL did not help.
        """
        self.send(polite)
        try:
            async with asyncio.timeout(timeout_s):
                return await self.wait()
        except TimeoutError:
            log.warning("child_killed", child=self.name, pid=self.pid, waited_s=timeout_s)
        self._kill_group()
        async with asyncio.timeout(KILL_TIMEOUT_S):
            return await self.wait()

    def _kill_group(self) -> None:
        # Asking first keeps us from signalling a group whose number has been given to somebody else.
        if self.exit_code is None:
            os.killpg(self.pid, signal.SIGKILL)


def start_child(
    argv: Sequence[str],
    *,
    name: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    run_as: UserIds | None = None,
    log_path: Path | None = None,
    stdin: bytes = b"",
    keep_fds: Sequence[int] = (),
    held: Collection[signal.Signals] = (),
    death_signal: signal.Signals = signal.SIGTERM,
) -> Child:
    """Start `argv`; it gets `death_signal` when this process ends. Returns as soon as it is running (milliseconds).

    Call it from the main thread only: the kernel counts the end of the *thread* that forked as the parent's
    death. Output is appended to `log_path` (made readable by us only), or goes where ours goes. The child has
    its own session, so Ctrl-C reaches it once, from us, and not from the terminal too. `env` None inherits ours.
    `stdin` is at most STDIN_BYTES_MAX bytes. `keep_fds` stay open in the child; `held` signals wait for
    it until it unblocks them.

    Raises RuntimeError off the main thread, ValueError if `stdin` is too long, OSError if `argv` cannot be run.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("start_child must be called from the main thread: see its docstring")
    if len(stdin) > STDIN_BYTES_MAX:
        raise ValueError(f"stdin is {len(stdin)} bytes, at most {STDIN_BYTES_MAX}")
    with _output(log_path) as output, _blocked(held), warnings.catch_warnings():
        # Python 3.12 and later warn of any fork in a process with threads. _die_with_parent says why ours is safe.
        warnings.filterwarnings("ignore", message=".*multi-threaded.*", category=DeprecationWarning)
        process = subprocess.Popen(  # noqa: S603 - argv is ours, and no shell reads it
            list(argv),
            env=None if env is None else dict(env),
            cwd=cwd,
            user=None if run_as is None else run_as.uid,
            group=None if run_as is None else run_as.gid,
            extra_groups=None if run_as is None else [],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=tuple(keep_fds),
            start_new_session=True,
            preexec_fn=_die_with_parent(death_signal),
        )
    if stdin:
        _feed(process, stdin)
    if not _KERNEL_TELLS_CHILDREN:
        atexit.register(_end_at_exit, process, death_signal)
    return Child(process, name)


@contextmanager
def _blocked(signals: Collection[signal.Signals]) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _output(log_path: Path | None) -> Iterator[int | None]:
    if log_path is None:
        yield None
        return
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    descriptor = os.open(log_path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _feed(process: subprocess.Popen[bytes], stdin: bytes) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(stdin)
        process.stdin.close()
    except BrokenPipeError:
        pass  # it ended at once; its exit code and its log say why


def _end_at_exit(process: subprocess.Popen[bytes], death_signal: signal.Signals) -> None:
    process.send_signal(death_signal)


def _bind_prctl() -> Callable[[int, int, int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    # PyDLL keeps the GIL during the call: taking it back is the kind of thing not to do after a fork.
    prctl = ctypes.PyDLL(None).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    prctl.restype = ctypes.c_int
    bound: Callable[[int, int, int, int, int], int] = prctl
    return bound


_PRCTL = _bind_prctl()
_KERNEL_TELLS_CHILDREN = _PRCTL is not None


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """What the child runs between fork and exec: ask for the signal, and leave if the parent is gone already.

    Only the forking thread exists in the child, so a lock that another thread held stays locked for ever. This
    is safe because it takes none: everything is looked up here, before the fork, and what is left is two system
    calls. It runs after the change of user (CPython's child_exec), which would have cleared the setting.
    """
    prctl = _PRCTL
    if prctl is None:
        return None
    signal_number, parent_pid, getppid, leave = int(death_signal), os.getpid(), os.getppid, os._exit

    def in_child() -> None:
        # A parent that died before the call sent no signal; then the child has been given another parent.
        if prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0 or getppid() != parent_pid:
            leave(EXIT_ORPHANED)

    return in_child
