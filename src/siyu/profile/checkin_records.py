"""Every SQL statement that reads who checked in when, and by which rules. `connection` is a raw asyncpg connection.

The room of membership decides and writes what they read.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from typing import Any, Final

_OWNER: Final = """coalesce((SELECT m.person FROM memberships m WHERE m.anchor = {0}.anchor AND m.since <= {0}.at
                  ORDER BY m.since DESC LIMIT 1), {0}.anchor)"""
_STREAKS: Final = f"""
WITH recent AS (
  SELECT DISTINCT {_OWNER.format("c")} AS person FROM checkins c WHERE c.day BETWEEN $1::date - 1 AND $1 AND c.at <= $2
), theirs AS (
  SELECT anchor FROM memberships WHERE person IN (SELECT person FROM recent) UNION SELECT person FROM recent
), days AS (
  SELECT DISTINCT {_OWNER.format("c")} AS person, c.day FROM checkins c
  WHERE c.anchor IN (SELECT anchor FROM theirs) AND c.day <= $1 AND c.at <= $2
), ranked AS (
  SELECT person, day, max(day) OVER w AS last, row_number() OVER (w ORDER BY day DESC) AS place
  FROM days WINDOW w AS (PARTITION BY person)
)
SELECT person, count(*) FROM ranked WHERE last >= $1 - 1 AND day = last - (place - 1)::int GROUP BY person
"""


async def newest_rules(connection: Any) -> str | None:
    """The rules that count, as JSON; None: the ready ones, which nobody changed."""
    found: str | None = await connection.fetchval("SELECT rules FROM checkin_rules ORDER BY version DESC LIMIT 1")
    return found


async def streaks(connection: Any, today: date, now: datetime) -> dict[int, int]:
    """Person → days in a row up to today, or up to yesterday, of all who checked in on one of them before `now`."""
    return dict(await connection.fetch(_STREAKS, today, now))


async def days_of(connection: Any, anchors: Collection[int]) -> list[tuple[int, date, datetime]]:
    """(identifier, local day, instant) of every check-in under these identifiers."""
    sql = "SELECT anchor, day, at FROM checkins WHERE anchor = ANY($1::bigint[])"
    return [(row[0], row[1], row[2]) for row in await connection.fetch(sql, list(anchors))]
