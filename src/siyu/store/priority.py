"""Who gives way when processors are short: bulk work, which nobody waits for, to reads (decision 0415).

Nothing here needs a privilege, and where the system refuses (a container's filter, another kernel) all stays as it is.
"""

from __future__ import annotations

import os
import platform
import struct
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

NICENESS: Final = 5
"""Of what gives way: a third of the share of what does not, when both want a processor."""
SLICE_NS: Final = 300_000
"""A process that asks for short turns gets them sooner: Linux (6.12 on) lets it interrupt a longer turn."""

_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
_SCHED_ATTR: Final = struct.Struct("=IIQiIQQQII")
_MERGING: Final = frozenset({"MergeMutate", "Common", "Move", "Fetch"})
"""The names of the engine's own threads that nobody waits for."""


def give_way() -> None:
    """Lower the priority of this process, that of threads started later included."""
    with suppress(OSError):
        os.nice(NICENESS)


def give_way_here() -> None:
    """Put the calling thread below its process."""
    _lower(threading.get_native_id())


def give_way_in_merges() -> None:
    """Put the threads in which the engine inside this process merges below it. Doing it again changes nothing."""
    with suppress(OSError):
        for entry in os.scandir("/proc/self/task"):
            if (Path(entry) / "comm").read_text().strip() in _MERGING:
                _lower(int(entry.name))


def _lower(thread: int) -> None:
    if sys.platform == "linux":  # elsewhere a thread's number is not a process's
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, os.getpid()) + NICENESS)


def take_short_turns(pid: int = 0) -> None:
    """Ask for turns of SLICE_NS for the thread `pid` (0: the caller's) and those it starts later."""
    if sys.platform == "linux" and (call := _SCHED_SETATTR.get(platform.machine())) is not None:
        import ctypes  # the supervisor needs it for nothing else

        with suppress(OSError):
            policy, nice = os.sched_getscheduler(pid), os.getpriority(os.PRIO_PROCESS, pid)
            if policy == os.SCHED_OTHER:
                attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, policy, 0, nice, 0, SLICE_NS, 0, 0, 0, 0)
                ctypes.CDLL(None).syscall(call, pid, attributes, 0)
