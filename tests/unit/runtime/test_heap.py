"""Freed memory is kept, where the C library can be told to."""

import ctypes
import subprocess
import sys

import pytest

from runtime.heap import keep_freed

# Three bodies at once are more than glibc keeps by itself; a page that it gave back is a fault when it comes again.
FAULTS = """
import resource, sys
from runtime.heap import keep_freed
if sys.argv[1] == "keep":
    print(keep_freed())
def touch():
    return [bytearray(1 << 20) for _ in range(3)]
touch(), touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> list[str]:
    return subprocess.run(
        [sys.executable, "-c", FAULTS, how], capture_output=True, check=True, text=True
    ).stdout.split()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_what_was_freed_is_not_asked_of_the_system_again() -> None:
    (plain,) = faults("leave")
    said, kept = faults("keep")
    assert said == "True"
    assert int(kept) < 100 < int(plain)


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert keep_freed() is False
