"""Every SQL statement that asks who is who: persons, their members, and the links that explain them.

`connection` is SQLAlchemy's or a bare asyncpg one. Each is one statement on arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from siyu.identity.link_records import run

_MS = "(extract(epoch FROM {0}) * 1000)::bigint"

_PERSON_OF = """
SELECT n.id, coalesce((SELECT m.person FROM memberships m
                       WHERE m.anchor = n.id AND m.since <= greatest($2, timestamptz 'epoch')
                       ORDER BY m.since DESC LIMIT 1), n.id)
FROM unnest($1::bigint[]) n(id)
"""
_NEWEST = """
SELECT coalesce((SELECT m.person FROM memberships m WHERE m.anchor = i.id ORDER BY m.since DESC LIMIT 1), i.id)
FROM identifiers i WHERE {where}
"""
_MEMBERS = """
WITH s AS (
  SELECT m.anchor, m.person, m.since, lead(m.since) OVER (PARTITION BY m.anchor ORDER BY m.since) AS until
  FROM memberships m
  WHERE m.anchor = $1 OR m.anchor IN (SELECT o.anchor FROM memberships o WHERE o.person = $1)
), mine AS (
  SELECT anchor, nullif(since, 'epoch'::timestamptz) AS since, until FROM s WHERE person = $1
  UNION ALL SELECT $1, NULL, NULL WHERE NOT EXISTS (SELECT FROM memberships m WHERE m.anchor = $1)
)
SELECT i.id, i.uid, i.kind, i.value, i.first_seen, i.source, mine.since, mine.until
FROM mine JOIN identifiers i ON i.id = mine.anchor WHERE i.kind <> 'any' ORDER BY i.id, mine.since NULLS FIRST
"""
_LINK = """
l.link_id, l.a, l.b, l.rule, l.weight, l.first_ms, l.event_id, l.source, l.refused, l.clash, l.passed,
l.retracted_at, l.retracted_because
"""
_LINKS_OF = f"""
SELECT {_LINK} FROM links l WHERE l.link_id IN (
  SELECT link_id FROM links WHERE a = ANY($1::bigint[]) UNION SELECT link_id FROM links WHERE b = ANY($1::bigint[])
) ORDER BY (l.refused IS NOT NULL OR l.retracted_at IS NOT NULL), l.weight, l.first_ms, l.link_id LIMIT $2
"""
_REFUSED = f"""
SELECT {_LINK} FROM links l
WHERE l.refused IS NOT NULL AND l.retracted_at IS NULL AND (l.first_ms, l.link_id) > ($1, $2::uuid)
ORDER BY l.first_ms, l.link_id LIMIT $3
"""
_RETRACT = """
UPDATE links SET retracted_at = $2, retracted_because = $3, exact = false, refused = NULL, clash = NULL, passed = false
WHERE link_id = $1 AND retracted_at IS NULL RETURNING a, b
"""
_UNRETRACT = """
UPDATE links SET retracted_at = NULL, retracted_because = NULL, capped = false
WHERE link_id = $1 AND retracted_at IS NOT NULL RETURNING a, b
"""


class Member(NamedTuple):
    """An identifier of a person, and during which time it was theirs."""

    anchor: int
    uid: UUID
    kind: str
    value: str
    first_seen: datetime
    source: str
    since: datetime | None
    """None: from the beginning."""
    until: datetime | None
    """None: still; else it is a former identifier."""


class LinkSeen(NamedTuple):
    """A link as people are shown it."""

    link_id: UUID
    a: int
    b: int
    rule: str
    weight: int
    first_ms: int
    event_id: str
    source: str
    refused: str | None
    clash: str | None
    passed: bool
    retracted_at: datetime | None
    retracted_because: str | None

    @property
    def counts(self) -> bool:
        """Whether the persons follow from it."""
        return self.refused is None and self.retracted_at is None


class Named(NamedTuple):
    """An identifier as people know it."""

    uid: UUID
    kind: str
    value: str


async def find_anchor(connection: Any, kind: str, value: str) -> int | None:
    """The number of an identifier; None when it was never seen."""
    rows = await run(connection, "SELECT id FROM identifiers WHERE value = $2 AND kind = $1", kind, value)
    return rows[0][0] if rows else None


async def person_of(connection: Any, anchors: Sequence[int], at: datetime) -> dict[int, int]:
    """Anchor → its person at an instant."""
    return {row[0]: row[1] for row in await run(connection, _PERSON_OF, list(anchors), at)}


async def resolve_person_id(connection: Any, uid: UUID) -> int | None:
    """The person who has the identifier with this uid now; so every id ever handed out finds somebody."""
    rows = await run(connection, _NEWEST.format(where="i.uid = $1 AND i.kind <> 'any'"), uid)
    return rows[0][0] if rows else None


async def person_now(connection: Any, anchors: Sequence[int]) -> set[int]:
    """The persons who have these identifiers now."""
    return {row[0] for row in await run(connection, _NEWEST.format(where="i.id = ANY($1::bigint[])"), list(anchors))}


async def members(connection: Any, person: int) -> list[Member]:
    """All identifiers that are or were this person's; one may appear several times."""
    return [Member(*row) for row in await run(connection, _MEMBERS, person)]


