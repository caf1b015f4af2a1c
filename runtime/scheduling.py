"""The rank of a thread that works beside the loop, where both have one core.

On Linux alone has a thread a rank of its own, and a sandbox may forbid to change it: then all is as it was.
"""

import ctypes
import os
import platform
import struct
import sys
import threading
from contextlib import suppress

# Of sched_setattr, by machine: the C library has no name for it.
_SYSTEM_CALLS = {"x86_64": 314, "aarch64": 274}
# sched_attr of linux/sched/types.h: size, policy, flags, nice, priority, runtime, deadline, period.
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
_USUAL_POLICY = 0
# The least that Linux gives. Left alone it is 3 ms on a machine of four cores.
_SLICE_NS = 100_000


def step_back(niceness: int) -> None:
    """The calling thread gets the weight of `niceness`, and does not keep others from the core for long.

    For since Linux 6.6 who wakes up waits until the slice of who runs is over, however much less that one weighs; how
    long it is can be said since 6.12.
    """
    if sys.platform != "linux":
        return
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
    call = _SYSTEM_CALLS.get(platform.machine())
    if call is not None:
        asked = _ATTRIBUTES.pack(_ATTRIBUTES.size, _USUAL_POLICY, 0, niceness, 0, _SLICE_NS, 0, 0)
        ctypes.CDLL(None).syscall(call, 0, asked, 0)
