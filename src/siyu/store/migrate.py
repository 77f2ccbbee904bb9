"""PostgreSQL migrations: one linear Alembic chain, forward only, under a lock, so that processes may start together."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from siyu.store.postgres import Database

_LOCK: Final = 0x51_1E
MIGRATIONS: Final = Path(__file__).with_name("migrations")


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


async def migrate(db: Database) -> None:
    """Bring the database to the newest version. Raises EngineUnavailable."""
    async with db.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = alembic_config(connection)
    newest = ScriptDirectory.from_config(config).get_current_head()
    if MigrationContext.configure(connection).get_current_revision() != newest:
        command.upgrade(config, "head")


def revision(connection: Connection, name: str) -> Any:
    """Write the next migration from the difference between the tables declared and those that exist."""
    return command.revision(alembic_config(connection), message=name, autogenerate=True)
