"""Every SQL statement on PostgreSQL of analytics: public ids of persons, and saved questions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from siyu.analytics.tables import saved_questions
from siyu.identity.tables import identifiers


async def person_uids(connection: AsyncConnection, numbers: Sequence[int]) -> dict[int, UUID]:
    """Person number → public id; numbers without an identifier (erased meanwhile) are missing."""
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    rows = await driver.fetch("SELECT id, uid FROM identifiers WHERE id = ANY($1::bigint[])", list(numbers))
    return {row[0]: row[1] for row in rows}


async def find_identifier(connection: AsyncConnection, kind: str, value: str) -> UUID | None:
    """The public id of an identifier."""
    wanted = select(identifiers.c.uid).where(identifiers.c.kind == kind, identifiers.c.value == value)
    found: UUID | None = await connection.scalar(wanted)
    return found


async def list_saved(connection: AsyncConnection) -> list[dict[str, Any]]:
    """Saved questions, by name."""
    rows = await connection.execute(select(saved_questions).order_by(saved_questions.c.name, saved_questions.c.id))
    return [dict(row) for row in rows.mappings()]


async def read_saved(connection: AsyncConnection, question_id: UUID) -> dict[str, Any] | None:
    """One saved question."""
    row = (
        (await connection.execute(select(saved_questions).where(saved_questions.c.id == question_id)))
        .mappings()
        .first()
    )
    return None if row is None else dict(row)


async def insert_saved(connection: AsyncConnection, question_id: UUID, name: str, body: str, now: datetime) -> None:
    """Save a question; one with this id that is there stays."""
    values = {"id": question_id, "name": name, "question": body, "created_at": now, "updated_at": now}
    await connection.execute(insert(saved_questions).values(values).on_conflict_do_nothing(index_elements=["id"]))


async def delete_saved(connection: AsyncConnection, question_id: UUID) -> bool:
    """Forget a saved question; False when it was not there."""
    result = await connection.execute(delete(saved_questions).where(saved_questions.c.id == question_id))
    return bool(result.rowcount)
