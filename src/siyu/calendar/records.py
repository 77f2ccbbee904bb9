"""Every SQL statement of the calendar. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

from siyu.calendar.day import Day, Kind

_LOCK: Final = 0x5159_0001_0000
"""An advisory lock for each year: one replaces it at a time."""


async def own_days(connection: Any) -> list[Day]:
    """All days that are stored."""
    rows = await connection.fetch("SELECT day, name, kind FROM calendar_days")
    return [Day(day, name, Kind(kind)) for day, name, kind in rows]


async def stored(connection: Any, year: int) -> tuple[datetime, str] | None:
    """When and by whom a year was stored; None: it was not."""
    row = await connection.fetchrow(
        'SELECT at, "by" FROM calendar_days WHERE day BETWEEN $1 AND $2 LIMIT 1', *_bounds(year)
    )
    return None if row is None else (row[0], row[1])


async def lock(connection: Any, year: int) -> None:
    """Be the only one who changes a year, until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK + year)


async def remove(connection: Any, year: int) -> None:
    """Remove a year's days."""
    await lock(connection, year)
    await connection.execute("DELETE FROM calendar_days WHERE day BETWEEN $1 AND $2", *_bounds(year))


async def replace(connection: Any, year: int, days: Sequence[Day], at: datetime, by: str) -> None:
    """Store a year's days, at least one, in place of those that were there. `connection`: in a transaction."""
    await remove(connection, year)
    await connection.execute(
        'INSERT INTO calendar_days (day, name, kind, at, "by")'
        " SELECT *, $4, $5 FROM unnest($1::date[], $2::text[], $3::text[])",
        *map(list, zip(*((one.day, one.name, one.kind.value) for one in days), strict=True)), at, by,
    )  # fmt: skip


def _bounds(year: int) -> tuple[date, date]:
    return date(year, 1, 1), date(year, 12, 31)
