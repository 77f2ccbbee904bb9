"""`siyu serve`: the supervisor. It starts the engines and the working processes, watches them, and ends them.

It holds no business of its own and imports none, so that nothing here can fail for a reason of the rooms. The listening
socket is bound once, here, and inherited by every web process: a restart of one refuses no connection. Web processes
hand what comes for the doors to a process of their own (decision 0108).

A start is mostly the time of imports, so one process does them all while the engines start, and every other is forked
from it (decision 0392). Each then waits at a gate: `bootstrap` until the engines answer, the others until it has ended.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, TextIO

import msgspec

from siyu.errors import SiyuError
from siyu.settings import Settings
from siyu.store import processes
from siyu.store.engines import Engines, begin_engines
from siyu.store.processes import Keeper, Program, Start, hand_on
from siyu.store.template import Template

Role = Literal["all", "collect", "process", "web"]
ROLES: Final[tuple[Role, ...]] = ("all", "collect", "process", "web")

BOOTSTRAP_SECONDS_MAX: Final = 180.0
READY_SECONDS_MAX: Final = 180.0
STOP_SECONDS: Final = 15.0
"""A working process that does not end within this time of SIGTERM is killed; nothing durable is lost by that."""
PORT_SECONDS_MAX: Final = 5.0
"""How long to wait for a predecessor that is still ending to leave the port."""

DOORS_PER_WEB: Final = 2
"""Processes of the doors for each of console and API: one alone is a core's worth of parsing (decision 0108)."""

APP: Final = (sys.executable, "-m", "siyu.app")
TEMPLATE: Final = ("template", "(the others are forked from it)")
"""What the process to fork from is told to be; in the place of these words each forked one shows what it is."""


class PortInUse(SiyuError):
    """Another program listens on the port; the message says what to do."""

    code = "PORT_IN_USE"
    status = 409


class StartFailed(SiyuError):
    """The tables or the first keys could not be made; the message ends with what the process said."""

    code = "START_FAILED"


class Journal:
    """What happens to the processes, a line each: for people on a terminal, JSON anywhere else."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._people = out.isatty()
        self._lock = threading.Lock()

    def event(self, event: str, facts: Mapping[str, object]) -> None:
        """One line about a process."""
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if self._people:
            words = " ".join(f"{name}={value}" for name, value in facts.items() if name != "process")
            self._write(f"{moment[11:19]} [{facts.get('process', 'siyu')}] {event} {words}\n")
        else:
            self._write(json.dumps({"time": moment, "event": event, **facts}, ensure_ascii=False, default=str) + "\n")

    def line(self, process: str, line: str) -> None:
        """One line of a process's output, with its name before it."""
        self._write(f"[{process}] {line.rstrip()}\n")

    def _write(self, text: str) -> None:
        with self._lock:
            self._out.write(text)
            self._out.flush()


def serve(
    settings: Settings,
    *,
    role: Role = "all",
    workers: int = 1,
    app: Sequence[str] = APP,
    on_ready: Callable[[str, Mapping[str, str]], None] = lambda _url, _shown: None,
    out: TextIO | None = None,
) -> None:
    """Run until SIGTERM or Ctrl-C. `app` is the command to which `web`, `process` or another role is added.

    `on_ready` is called once with the URL and what `bootstrap` printed (keys, login).
    Raises HomeInUse, PortInUse, EngineStartFailed, EngineUnavailable, StartFailed."""
    journal = Journal(out or sys.stderr)
    stopping = _stop_on_signals()
    with ExitStack() as stack:
        listener = None
        if role != "process":
            listener = stack.enter_context(_bind(settings.host, settings.port))
        exclusive = settings.database_url is None or settings.events_url is None
        starting = stack.enter_context(begin_engines(settings, exclusive=exclusive, on_event=journal.event))
        engines_up, tables_made = stack.enter_context(Gate()), stack.enter_context(Gate())
        env = environment(settings, starting.engines)
        if listener is not None:
            env |= {"SIYU_PORT": str(listener.getsockname()[1])}
        for note in starting.engines.notes:
            journal.event("note", {"process": "siyu", "note": note})
        start = stack.enter_context(_starter(app, env, journal))
        bootstrap = stack.enter_context(Bootstrap(start, Program([*app, "bootstrap"], env), engines_up))
        channels = _channels(stack, DOORS_PER_WEB * workers if role == "all" else 0)
        port, address = (listener.fileno(), listener.getsockname()[:2]) if listener else (None, None)
        keepers = [
            _worker(start, app, place, env, address=address, gate=tables_made, journal=journal)
            for place in _places(role, workers, port, channels)
        ]
        stack.callback(_close_all, keepers)
        for keeper in keepers:
            keeper.start()
        starting.wait_ready()
        engines_up.open()
        shown = bootstrap.wait(stopping)
        if shown is None:
            return
        tables_made.open()
        for keeper in keepers:
            keeper.wait_ready()
        on_ready(_url(settings.host, listener) if listener else "", shown)
        while not stopping.wait(1.0):
            pass
        journal.event("stopping", {"process": "siyu"})


