"""The launcher's two ways: the kernel's parent-death signal, and the pipe that is watched where there is none."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from siyu.settings import Settings, WrongSetting
from siyu.store import launch
from siyu.store.engines import begin_engines
from siyu.store.postgres_binaries import MAJOR_MIN, find_binaries
from siyu.store.processes import EngineStartFailed

ELSEWHERE = """
import sys
sys.path.insert(0, sys.argv[1])
import launch
launch.sys.platform = "darwin"
sys.argv = ["launch.py", "15", "0", "0", "0", *sys.argv[2:]]
launch.main()
"""
SLEEPER = (sys.executable, "-c", "import os, sys, time; print(os.getpid(), flush=True); time.sleep(600)")


@pytest.mark.parametrize("how", ["pipe ends", "signal"])
def test_watched_by_pipe(how: str) -> None:
    argv = [sys.executable, "-c", ELSEWHERE, str(Path(launch.__file__).parent), *SLEEPER]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watcher:
        assert watcher.stdin is not None and watcher.stdout is not None
        program = int(watcher.stdout.readline())
        if how == "signal":
            watcher.send_signal(signal.SIGTERM)
        else:
            watcher.stdin.close()
        assert watcher.wait() != 0
        assert not Path(f"/proc/{program}").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_bound_to_the_parent() -> None:
    parent = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, {launch.__file__!r}, '9', '0', '0', str(__import__('os').getpid()), "
        f"*{SLEEPER!r}])\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        killed.stdout.readline()
        killed.kill()
        assert killed.stdout.read() == b""  # ends when the program, which holds the other end, has ended


def test_missing_programs_say_what_to_do() -> None:
    assert find_binaries().major >= MAJOR_MIN
    with pytest.raises(EngineStartFailed, match="SIYU_DATABASE_URL"):
        find_binaries(major=9)


@pytest.mark.parametrize("under", ["a file", "/proc"])
def test_a_folder_that_cannot_be_one_is_named_with_the_way_out(under: str, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    home = Path("/proc/nothing") if under == "/proc" else tmp_path / under / "home"
    with pytest.raises(WrongSetting, match="Choose one") as refused, begin_engines(Settings(home=str(home))):
        pass
    assert str(home) in str(refused.value) and refused.value.code == "WRONG_SETTING"
