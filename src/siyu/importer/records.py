"""SQL of the importer: the state of each import."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from siyu.importer.tables import import_runs


class ImportRun(NamedTuple):
    """How far the import of one file with one mapping is."""

    fingerprint: str
    mapping: str
    rows_done: int
    events: int
    rejected: int
    started_at: datetime
    finished_at: datetime | None


async def open_run(
    connection: AsyncConnection, fingerprint: str, mapping: str, file_name: str, now: datetime
) -> ImportRun:
    """The run of this file and mapping, begun at `now` unless it is known."""
    await connection.execute(
        insert(import_runs)
        .values(
            fingerprint=fingerprint,
            mapping=mapping,
            file_name=file_name,
            rows_done=0,
            events=0,
            rejected=0,
            started_at=now,
            updated_at=now,
        )
        .on_conflict_do_nothing()
    )
    chosen = [import_runs.c[name] for name in ImportRun._fields]
    row = (
        await connection.execute(
            select(*chosen).where(import_runs.c.fingerprint == fingerprint, import_runs.c.mapping == mapping)
        )
    ).one()
    return ImportRun(*row)


async def save_run(connection: AsyncConnection, run: ImportRun, now: datetime) -> None:
    """Remember how far the import is."""
    await connection.execute(
        update(import_runs)
        .where(import_runs.c.fingerprint == run.fingerprint, import_runs.c.mapping == run.mapping)
        .values(
            rows_done=run.rows_done,
            events=run.events,
            rejected=run.rejected,
            updated_at=now,
            finished_at=run.finished_at,
        )
    )
