"""Whose CPU is counted as that of bcrypt."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import psutil
import pytest

from benchmarks.key_stage import bcrypt_cpu_s
from benchmarks.stack import Contender

AT = Contender("Farebox", "http://127.0.0.1:1", ["a key"], os.getpid())


@contextmanager
def thread(steps_back: bool) -> Iterator[int]:
    """The id of a thread that waits."""
    ready, end = threading.Event(), threading.Event()

    def wait() -> None:
        if steps_back:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + 1)
        ready.set()
        end.wait()

    waiting = threading.Thread(target=wait)
    waiting.start()
    ready.wait()
    try:
        yield waiting.native_id or 0
    finally:
        end.set()
        waiting.join()


def test_only_threads_that_have_stepped_back_count(monkeypatch: pytest.MonkeyPatch) -> None:
    with thread(steps_back=True) as behind, thread(steps_back=False) as usual:
        used = {os.getpid(): 100.0, behind: 2.0, usual: 30.0}
        told = [SimpleNamespace(id=each, user_time=s, system_time=s / 4) for each, s in used.items()]
        monkeypatch.setattr(psutil.Process, "threads", lambda _: told)
        assert bcrypt_cpu_s(AT) == 2.5
