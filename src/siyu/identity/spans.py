"""Spans: which identifiers make up a person, each with its time. What every read over many of a person's rows begins
with; one round trip, for one person or for a list of them.

`connection` is a raw asyncpg connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

BEGINNING_MS: Final = -62_135_596_800_000
END_MS: Final = 253_402_300_799_000
"""Times that stand for 'always before' and 'still': years 1 and 9999."""


class Span(NamedTuple):
    """The time [since, until) in which an identifier was a person's."""

    person: int
    anchor: int
    since_ms: int = BEGINNING_MS
    until_ms: int = END_MS


# LATERAL keeps the planner on the indexes whatever it believes about the size of the table.
_MS: Final = "(extract(epoch FROM {0}) * 1000)::bigint"
_SPANS_OF: Final = f"""
WITH p AS MATERIALIZED (
  SELECT DISTINCT coalesce((SELECT m.person FROM memberships m WHERE m.anchor = i.id
                            ORDER BY m.since DESC LIMIT 1), i.id) AS person
  FROM identifiers i WHERE {{where}} AND i.kind <> 'any'
)
SELECT s.person, s.anchor, {_MS.format("s.since")} AS since, {_MS.format("s.until")} AS until
FROM p
CROSS JOIN LATERAL (SELECT DISTINCT o.anchor FROM memberships o WHERE o.person = p.person) a
CROSS JOIN LATERAL (
  SELECT m.person, m.anchor, m.since, lead(m.since) OVER (ORDER BY m.since) AS until
  FROM memberships m WHERE m.anchor = a.anchor
) s
WHERE s.person = p.person
UNION ALL
SELECT person, person, 0, NULL FROM p WHERE NOT EXISTS (SELECT FROM memberships m WHERE m.anchor = p.person)
"""
BY_UID: Final = _SPANS_OF.format(where="i.uid = $1")
"""Rows (person, anchor, since, until) of the person with the public id $1, in milliseconds; see `spans_of_rows`."""
_BY_ANCHORS: Final = _SPANS_OF.format(where="i.id = ANY($1::bigint[])")


async def spans_by_uid(connection: Any, uid: UUID) -> list[Span]:
    """The spans of the person who has the identifier with this public id now; empty when there is none."""
    return spans_of_rows(await connection.fetch(BY_UID, uid))


async def spans_by_anchors(connection: Any, anchors: Sequence[int]) -> list[Span]:
    """The spans of all persons who have one of these identifiers now."""
    return spans_of_rows(await connection.fetch(_BY_ANCHORS, list(anchors)))


def spans_of_rows(rows: Iterable[Any]) -> list[Span]:
    """The spans in the rows of a statement above."""
    return [
        Span(person, anchor, since if since > 0 else BEGINNING_MS, END_MS if until is None else until)
        for person, anchor, since, until in rows
    ]


_TOUCHED: Final = """
WITH touched AS (
  SELECT DISTINCT coalesce(m.person, u.id) AS person
  FROM unnest($1::bigint[]) u(id) LEFT JOIN memberships m ON m.anchor = u.id
)
SELECT true, person FROM touched
UNION ALL
(SELECT false, person FROM touched
 UNION SELECT false, m.anchor FROM touched t JOIN memberships m ON m.person = t.person)
"""


class Touched(NamedTuple):
    """Persons, and every identifier that is or was one of theirs (and perhaps others' at other times)."""

    persons: list[int]
    anchors: list[int]


async def touched_by(connection: Any, anchors: Sequence[int]) -> Touched:
    """The persons who have or had one of these identifiers, whenever."""
    rows = await connection.fetch(_TOUCHED, list(anchors))
    return Touched(sorted(row[1] for row in rows if row[0]), sorted(row[1] for row in rows if not row[0]))
