"""PostgreSQL migrations: one linear Alembic chain, forward only, under a lock, so that processes may start together.

Alembic is imported when there is something to change: most starts find the newest version and are spared its import.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, text

from siyu.store.postgres import Database

if TYPE_CHECKING:
    from alembic.config import Config

_LOCK: Final = 0x51_1E
MIGRATIONS: Final = Path(__file__).with_name("migrations")


def newest_version() -> str:
    """The version the chain ends with: migrations are numbered in the names of their files."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without a file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


async def migrate(db: Database) -> None:
    """Bring the database to the newest version. Raises EngineUnavailable."""
    async with db.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is not None:
            version = await connection.scalar(text("SELECT version_num FROM alembic_version"))
            if version == newest_version():
                return
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    from alembic import command

    command.upgrade(alembic_config(connection), "head")


def revision(connection: Connection, name: str) -> Any:
    """Write the next migration from the difference between the tables declared and those that exist."""
    from alembic import command

    return command.revision(alembic_config(connection), message=name, autogenerate=True)
