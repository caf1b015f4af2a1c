"""A thread that has stepped back weighs less, and gives way soon."""

import ctypes
import os
import platform
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from runtime.scheduling import _ATTRIBUTES, _SLICE_NS, step_back

_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
_SLICES_SINCE = (6, 12)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads have no ranks of their own")


def kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])


def rank_and_slice() -> tuple[int, int]:
    said = ctypes.create_string_buffer(_ATTRIBUTES.size)
    assert ctypes.CDLL(None).syscall(_SCHED_GETATTR[platform.machine()], 0, said, _ATTRIBUTES.size, 0) == 0
    _, _, _, niceness, _, slice_ns, _, _ = _ATTRIBUTES.unpack(said.raw)
    return niceness, slice_ns


def test_only_the_thread_that_asks_steps_back() -> None:
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with ThreadPoolExecutor(1, initializer=step_back, initargs=(before + 5,)) as threads:
        theirs = threads.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result()
    assert theirs == before + 5
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


@pytest.mark.skipif(platform.machine() not in _SCHED_GETATTR, reason="the system call's number is not known here")
@pytest.mark.skipif(sys.platform == "linux" and kernel() < _SLICES_SINCE, reason="slices cannot be asked for")
def test_its_turns_are_short() -> None:
    with ThreadPoolExecutor(1, initializer=step_back, initargs=(10,)) as threads:
        assert threads.submit(rank_and_slice).result() == (10, _SLICE_NS)


def test_where_it_is_forbidden_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr("os.setpriority", forbidden)
    monkeypatch.setattr("platform.machine", lambda: "a new one")
    step_back(10)
