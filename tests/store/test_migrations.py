"""The migrations make exactly the tables that the rooms declare."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from siyu.schema import complete_metadata
from siyu.store.migrate import migrate
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