def _channels(stack: ExitStack, count: int) -> list[tuple[socket.socket, socket.socket]]:
    """From `web` to the doors. Both ends stay open here, so that a process started again finds what was handed over
    meanwhile."""
    channels = [socket.socketpair() for _ in range(count)]
    for end in (end for channel in channels for end in channel):
        stack.enter_context(end)
    return channels


class Gate:
    """Where processes wait, their imports done, until they may begin: they read `fd`, whose other end `open` closes."""

    def __init__(self) -> None:
        self.fd, self._ours = os.pipe()
        self.is_open = False

    def open(self) -> None:
        """Let everybody pass, also who comes later."""
        if not self.is_open:
            os.close(self._ours)
            self.is_open = True

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.open()
        os.close(self.fd)


class Bootstrap:
    """The process that makes tables, first keys and first operator once the engines answer."""

    def __init__(self, start: Start, program: Program, gate: Gate) -> None:
        self._start = start
        self._said: list[str] = []
        self._program = program._replace(
            descriptors={"SIYU_START_FD": [gate.fd]}, on_line=self._said.append, death_signal=signal.SIGKILL
        )

    def __enter__(self) -> Bootstrap:
        self._process = self._start(self._program)
        self._reader = threading.Thread(target=hand_on, args=(self._process, self._program), daemon=True)
        self._reader.start()
        return self

    def wait(self, stopping: threading.Event) -> dict[str, str] | None:
        """What to show to people, once it has ended. None when we were stopped meanwhile. Raises StartFailed."""
        deadline = time.monotonic() + BOOTSTRAP_SECONDS_MAX
        while self._process.poll() is None:
            if stopping.wait(0.01) or time.monotonic() > deadline:
                self._end()
        if stopping.is_set():
            return None
        self._reader.join()
        said = "".join(self._said).strip()
        if self._process.returncode != 0:
            raise StartFailed(f"The start failed (status {self._process.returncode}): {said[-4000:]}")
        shown: dict[str, str] = json.loads(said.rpartition("\n")[2])
        return shown

    def __exit__(self, *_: object) -> None:
        self._end()
        self._reader.join()

    def _end(self) -> None:
        processes.stop(self._process, ((signal.SIGTERM, STOP_SECONDS),))


@contextmanager
def _starter(app: Sequence[str], env: Mapping[str, str], journal: Journal) -> Iterator[Start]:
    """How working processes are started: forked from one that has imported everything, where the system can do that."""
    if sys.platform != "linux":
        yield processes.start
        return
    program = Program(
        [*app, *TEMPLATE],
        env=env,
        on_line=lambda line: journal.line("template", line),
        death_signal=signal.SIGKILL,
    )
    with Template(program, journal.event) as template:
        yield template.start


def environment(settings: Settings, engines: Engines) -> dict[str, str]:
    """Our environment with every setting and the engines' addresses, for the working processes."""
    chosen = msgspec.structs.asdict(settings) | {
        "home": str(settings.home_path),
        "database_url": engines.database_url,
        "events_url": engines.events_url,
    }
    return dict(os.environ) | {
        f"SIYU_{name.upper()}": str(int(value)) if isinstance(value, bool) else str(value)
        for name, value in chosen.items()
        if value is not None
    }


