"""Verbs of the profile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from siyu.profile import records
from siyu.profile.change import Problem, ProfileChange, distinct_paths, event_key, instant, rows_of
from siyu.store.postgres import driver_of


async def absorb(conn: AsyncConnection, changes: Sequence[ProfileChange], now: datetime) -> list[Problem]:
    """Write what a batch of events changes in profiles, inside the caller's transaction.

    Idempotent: the same changes again, alone or among others, write nothing. Answers what could not be taken, one
    Problem each; the rest of such an event is taken."""
    rows = rows_of(changes)
    connection = await driver_of(conn)
    await records.append(connection, "trait_changes", rows.traits)
    await records.append(connection, "consent_ops", rows.consents)
    await records.append(connection, "touches", rows.touches)
    if rows.tags:
        await records.ensure_tags(connection, distinct_paths(rows.tags), now)
        await records.insert_tags(connection, rows.tags)
    return rows.problems


async def absorb_purchases(conn: AsyncConnection, rows: Sequence[tuple[int, int, str, int]]) -> None:
    """Write the money of events, (anchor, at_ms, event_id, value_fen) each, inside the caller's transaction.

    Idempotent. Rows without money are left out."""
    await records.append(
        await driver_of(conn),
        "purchases",
        [(anchor, instant(at_ms), event_key("", event_id), fen) for anchor, at_ms, event_id, fen in rows if fen],
    )
