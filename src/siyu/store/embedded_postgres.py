"""A private PostgreSQL server in SIYU_HOME: made on the first start, reached through a socket only we may enter.

PostgreSQL refuses to run as root. Started as root, the server runs as an unprivileged user that exists already, and its
data lie under /var/lib/siyu in a folder that belongs to this home; the home keeps a pointer to it.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from siyu.store.files import write_private
from siyu.store.orphans import end_orphans, processes_in
from siyu.store.postgres_binaries import Binaries, copy_binaries, find_binaries, reachable_by
from siyu.store.priority import take_short_turns
from siyu.store.processes import EngineStartFailed, Keeper, Program

ROOT_FOLDER: Final = Path("/var/lib/siyu")
"""Where data and, when needed, programs stand when we are started as root."""
SOCKET_PATH_BYTES_MAX: Final = 100
"""Linux allows 107 bytes, macOS 103, for the whole path of a socket."""
_SOCKET_NAME: Final = ".s.PGSQL.5432"
_UNPRIVILEGED: Final = ("postgres", "nobody")

SERVER_SETTINGS: Final = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "192MB",
    "huge_pages": "off",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "2GB",
    "min_wal_size": "160MB",
    "checkpoint_timeout": "10min",
    "random_page_cost": "1.1",
    "jit": "off",
    "max_parallel_workers_per_gather": "1",
    "synchronous_commit": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "idle_in_transaction_session_timeout": "10min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "cluster_name": "siyu",
}
"""Fixed on every start, for two cores and a few hundred MB. A larger installation sets SIYU_DATABASE_URL."""


class User(NamedTuple):
    """Whom the server runs as."""

    name: str
    uid: int
    gid: int


class Credentials(msgspec.Struct, frozen=True):
    """Passwords, kept in the home with mode 0600."""

    user: str
    password: str
    admin_user: str
    admin_password: str


class Place(NamedTuple):
    """Where one server lives."""

    folder: Path
    """Ours, entered by nobody else."""
    sockets: Path
    user: User
    note: str | None
    """One line for the operator, when something is not where one would look for it."""

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return self.folder / "data"


class EmbeddedPostgres:
    """One private server. `open` starts it, `close` stops it; it is restarted when it ends by itself."""

    def __init__(
        self, home: Path, *, on_event: Callable[[str, Mapping[str, object]], None] = lambda _event, _facts: None
    ) -> None:
        self._home = home
        self._log = home / "log" / "postgresql.log"
        self._place = _find_place(home)
        self.note = self._place.note
        self._binaries = self._programs()
        self._credentials = _credentials(home)
        self.keeper = Keeper(
            "postgresql",
            self._program,
            is_ready=self._is_ready,
            stop_signals=((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0)),
            on_event=on_event,
        )

    @property
    def url(self) -> str:
        """The DSN of the database, password included."""
        me = self._credentials
        return f"postgresql://{me.user}:{me.password}@/siyu?host={quote(str(self._place.sockets), safe='')}&port=5432"

    def begin(self) -> None:
        """Make the data folder if there is none, and start, without waiting; `keeper.wait_ready` waits."""
        self._log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.keeper.start()

    def open(self) -> None:
        """Start and wait until it answers. Raises EngineStartFailed."""
        self.begin()
        self.keeper.wait_ready()

    def close(self) -> None:
        """Stop cleanly."""
        self.keeper.close()

    def _programs(self) -> Binaries:
        version_file = self._place.data / "PG_VERSION"
        major = int(version_file.read_text()) if version_file.exists() else None
        binaries = find_binaries(major)
        user = self._place.user
        if user.uid != os.geteuid() and not reachable_by(binaries, user.uid, user.gid):
            binaries = copy_binaries(binaries, ROOT_FOLDER / "programs")
        return binaries

    def _initialise(self) -> None:
        """initdb into a folder beside, made durable and then renamed: a half-made folder is never taken for data."""
        place, user, fresh = self._place, self._place.user, self._place.folder / "data.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        password_file = place.folder / "password"
        write_private(password_file, self._credentials.admin_password.encode())
        os.chown(password_file, user.uid, user.gid)
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if self._binaries.major >= 17 else []
        try:
            self._run(
                [
                    self._binaries.initdb,
                    *("-D", str(fresh), "-U", self._credentials.admin_user),
                    *("--pwfile", str(password_file), "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", *locale),
                    *("--no-sync", "--no-instructions"),
                ]
            )
        finally:
            password_file.unlink()
        (fresh / "pg_hba.conf").write_text("local all all scram-sha-256\n")
        me = self._credentials
        statements = (
            f"CREATE ROLE {me.user} LOGIN CREATEDB PASSWORD '{me.password}'\nCREATE DATABASE siyu OWNER {me.user}\n"
        )
        self._run([self._binaries.postgres, "--single", "-F", "-D", fresh, "postgres"], statements)
        self._run([self._binaries.initdb, "--sync-only", "-D", fresh])
        fresh.rename(place.data)

    def _run(self, argv: list[str | Path], standard_input: str = "") -> None:
        user = self._place.user
        changed = user.uid != os.geteuid()
        answer = subprocess.run(  # noqa: S603 - our own programs, no shell
            argv,
            input=standard_input,
            capture_output=True,
            text=True,
            check=False,
            cwd=self._place.folder,
            env=_environment(),
            user=user.uid if changed else None,
            group=user.gid if changed else None,
            extra_groups=[] if changed else None,
        )
        if answer.returncode != 0:
            raise EngineStartFailed(f"{Path(argv[0]).name} failed: {(answer.stderr or answer.stdout).strip()[-2000:]}")

    def _program(self) -> Program:
        place = self._place
        if self.keeper.restarts == 0 and not place.data.exists():  # never in the place of data that were there
            self._initialise()
        _make_sockets_folder(place)
        self._clear_remains()
        settings = SERVER_SETTINGS | {"unix_socket_directories": str(place.sockets)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Program(
            [str(self._binaries.postgres), "-D", str(place.data), *options],
            env=_environment(),
            log=self._log,
            death_signal=signal.SIGINT,
            uid=place.user.uid,
            gid=place.user.gid,
            cwd=place.folder,
        )

    def _clear_remains(self) -> None:
        """End what an earlier start left running, and drop lock files whose process number now is somebody else's."""
        lock = self._place.data / "postmaster.pid"
        first_line = lock.read_text().partition("\n")[0] if lock.exists() else ""
        postmaster = int(first_line) if first_line.isdigit() else None
        running = processes_in(self._place.data)
        if running:
            end_orphans(
                lambda: processes_in(self._place.data),
                first=[postmaster] if postmaster in running else [],
                signals=((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)),
            )
        for remains in (lock, *self._place.sockets.glob(_SOCKET_NAME + "*")):
            remains.unlink(missing_ok=True)

    def _is_ready(self) -> bool:
        """As pg_ctl does: the server writes its state into the eighth line of its lock file."""
        try:
            lines = (self._place.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        if len(lines) < 8 or lines[7].strip() != "ready":
            return False
        take_short_turns(int(lines[0]))  # and the backends it will start: a look-up waits for one
        return True


def _environment() -> dict[str, str]:
    """Nothing of ours: the server needs no secrets, and PG* variables would mislead it."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _credentials(home: Path) -> Credentials:
    path = home / "postgres" / "credentials.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    made = Credentials("siyu", secrets.token_urlsafe(24), "postgres", secrets.token_urlsafe(24))
    write_private(path, msgspec.json.encode(made))
    return made


def _find_place(home: Path) -> Place:
    folder = home / "postgres"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() != 0:
        me = pwd.getpwuid(os.geteuid())
        return Place(folder, _sockets_folder(folder), User(me.pw_name, me.pw_uid, me.pw_gid), None)
    outside = _folder_outside(home)
    data = outside / "data"
    user = _owner(data) if data.exists() else _unprivileged_user()
    outside.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chown(outside, user.uid, user.gid)
    note = f"Started as root: PostgreSQL runs as user {user.name}, its data are in {outside}."
    return Place(outside, outside / "socket", user, note)


def _folder_outside(home: Path) -> Path:
    """The folder under ROOT_FOLDER that belongs to this home, remembered in the home.

    Raises EngineStartFailed for a copy of a home that is still there: its database is not in the copy."""
    pointer = home / "postgres" / "folder"
    if not pointer.exists():
        ROOT_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        name = hashlib.sha256(str(home).encode()).hexdigest()[:8] + "-" + secrets.token_hex(3)
        write_private(pointer, str(ROOT_FOLDER / name).encode())
    folder = Path(pointer.read_bytes().decode())
    owner = folder.with_name(folder.name + ".home")
    if owner.exists() and (before := Path(owner.read_text())) != home:
        twin = before / "postgres" / "folder"
        if twin.exists() and twin.read_text() == str(folder):
            raise EngineStartFailed(
                f"{home} is a copy of {before}, whose database stands outside of it in {folder}. "
                "Copy the database with pg_dump, or set SIYU_DATABASE_URL."
            )
    write_private(owner, str(home).encode())
    return folder


def lost_folders() -> list[Path]:
    """Databases under ROOT_FOLDER whose home is gone: removed by hand, or on a disk that is not mounted."""
    owners = sorted(ROOT_FOLDER.glob("*.home"))
    return [owner.with_suffix("") for owner in owners if not Path(owner.read_text()).exists()]


def remove_database(folder: Path) -> None:
    """Remove a database under ROOT_FOLDER and the note of its home. Nothing may run in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_name(folder.name + ".home").unlink(missing_ok=True)


def remove_home(home: Path) -> None:
    """Remove a home, and its database where that stands outside. Nothing may run in it."""
    pointer = home / "postgres" / "folder"
    if pointer.exists():
        remove_database(Path(pointer.read_text()))
    shutil.rmtree(home, ignore_errors=True)


def _owner(folder: Path) -> User:
    status = folder.stat()
    try:
        name = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        name = str(status.st_uid)
    return User(name, status.st_uid, status.st_gid)


def _unprivileged_user() -> User:
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return User(name, entry.pw_uid, entry.pw_gid)
    raise EngineStartFailed(
        "PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody to run it as. "
        "Start siyu as another user, or set SIYU_DATABASE_URL."
    )


def _sockets_folder(folder: Path) -> Path:
    """In the home; a home with a long path gets a short private folder, as a socket's path is limited."""
    inside = folder / "socket"
    if len(os.fsencode(inside / _SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX:
        return inside
    tag = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    parent = os.environ.get("XDG_RUNTIME_DIR") if sys.platform == "linux" else None
    return Path(parent or tempfile.gettempdir()) / f"siyu-{os.geteuid()}-{tag}"


def _make_sockets_folder(place: Place) -> None:
    place.sockets.mkdir(mode=0o700, exist_ok=True)
    status = place.sockets.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == 0 != place.user.uid:
        os.chown(place.sockets, place.user.uid, place.user.gid)
        status = place.sockets.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != place.user.uid or status.st_mode & 0o077:
        raise EngineStartFailed(f"{place.sockets} is not a private folder of {place.user.name}: remove it.")