def _stop_on_signals() -> threading.Event:
    stopping = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, stop)
    return stopping


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    deadline = time.monotonic() + PORT_SECONDS_MAX
    while True:
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            return listener
        except OSError as error:
            listener.close()
            if time.monotonic() > deadline or isinstance(error, PermissionError):
                raise PortInUse(
                    f"{host}:{port} cannot be listened on ({error.strerror}). Stop what uses it, or set SIYU_PORT."
                ) from error
            time.sleep(0.1)


def _url(host: str, listener: socket.socket) -> str:
    named = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{named}:{listener.getsockname()[1]}"


class _Place(NamedTuple):
    """A working process to be."""

    word: str
    """What `siyu.app` is told to be."""
    name: str
    descriptors: Mapping[str, Sequence[int]]
    """What it inherits, by the variable that tells it the numbers."""


def _places(
    role: Role, workers: int, port: int | None, channels: Sequence[tuple[socket.socket, socket.socket]]
) -> list[_Place]:
    listening = {} if port is None else {"SIYU_LISTEN_FD": [port]}
    processing = [_Place("process", "process", {}), _Place("jobs", "jobs", {})]
    if role == "process":
        return processing
    if role != "all":
        return [_Place(role, name, listening) for name in _numbered(role, workers)]
    giving = {"SIYU_DOORS_FD": [give.fileno() for give, _ in channels]}
    taking = [{"SIYU_DOORS_FD": [take.fileno()]} for _, take in channels]
    return [
        *(_Place("web", name, listening | giving) for name in _numbered("web", workers)),
        *(_Place("doors", name, fds) for name, fds in zip(_numbered("doors", len(channels)), taking, strict=True)),
        *processing,
    ]


def _numbered(word: str, count: int) -> list[str]:
    return [word] if count == 1 else [f"{word} {number + 1}" for number in range(count)]


def _worker(
    start: Start,
    app: Sequence[str],
    place: _Place,
    env: Mapping[str, str],
    *,
    address: tuple[Any, ...] | None,
    gate: Gate,
    journal: Journal,
) -> Keeper:
    descriptors = {**place.descriptors, "SIYU_START_FD": [gate.fd]}
    program = Program(
        [*app, place.word],
        env={**env, "SIYU_PROCESS": place.name},
        on_line=lambda line: journal.line(place.name, line),
        # Everything durable is durable before it is answered, so a lost supervisor needs no farewell.
        death_signal=signal.SIGKILL,
        descriptors=descriptors,
        own_session=place.word == "web",
    )
    listens = address if "SIYU_LISTEN_FD" in descriptors else None
    return Keeper(
        place.name,
        lambda: program,
        start=start,
        is_ready=(lambda: _answers(listens)) if listens else (lambda: gate.is_open),
        ready_seconds_max=READY_SECONDS_MAX,
        stop_signals=((signal.SIGTERM, STOP_SECONDS),),
        on_event=journal.event,
    )


def _answers(address: tuple[Any, ...]) -> bool:
    """Whether somebody answers /healthz; before the first listens, a connection is refused at once."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])  # noqa: S104
    connection = http.client.HTTPConnection(host, address[1], timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _close_all(keepers: Sequence[Keeper]) -> None:
    """All at once, then wait for each."""
    for keeper in keepers:
        keeper.ask_close()
    for keeper in keepers:
        keeper.close()


def banner(url: str, shown: Mapping[str, str], settings: Settings, version: str) -> str:
    """What the operator needs to begin, in both languages."""
    rows = [
        ("控制台 Console", url),
        ("登录 Login", shown.get("console_user", "")),
        ("密码 Password", shown.get("console_password", "")),
        ("写入密钥 Write key", shown.get("write_key", "")),
        ("API 令牌 API token", shown.get("api_token", "")),
        ("数据 Data", str(settings.home_path)),
    ]
    lines = [f"  {label}{' ' * (22 - _width(label))}{value}" for label, value in rows if value]
    title = f"  私域 Siyu {version} 已启动 is running · Ctrl-C 停止 stops everything"
    return "\n".join(["", title, "", *lines, ""])


def _width(text: str) -> int:
    """Columns on a terminal: a Chinese character takes two."""
    return sum(2 if ord(character) > 0x2E7F else 1 for character in text)
