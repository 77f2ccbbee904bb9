"""Who gives way: bulk work is lowered, reads are not, and where the system refuses everything goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from typing import Any, NoReturn

import pytest

from siyu.store import priority

linux = pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")

_CHILD = """
import os, threading
from siyu.store import priority
before = os.getpriority(os.PRIO_PROCESS, 0)
priority.give_way()
priority.take_short_turns()
print(os.getpriority(os.PRIO_PROCESS, 0) - before)
def lower():
    priority.give_way_here()
    print(os.getpriority(os.PRIO_PROCESS, 0) - before)
thread = threading.Thread(target=lower)
thread.start()
thread.join()
print(os.getpriority(os.PRIO_PROCESS, 0) - before)
"""


@linux
def test_a_process_gives_way_and_a_thread_of_it_more() -> None:
    answer = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["5", "10", "5"]


def test_a_process_that_may_not_give_way_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(name: str, *_: Any) -> NoReturn:
        asked.append(name)
        raise PermissionError(1, "Operation not permitted")

    for name in ("nice", "setpriority", "getpriority", "sched_getscheduler", "scandir"):
        monkeypatch.setattr(os, name, partial(refuse, name), raising=False)
    priority.give_way()
    priority.give_way_here()
    priority.give_way_in_merges()
    priority.take_short_turns()
    assert asked[0] == "nice" and "scandir" in asked


def test_short_turns_of_a_process_that_has_ended() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    priority.take_short_turns(ended.pid)


@linux
def test_short_turns_keep_the_priority() -> None:
    found: list[int] = []

    def turn() -> None:
        priority.give_way_here()
        priority.take_short_turns()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, 0)
    one = threading.Thread(target=turn)
    one.start()
    one.join()
    assert found == [before + priority.NICENESS]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
