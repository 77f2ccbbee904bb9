"""The migrations make exactly the tables that the rooms declare."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from siyu.schema import complete_metadata
from siyu.store.migrate import alembic_config, migrate, newest_version
from siyu.store.postgres import Database


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, complete_metadata()))


async def test_a_migrated_database_is_what_the_tables_declare(db: Database) -> None:
    await migrate(db)
    await migrate(db)
    async with db.begin() as connection:
        assert await connection.run_sync(differences) == []
        stored = await connection.exec_driver_sql(
            "SELECT attstorage FROM pg_attribute WHERE attrelid = 'stream_frames'::regclass AND attname = 'body'"
        )
        assert stored.scalar_one() in (b"e", "e"), "frames are compressed already"


def test_the_newest_version_is_read_off_the_names_of_the_files() -> None:
    assert newest_version() == ScriptDirectory.from_config(alembic_config()).get_current_head()


async def test_a_database_behind_the_newest_version_is_brought_there(db: Database) -> None:
    await migrate(db)
    async with db.begin() as connection:
        for statement in ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public"):
            await connection.exec_driver_sql(statement)
    await migrate(db)
    async with db.connect() as connection:
        version = await connection.exec_driver_sql("SELECT version_num FROM alembic_version")
        assert version.scalar_one() == newest_version()


async def test_scenes_of_stored_touches_become_numbers(db: Database) -> None:
    await migrate(db)
    async with db.begin() as connection:
        await connection.exec_driver_sql(
            """INSERT INTO touches (anchor, at, key, event_id, source, "end", fields) VALUES
               (1, now(), 1, 'a', 's', '', '{"scene":"wx-1047","state":"x"}'),
               (1, now(), 2, 'b', 's', '', '{"utm_source":"wx-1","scene":"ali-1000"}')"""
        )
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0019'")
    await migrate(db)
    async with db.connect() as connection:
        fields = (await connection.exec_driver_sql("SELECT fields FROM touches ORDER BY event_id")).scalars().all()
    assert fields == ['{"scene":"1047","state":"x"}', '{"utm_source":"wx-1","scene":"ali-1000"}']


async def test_a_migrated_database_has_the_triggers_that_the_tables_declare(db: Database) -> None:
    async def guards() -> list[tuple[str, ...]]:
        async with db.driver() as connection:
            rows = await connection.fetch(
                """SELECT t.tgrelid::regclass::text, pg_get_triggerdef(t.oid), pg_get_functiondef(t.tgfoid),
                          array_to_string(c.reloptions, ','), coalesce(c.relacl::text, '')
                   FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal ORDER BY 1, 2"""
            )
            options = await connection.fetchval("SELECT reloptions FROM pg_class WHERE relname = 'ledger_accounts'")
        return [*(tuple(row) for row in rows), tuple(options)]

    complete_metadata()
    await migrate(db)
    migrated = await guards()
    async with db.begin() as connection:
        for statement in ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public"):
            await connection.exec_driver_sql(statement)
    await db.create_all()
    assert await guards() == migrated
    assert len(migrated) == 9
