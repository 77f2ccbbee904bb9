"""The engines of one SIYU_HOME: started by whoever comes first, shared by every later `siyu` command.

The first process holds the lock `run/lock` and starts what no setting points elsewhere; it writes the addresses to
`run/engines.json` (0600). Others find the lock held and read the addresses. A command that owns the engines waits at
its end for those that use them; `siyu serve` does not.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

import msgspec

from siyu.errors import EngineUnavailable, SiyuError
from siyu.settings import Settings, WrongSetting
from siyu.store.embedded_clickhouse import EmbeddedClickHouse
from siyu.store.embedded_postgres import EmbeddedPostgres
from siyu.store.files import write_private

ATTACH_SECONDS_MAX: Final = 90.0

OnEvent = Callable[[str, Mapping[str, object]], None]


class HomeInUse(SiyuError):
    """Another process works on this SIYU_HOME; the message names it."""

    code = "HOME_IN_USE"
    status = 409


class Engines(msgspec.Struct, frozen=True):
    """Where the engines are, or will be."""

    database_url: str
    events_url: str
    notes: tuple[str, ...] = ()
    """Lines the operator should read once."""


class Starting(NamedTuple):
    """Engines on their way: the addresses are known, so that others can get ready at the same time."""

    engines: Engines
    wait_ready: Callable[[], None]
    """Returns when they answer. Raises EngineStartFailed."""


def _silent(_event: str, _facts: Mapping[str, object]) -> None:
    return


@contextmanager
def open_engines(settings: Settings, *, exclusive: bool = False, on_event: OnEvent = _silent) -> Iterator[Engines]:
    """The engines of `settings.home`, running for the time of the context.

    With `exclusive` (a server) raises HomeInUse when another process has this home; without, shares its engines.
    Raises EngineStartFailed, EngineUnavailable, WrongSetting for a folder that cannot be one."""
    with begin_engines(settings, exclusive=exclusive, on_event=on_event) as starting:
        starting.wait_ready()
        yield starting.engines


@contextmanager
def begin_engines(settings: Settings, *, exclusive: bool = False, on_event: OnEvent = _silent) -> Iterator[Starting]:
    """As `open_engines`, without waiting until they answer."""
    if not exclusive and settings.database_url and settings.events_url:
        yield Starting(Engines(settings.database_url, settings.events_url), _ready)
        return
    run = _made_home(settings.home_path)
    with (run / "lock").open("a+") as lock, (run / "users.lock").open("a") as users:
        if _try_lock(lock):
            with _own(settings, run, lock, on_event) as starting:
                try:
                    yield starting
                finally:
                    (run / "engines.json").unlink(missing_ok=True)
                    if not exclusive:
                        fcntl.flock(users, fcntl.LOCK_EX)  # until the last command that shares them has ended
        elif exclusive:
            raise HomeInUse(f"{settings.home_path} is in use by {_holder(lock)}. Stop it, or choose another SIYU_HOME.")
        else:
            fcntl.flock(users, fcntl.LOCK_SH)
            yield Starting(_attach(run, lock), _ready)


def _made_home(home: Path) -> Path:
    """The folder `run` of a home, made where it is missing. Raises WrongSetting where nothing can be written."""
    run = home / "run"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        run.mkdir(mode=0o700, exist_ok=True)
        (run / "lock").touch(mode=0o600)
    except OSError as error:
        raise WrongSetting(
            f"{home} cannot be the data folder: {error.strerror or error}. Choose one that this user may write in, with"
            " SIYU_HOME or --home."
        ) from error
    return run


def is_home_in_use(settings: Settings) -> bool:
    """Whether some process holds the engines of this home now."""
    path = settings.home_path / "run" / "lock"
    if not path.exists():
        return False
    with path.open("a") as lock:
        return not _try_lock(lock)


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _own(settings: Settings, run: Path, lock: IO[str], on_event: OnEvent) -> Iterator[Starting]:
    lock.truncate(0)
    lock.write(f"process {os.getpid()} ({' '.join([Path(sys.argv[0]).name, *sys.argv[1:2]])})")
    lock.flush()
    (run / "engines.json").unlink(missing_ok=True)
    notes: list[str] = []
    begun: list[EmbeddedClickHouse | EmbeddedPostgres] = []
    database_url, events_url = settings.database_url, settings.events_url
    with ExitStack() as stack:
        if events_url is None:
            clickhouse = EmbeddedClickHouse(settings.home_path, on_event=on_event)
            stack.callback(clickhouse.close)
            clickhouse.begin()
            begun.append(clickhouse)
            events_url = clickhouse.url
        if database_url is None:
            postgres = EmbeddedPostgres(settings.home_path, on_event=on_event)
            stack.callback(postgres.close)
            postgres.begin()
            begun.append(postgres)
            database_url = postgres.url
            if postgres.note:
                notes.append(postgres.note)
        engines = Engines(database_url, events_url, tuple(notes))

        def wait_ready() -> None:
            for engine in begun:
                engine.keeper.wait_ready()
            write_private(run / "engines.json", msgspec.json.encode(engines))

        yield Starting(engines, wait_ready)


def _ready() -> None:
    """Engines that somebody else has started answer already."""


def _attach(run: Path, lock: IO[str]) -> Engines:
    """The addresses the owner has written, once its engines are up."""
    deadline = time.monotonic() + ATTACH_SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            return msgspec.json.decode((run / "engines.json").read_bytes(), type=Engines)
        except (OSError, msgspec.DecodeError):
            time.sleep(0.05)
    raise EngineUnavailable(f"The engines of {run.parent}, owned by {_holder(lock)}, are not up.", engine="embedded")


def _holder(lock: IO[str]) -> str:
    lock.seek(0)
    return lock.read() or "another process"
