"""Child processes kept alive: started, watched, started again with growing pauses, and stopped.

Every child has a thread of its own that starts it and waits for it. That is not a matter of taste: the kernel ends a
child when the *thread* that started it ends, so the thread must live as long as the child.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final, NamedTuple, Protocol

from siyu.errors import SiyuError

PAUSE_SECONDS_MIN: Final = 0.2
PAUSE_SECONDS_MAX: Final = 15.0
STEADY_SECONDS: Final = 30.0
"""A child that lived this long has recovered: its next pause is the shortest again."""
LAST_WORDS_SECONDS: Final = 2.0
LOG_BYTES_MAX: Final = 16 * 1024 * 1024

_LAUNCHER: Final = Path(__file__).with_name("launch.py")


class EngineStartFailed(SiyuError):
    """An engine could not be started; the message ends with the last lines of its log."""

    code = "ENGINE_START_FAILED"


class Program(NamedTuple):
    """What to run."""

    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    log: Path | None = None
    """File that takes its output."""
    on_line: Callable[[str], None] | None = None
    """Takes each line of its output. With neither, its output is ours."""
    death_signal: signal.Signals = signal.SIGTERM
    """What the kernel sends it when we end without having stopped it."""
    uid: int | None = None
    gid: int | None = None
    cwd: Path | None = None
    descriptors: Mapping[str, Sequence[int]] = MappingProxyType({})
    """What it inherits, by the variable that tells it the numbers."""
    own_session: bool = False
    """Whether somebody waits for it: Linux may share processors by sessions before it looks at niceness, so what gives
    way stays in one with us (decision 0531). Its process group is its own in any case: Ctrl-C is ours to pass on."""


class Process(Protocol):
    """A running child: `subprocess.Popen`, or one forked from a template."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def stdin(self) -> IO[bytes] | None:
        """Where it is told that we live, on systems that cannot tell it otherwise."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """Its output, unless that goes to a file or is ours."""

    @property
    def returncode(self) -> int | None:
        """What `poll` saw last."""

    def poll(self) -> int | None:
        """The exit status, or minus the signal; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired."""

    def send_signal(self, sig: int, /) -> None:
        """Nothing when it has ended."""

    def kill(self) -> None:
        """End it at once."""


Start = Callable[[Program], Process]


def start(program: Program) -> subprocess.Popen[bytes]:
    """Start `program` as a child that ends when the calling thread's process ends."""
    me = os.geteuid()
    argv = [
        sys.executable,
        "-I",
        "-S",
        str(_LAUNCHER),
        str(int(program.death_signal)),
        str(me if program.uid is None else program.uid),
        str(os.getegid() if program.gid is None else program.gid),
        str(os.getpid()),
        *program.argv,
    ]
    fds = [fd for fds in program.descriptors.values() for fd in fds]
    numbers = {variable: ",".join(map(str, fds)) for variable, fds in program.descriptors.items()}
    with ExitStack() as files:
        output: IO[bytes] | int | None = subprocess.PIPE if program.on_line else None
        if program.log is not None:
            _turn_over(program.log)
            output = files.enter_context(program.log.open("ab"))
        return subprocess.Popen(  # noqa: S603 - our own programs, no shell
            argv,
            stdin=subprocess.DEVNULL if sys.platform == "linux" else subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
            env=program.env if not numbers else {**(os.environ if program.env is None else program.env), **numbers},
            cwd=program.cwd,
            pass_fds=fds,
            start_new_session=program.own_session,
            process_group=None if program.own_session else 0,
        )


def hand_on(process: Process, program: Program) -> None:
    """Hand on the program's output line by line, to the last one."""
    if process.stdout is None or program.on_line is None:
        return
    with process.stdout as output:
        for line in output:
            program.on_line(line.decode("utf-8", "replace"))


def stop(process: Process, signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal in turn, waiting its seconds for the end; SIGKILL comes last in any case."""
    for number, seconds in (*signals, (signal.SIGKILL, 10.0)):
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
    if process.stdin is not None:
        process.stdin.close()


def log_tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log, for an error message."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 8192))
        return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-lines:])


def _turn_over(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(log.suffix + ".1"))


class Keeper(threading.Thread):
    """Keeps one program running until `close`."""

    def __init__(
        self,
        name: str,
        program: Callable[[], Program],
        *,
        start: Start = start,
        is_ready: Callable[[], bool] = lambda: True,
        ready_seconds_max: float = 120.0,
        stop_signals: Sequence[tuple[signal.Signals, float]] = ((signal.SIGTERM, 10.0),),
        on_event: Callable[[str, Mapping[str, object]], None] = lambda _event, _facts: None,
    ) -> None:
        super().__init__(name=f"keep-{name}", daemon=True)
        self._label = name
        self._program = program
        self._start = start
        self._is_ready = is_ready
        self._ready_seconds_max = ready_seconds_max
        self._stop_signals = stop_signals
        self._on_event = on_event
        self._closing = threading.Event()
        self._settled = threading.Event()
        self._failure: Exception | None = None
        self.process: Process | None = None
        self.restarts = 0

    def open(self) -> None:
        """Start, and wait until the program is ready. Raises EngineStartFailed."""
        self.start()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait for the first start. Raises EngineStartFailed."""
        self._settled.wait()
        if self._failure is not None:
            self.join()
            raise self._failure

    def ask_close(self) -> None:
        """Begin to stop, without waiting."""
        self._closing.set()

    def close(self) -> None:
        """Stop the program and wait for its end."""
        self._closing.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """The thread: start, watch, start again."""
        pause = PAUSE_SECONDS_MIN
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                if self._once():
                    return
            except Exception as error:
                if not self._settled.is_set():
                    self._failure = error
                    self._settled.set()
                    return
                if not self._closing.is_set():
                    self._on_event("start_failed", {"process": self._label, "reason": str(error)})
            if time.monotonic() - began > STEADY_SECONDS:
                pause = PAUSE_SECONDS_MIN
            self._closing.wait(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)
            self.restarts += 1

    def _once(self) -> bool:
        """One life of the program. True when it was ended by us."""
        program = self._program()
        process = self.process = self._start(program)
        reader = threading.Thread(target=hand_on, args=(process, program), daemon=True)
        reader.start()
        try:
            if not self._await_ready(process, program):
                return True
            self._settled.set()
            self._on_event("started", {"process": self._label, "pid": process.pid})
            while process.poll() is None:
                if self._closing.wait(0.1):
                    return True
            self._on_event("ended", {"process": self._label, "pid": process.pid, "status": process.returncode})
            return False
        finally:
            stop(process, self._stop_signals)
            reader.join(LAST_WORDS_SECONDS)

    def _await_ready(self, process: Process, program: Program) -> bool:
        deadline = time.monotonic() + self._ready_seconds_max
        while not self._is_ready():
            tail = log_tail(program.log) if program.log else ""
            if process.poll() is not None:
                raise EngineStartFailed(f"{self._label} ended with status {process.returncode}.\n{tail}")
            if time.monotonic() > deadline:
                raise EngineStartFailed(f"{self._label} was not ready after {self._ready_seconds_max:.0f} s.\n{tail}")
            if self._closing.wait(0.02):
                return False
        return True
