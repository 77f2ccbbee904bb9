"""Processes of ours that an earlier, killed start left behind: found by what they are, never by number alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path


def processes_in(folder: Path) -> set[int]:
    """The processes whose working folder is `folder` (a PostgreSQL server and its backends work in their data)."""
    if sys.platform != "linux":
        return _listed_by_lsof(folder)
    wanted = str(folder.resolve())
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if str(Path(entry.path, "cwd").readlink()) == wanted:
                    found.add(int(entry.name))
            except OSError:  # ended, or somebody else's
                continue
    return found - {os.getpid()}


def _listed_by_lsof(folder: Path) -> set[int]:
    answer = subprocess.run(  # noqa: S603
        ["/usr/sbin/lsof", "-a", "-d", "cwd", "-t", str(folder.resolve())], capture_output=True, text=True, check=False
    )
    return {int(word) for word in answer.stdout.split()} - {os.getpid()}


def is_command(pid: int, words: Iterable[str]) -> bool:
    """Whether process `pid` runs with all of `words` in its command line."""
    if sys.platform == "linux":
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            return False
    else:
        argv = ["/bin/ps", "-o", "command=", "-p", str(pid)]
        line = subprocess.run(argv, capture_output=True, text=True, check=False).stdout  # noqa: S603
    return all(word in line for word in words)


def end_orphans(
    running: Callable[[], Collection[int]],
    *,
    first: Sequence[int] = (),
    signals: Sequence[tuple[signal.Signals, float]],
) -> None:
    """Send each signal in turn to what `running` finds, waiting its seconds for the end. The first signal goes only to
    `first` where given (the server that ends its own children)."""
    for number, seconds in signals:
        targets = list(first) or list(running())
        first = ()
        for pid in targets:
            _send(pid, number)
            _send(pid, signal.SIGCONT)  # a stopped process hears nothing but SIGKILL
        deadline = time.monotonic() + seconds
        while running():
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        else:
            return


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
