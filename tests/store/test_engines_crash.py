"""Processes are killed here, with SIGKILL and by their own numbers; data and service must come back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from siyu.errors import EngineUnavailable
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.embedded_clickhouse import EmbeddedClickHouse
from siyu.store.embedded_postgres import EmbeddedPostgres
from siyu.store.engines import Engines, HomeInUse, open_engines
from siyu.store.orphans import is_command, processes_in
from siyu.store.postgres import Database
from tests.conftest import remove_home

OWNER = Path(__file__).with_name("engine_owner.py")
ROWS = pa.table({"n": pa.array([1, 2, 3], pa.uint32())})


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home"
    folder.mkdir()
    yield folder
    remove_home(folder)


async def eventually(attempt: Callable[[], Awaitable[object]], seconds: float = 60.0) -> object:
    """The answer of `attempt` once the engine is back."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await attempt()
        except EngineUnavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


def folder_of_postgres(home: Path) -> Path:
    pointer = home / "postgres" / "folder"
    return Path(pointer.read_text()) if pointer.exists() else home / "postgres"


def postmaster(home: Path) -> int:
    return int((folder_of_postgres(home) / "data" / "postmaster.pid").read_text().splitlines()[0])


@contextmanager
def owner(home: Path) -> Iterator[tuple[subprocess.Popen[bytes], Engines]]:
    process = subprocess.Popen([sys.executable, OWNER, home], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process, msgspec.json.decode(process.stdout.readline(), type=Engines)
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


async def write_something(engines: Engines) -> None:
    db = await Database.open(engines.database_url)
    async with db.driver() as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        await connection.execute("INSERT INTO kept VALUES (1), (2), (3)")
    await db.close()
    events = await EventStore.open(engines.events_url)
    await events.create_all()
    await events.command("CREATE TABLE IF NOT EXISTS kept (n UInt32) ENGINE = MergeTree ORDER BY n")
    await events.insert("kept", ROWS)
    await events.close()


async def read_back(engines: Engines) -> tuple[int, int]:
    db = await Database.open(engines.database_url)
    async with db.driver() as connection:
        in_postgres = await connection.fetchval("SELECT count(*) FROM kept")
    await db.close()
    events = await EventStore.open(engines.events_url)
    ((in_clickhouse,),) = await events.rows("SELECT count() FROM kept")
    await events.close()
    return in_postgres, in_clickhouse


async def test_killed_postgres_comes_back_with_its_data(home: Path) -> None:
    engine = EmbeddedPostgres(home)
    engine.open()
    try:
        db = await Database.open(engine.url)
        async with db.driver() as connection:
            await connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        first = postmaster(home)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(EngineUnavailable) as refused:
            for _ in range(1000):
                await db.ping()
        assert refused.value.details["engine"] == "postgresql"

        async def count() -> object:
            async with db.driver() as connection:
                return await connection.fetchval("SELECT count(*) FROM kept")

        assert await eventually(count) == 1
        assert postmaster(home) != first
        assert engine.keeper.restarts == 1
        await db.close()
    finally:
        engine.close()


async def test_killed_backend_fails_one_transaction_only(home: Path) -> None:
    engine = EmbeddedPostgres(home)
    engine.open()
    try:
        db = await Database.open(engine.url)
        with pytest.raises(EngineUnavailable):
            async with db.begin() as connection:
                await connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        await db.ping()
        await db.close()
    finally:
        engine.close()


async def test_killed_clickhouse_comes_back_with_its_data(home: Path) -> None:
    engine = EmbeddedClickHouse(home)
    engine.open()
    try:
        events = await EventStore.open(engine.url)
        await events.command(
            "CREATE TABLE kept (n UInt32) ENGINE = MergeTree ORDER BY n "
            "SETTINGS non_replicated_deduplication_window = 10, fsync_after_insert = 1"
        )
        await events.insert("kept", ROWS, "token")
        assert engine.keeper.process is not None
        os.kill(engine.keeper.process.pid, signal.SIGKILL)
        engine.keeper.process.wait()
        with pytest.raises(EngineUnavailable) as refused:
            await events.insert("kept", ROWS, "token")
        assert refused.value.details["engine"] == "clickhouse"
        await eventually(lambda: events.insert("kept", ROWS, "token"))
        assert await events.rows("SELECT count() FROM kept") == [(3,)]
        await events.close()
    finally:
        engine.close()


async def test_a_statement_that_never_ends_restarts_the_child(home: Path) -> None:
    """`sleep` hears no time limit while it sleeps, as a deadlock would not."""
    engine = EmbeddedClickHouse(home, stuck_seconds=0.2)
    engine.open()
    try:
        events = await EventStore.open(engine.url)
        with pytest.raises(EngineUnavailable):
            await events.rows("SELECT sleep(3)", settings={"max_execution_time": 0.1})
        await eventually(events.ping)
        assert engine.keeper.restarts == 1
        await events.close()
    finally:
        engine.close()


async def test_next_start_recovers_after_the_parent_was_killed(home: Path) -> None:
    with owner(home) as (process, engines):
        await write_something(engines)
        process.kill()
        process.wait()
    with owner(home) as (_, engines):
        assert await read_back(engines) == (3, 3)


async def test_next_start_recovers_from_children_that_cannot_hear(home: Path) -> None:
    """The children are stopped (SIGSTOP) when the parent is killed, so nothing told them to end."""
    with owner(home) as (process, engines):
        await write_something(engines)
        stopped = [postmaster(home), int((home / "clickhouse" / "lock").read_text())]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        process.kill()
        process.wait()
    with owner(home) as (_, engines):
        assert await read_back(engines) == (3, 3)
        assert postmaster(home) not in stopped


async def test_clean_end_leaves_no_process(home: Path) -> None:
    with owner(home) as (_, engines):
        await write_something(engines)
        child = int((home / "clickhouse" / "lock").read_text())
    assert not processes_in(folder_of_postgres(home) / "data")
    assert not is_command(child, ("siyu.store.clickhouse_server",))
    assert not (home / "run" / "engines.json").exists()


def test_lock_file_with_the_number_of_another_process(home: Path) -> None:
    """After a reboot, or in a container, the number in postmaster.pid may be anybody's."""
    engine = EmbeddedPostgres(home)
    engine.open()
    engine.close()
    lock = folder_of_postgres(home) / "data" / "postmaster.pid"
    somebody = subprocess.Popen(["sleep", "60"])
    try:
        lock.write_text(f"{somebody.pid}\n{lock.parent}\n")
        again = EmbeddedPostgres(home)
        again.open()
        try:
            assert postmaster(home) != somebody.pid
            assert processes_in(lock.parent)
        finally:
            again.close()
        assert somebody.poll() is None, "a stranger was ended for having the number"
    finally:
        somebody.kill()
        somebody.wait()


async def test_a_second_command_shares_the_engines(home: Path) -> None:
    with owner(home) as (_, engines):
        with open_engines(Settings(home=str(home))) as shared:
            assert shared.database_url == engines.database_url
            await write_something(shared)
        assert await read_back(engines) == (3, 3)


def test_a_second_server_is_refused_and_told_by_whom(home: Path) -> None:
    with owner(home) as (process, _), pytest.raises(HomeInUse, match=str(process.pid)) as refused:  # noqa: SIM117
        with open_engines(Settings(home=str(home)), exclusive=True):
            pass
    assert refused.value.code == "HOME_IN_USE"


async def test_two_homes_at_once(tmp_path: Path) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    try:
        with owner(homes[0]) as (_, first), owner(homes[1]) as (_, second):
            await write_something(first)
            await write_something(second)
            await write_something(second)
            assert await read_back(first) == (3, 3)
            assert await read_back(second) == (6, 6)
    finally:
        for home in homes:
            remove_home(home)
