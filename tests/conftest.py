"""Fixtures every test may use: the real embedded engines, once per run, and a fresh empty database in each per test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from siyu.clock import system_now
from siyu.ledger.check import violations
from siyu.ledger.sealing import Sealer, seal_all
from siyu.schema import complete_metadata
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.embedded_postgres import lost_folders, remove_database, remove_home
from siyu.store.engines import Engines, open_engines
from siyu.store.postgres import Database

complete_metadata()


def pytest_sessionstart() -> None:
    """Runs that were killed leave databases of a gigabyte; their homes are removed by pytest some runs later."""
    for folder in lost_folders():
        remove_database(folder)


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """The embedded engines in a home of their own."""
    home = tmp_path_factory.mktemp("engines") / "home"
    try:
        with open_engines(Settings(home=str(home))) as running:
            yield running
    finally:
        remove_home(home)


@pytest.fixture(scope="session")
def postgres_dsn(engines: Engines) -> str:
    """DSN of the running PostgreSQL; its database belongs to nobody's test."""
    return engines.database_url


@pytest.fixture(scope="session")
def clickhouse_url(engines: Engines) -> str:
    """URL of the running ClickHouse; its database belongs to nobody's test."""
    return engines.events_url


async def drop_database(connection: Any, name: str) -> None:
    """Drop it and end who is still connected. An autovacuum worker belongs to the superuser, so we may not end it; a
    plain DROP makes it leave."""
    for _ in range(10):
        for force in (" WITH (FORCE)", ""):
            with suppress(asyncpg.InsufficientPrivilegeError, asyncpg.ObjectInUseError):
                await connection.execute(f"DROP DATABASE {name}{force}")
                return
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def db(postgres_dsn: str) -> AsyncIterator[Database]:
    """A fresh empty PostgreSQL database: `await db.create_all()` makes the tables of the rooms imported."""
    name = f"t_{uuid4().hex}"
    admin = await Database.open(postgres_dsn, connections_max=1)
    async with admin.driver() as connection:
        await connection.execute(f"CREATE DATABASE {name}")
    fresh = await Database.open(postgres_dsn.replace("@/siyu?", f"@/{name}?"))
    try:
        yield fresh
    finally:
        await fresh.close()
        async with admin.driver() as connection:
            await drop_database(connection, name)
        await admin.close()


@pytest.fixture
async def right_ledger(db: Database) -> AsyncIterator[None]:
    """At the end of the test every invariant of the ledger in `db` holds, and it can be sealed."""
    yield
    await seal_all(db, Sealer(b"of a test"), system_now)
    async with db.driver() as connection:
        assert await violations(connection) == []


@pytest.fixture
async def events(clickhouse_url: str) -> AsyncIterator[EventStore]:
    """A fresh empty ClickHouse database: `await events.create_all()` makes the tables."""
    name = f"t_{uuid4().hex}"
    admin = await EventStore.open(clickhouse_url, threads_max=1)
    await admin.command(f"CREATE DATABASE {name}")
    fresh = await EventStore.open(clickhouse_url.rpartition("/")[0] + "/" + name)
    try:
        yield fresh
    finally:
        await fresh.close()
        await admin.command(f"DROP DATABASE {name}")
        await admin.close()
