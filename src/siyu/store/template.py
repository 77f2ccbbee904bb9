"""A process that imports once what many need, and from which each of them is forked: no import is done twice, what was
imported lies in memory once, and a process started again is there at once (decision 0392).

A forked process is *our* child, not the template's: between the two stands a process that ends at once, and for that
moment we are the one to whom orphans are given (a child subreaper). So it is watched, stopped and bound to our life as
any other is, and nobody misses a template that was killed; it is started again for the next who needs it.

A request is a datagram with descriptors: whoever is the template reads it, now or after it was started again. The new
process reports to us itself and waits for our word, so that none runs that we do not know of.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, Final

from siyu.store.launch import bind_to, control_process
from siyu.store.processes import EngineStartFailed, Keeper, Program

PR_SET_CHILD_SUBREAPER: Final = 36
FORK_SECONDS_MAX: Final = 180.0
"""A template that does not answer for so long hangs: it is ended, and started again."""
_CONTROL: Final = "SIYU_TEMPLATE_FD"
_POLL_SECONDS: Final = 0.05
_REQUEST_BYTES_MAX: Final = 1 << 16
_FDS_MAX: Final = 250
"""The kernel passes 253 at a time."""


class Child:
    """A process that became our child; what `subprocess.Popen` offers, as far as it is used."""

    stdin: IO[bytes] | None = None

    def __init__(self, pid: int, stdout: IO[bytes] | None) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """The exit status, or minus the signal; None while it runs."""
        with self._lock:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            time.sleep(0.005)
        return status

    def send_signal(self, number: int) -> None:
        """Nothing when it has ended: the number may be another's."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class Template:
    """The template as the supervisor has it: kept running from the first `start` to the end of the context."""

    def __init__(self, program: Program, on_event: Callable[[str, Any], None] = lambda _event, _facts: None) -> None:
        # Both ends stay open here: a request that finds no template waits for the next.
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sockets = (self._requests, theirs)
        program = program._replace(descriptors={_CONTROL: [theirs.fileno()]})
        self._env = os.environ if program.env is None else program.env
        self._works = threading.Event()
        self._closing = threading.Event()
        self._turn = threading.Lock()
        self.keeper = Keeper(
            "template",
            lambda: program,
            is_ready=self._works.is_set,
            ready_seconds_max=FORK_SECONDS_MAX,
            stop_signals=(),  # it has nothing to finish
            on_event=on_event,
        )

    def __enter__(self) -> Template:
        self.keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ask_close()
        self.keeper.close()
        for end in self._sockets:
            end.close()

    def ask_close(self) -> None:
        """Begin to stop: nobody is started any more."""
        self._closing.set()
        self.keeper.ask_close()

    def start(self, program: Program) -> Child:
        """As `processes.start`: the last word of `program.argv` is the role, and what `program.env` says goes over the
        template's own. Raises EngineStartFailed."""
        with self._turn, ExitStack() as files:
            ours, theirs = socket.socketpair()
            files.enter_context(ours)
            passed = [theirs.fileno()]
            output: IO[bytes] | None = None
            with theirs, ExitStack() as given:
                if program.on_line is not None:
                    reading, writing = os.pipe()
                    output = files.enter_context(os.fdopen(reading, "rb"))
                    given.callback(os.close, writing)
                    passed.append(writing)
                request = {
                    "role": program.argv[-1],
                    "parent": os.getpid(),
                    "death_signal": int(program.death_signal),
                    "env": {name: value for name, value in (program.env or {}).items() if self._env.get(name) != value},
                    "has_output": output is not None,
                    "own_session": program.own_session,
                    "descriptors": {variable: len(fds) for variable, fds in program.descriptors.items()},
                }
                passed += [fd for fds in program.descriptors.values() for fd in fds]
                _inherit_orphans(True)
                files.callback(_inherit_orphans, False)
                socket.send_fds(self._requests, [json.dumps(request).encode()], passed)
            pid = self._await_child(ours, request["role"])
            files.pop_all()
            _inherit_orphans(False)
            with ours, suppress(OSError):  # ended already, as whoever watches it will see
                ours.send(b".")
            self._works.set()
            return Child(pid, output)

    def _await_child(self, reply: socket.socket, role: object) -> int:
        deadline = time.monotonic() + FORK_SECONDS_MAX
        while not select.select([reply], [], [], _POLL_SECONDS)[0]:
            if self._closing.is_set():
                raise EngineStartFailed(f"{role}: the server is stopping.")
            if not self.keeper.is_alive():
                self.keeper.wait_ready()  # says why
            if time.monotonic() > deadline:
                if self.keeper.process is not None:
                    self.keeper.process.kill()
                raise EngineStartFailed(f"{role}: the template did not answer in {FORK_SECONDS_MAX:.0f} s.")
        try:
            return int(reply.recv(32))
        except (OSError, ValueError) as error:  # nothing, since whoever held the other end has ended
            raise EngineStartFailed(f"{role}: the template ended before it had forked.") from error


def _inherit_orphans(on: bool) -> None:
    """Only for a moment: a server whose children died with it (PostgreSQL) would leave them to us."""
    control_process(PR_SET_CHILD_SUBREAPER, int(on))


def forked_role(prepare: Callable[[str], object]) -> str:
    """Be the template: for each request call `prepare` with the role (imports, and nothing that starts a thread or
    opens anything), and fork. Returns in every process forked, with its role; in the template itself never."""
    requests = socket.socket(fileno=int(os.environ.pop(_CONTROL)))
    gc.disable()  # nothing of all this becomes garbage, and a collection would write to what is to be shared
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, _REQUEST_BYTES_MAX, _FDS_MAX)
        request = json.loads(message)
        prepare(request["role"])
        gc.freeze()
        middle = os.fork()
        if middle == 0:
            middle = os.getpid()
            if os.fork() != 0:
                os._exit(0)
            requests.close()
            _become(request, descriptors, middle)
            gc.enable()
            return str(request["role"])
        os.waitpid(middle, 0)
        for descriptor in descriptors:
            os.close(descriptor)


def _become(request: dict[str, Any], descriptors: Sequence[int], middle: int) -> None:
    """The process that was asked for: bound to its parent, with its output, its descriptors, its name."""
    if request["own_session"]:
        os.setsid()
    else:
        os.setpgid(0, 0)
    while os.getppid() == middle:
        time.sleep(0.0005)
    bind_to(request["parent"], request["death_signal"])
    rest = list(descriptors)
    reply = socket.socket(fileno=rest.pop(0))
    if request["has_output"]:
        output = rest.pop(0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
    os.environ.update(request["env"])
    for variable, count in request["descriptors"].items():
        os.environ[variable] = ",".join(str(rest.pop(0)) for _ in range(count))
    _take_name(request["role"])
    with reply:
        try:
            reply.send(str(os.getpid()).encode())
            known = reply.recv(1)
        except OSError:
            known = b""
    if not known:  # the supervisor has given up on us, or ended
        os._exit(0)


def _take_name(role: str) -> None:
    """Show `role` where the template's words stand in the list of processes, as far as there is room."""
    words = Path("/proc/self/cmdline").read_bytes()
    mine = sys.argv[1:]
    sys.argv[1:] = [role]
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[45]), int(fields[46])
    tail = b"".join(word.encode() + b"\0" for word in mine)
    if begin == 0 or end - begin != len(words) or not words.endswith(tail):
        return  # a kernel that does not say where they stand
    room = len(tail)
    ctypes.memmove(end - room, role.encode()[: room - 1].ljust(room, b"\0"), room)