async def names_of(connection: Any, anchors: Iterable[int]) -> dict[int, Named]:
    """Anchor → uid, kind and value."""
    rows = await run(
        connection, "SELECT id, uid, kind, value FROM identifiers WHERE id = ANY($1::bigint[])", list(anchors)
    )
    return {row[0]: Named(row[1], row[2], row[3]) for row in rows}


async def links_of(connection: Any, anchors: Sequence[int], limit: int) -> list[LinkSeen]:
    """The links that speak of these identifiers, those that count first; at most `limit`."""
    return [LinkSeen(*row) for row in await run(connection, _LINKS_OF, list(anchors), limit)]


async def refused_links(connection: Any, after: tuple[int, UUID], limit: int) -> list[LinkSeen]:
    """Links that a rule refused, by (first time, link id), after that place; at most `limit`."""
    return [LinkSeen(*row) for row in await run(connection, _REFUSED, *after, limit)]


async def find_link(connection: Any, link_id: UUID) -> LinkSeen | None:
    """One link."""
    rows = await run(connection, f"SELECT {_LINK} FROM links l WHERE l.link_id = $1", link_id)
    return LinkSeen(*rows[0]) if rows else None


async def retract(connection: Any, link_id: UUID, at: datetime, reason: str) -> bool:
    """Mark a link as taken back; False when it was already."""
    return bool(await run(connection, _RETRACT, link_id, at, reason))


async def unretract(connection: Any, link_id: UUID) -> bool:
    """Let a link count again; False when it did."""
    return bool(await run(connection, _UNRETRACT, link_id))


async def anchors_now_of(connection: Any, person: int) -> list[int]:
    """The identifiers that are this person's now."""
    return sorted({member.anchor for member in await members(connection, person) if member.until is None})


async def delete_links(connection: Any, anchors: Sequence[int]) -> list[tuple[int, int]]:
    """Remove every link of these identifiers; the ends of each."""
    rows = await run(
        connection,
        "DELETE FROM links WHERE a = ANY($1::bigint[]) OR b = ANY($1::bigint[]) RETURNING a, b",
        list(anchors),
    )
    return [(row[0], row[1]) for row in rows]


async def orphaned_names(connection: Any, ends: Sequence[int]) -> list[int]:
    """Those of `ends` that are values named by an alias of which nothing is left."""
    rows = await run(
        connection,
        "SELECT i.id FROM identifiers i WHERE i.id = ANY($1::bigint[]) AND i.kind = 'any'"
        " AND NOT EXISTS (SELECT FROM links l WHERE l.b = i.id AND l.rule = 'alias')",
        list(ends),
    )
    return [row[0] for row in rows]


async def bury(connection: Any, anchors: Sequence[int], at: datetime) -> int:
    """Replace identifiers by tombstones; what is seen of them from before `at` will not come back. How many."""
    await run(
        connection,
        "INSERT INTO tombstones AS t (seq, uid, anchor, erased_at)"
        " SELECT nextval('tombstone_numbers'), uid, id, $2 FROM identifiers WHERE id = ANY($1::bigint[])"
        " ON CONFLICT (uid) DO UPDATE SET seq = excluded.seq, anchor = excluded.anchor,"
        " erased_at = greatest(t.erased_at, excluded.erased_at)",
        list(anchors),
        at,
    )
    await run(connection, "DELETE FROM memberships WHERE anchor = ANY($1::bigint[])", list(anchors))
    rows = await run(connection, "DELETE FROM identifiers WHERE id = ANY($1::bigint[]) RETURNING id", list(anchors))
    return len(rows)
