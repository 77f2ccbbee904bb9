"""Every SQL statement on links and memberships.

`connection` is SQLAlchemy's, or a bare asyncpg one, inside the caller's transaction. All statements work on arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from siyu.identity.evidence import Identifier
from siyu.identity.resolution import BEGINNING, Spans
from siyu.ids import identifier_key

WRITER_LOCK: Final = 0x51_1C
"""Advisory lock of whoever changes links: one at a time, until commit. Readers of a change take it shared."""


class LinkRow(NamedTuple):
    """A row of `links`, without its marks of retraction."""

    link_id: UUID
    a: int
    b: int
    rule: str
    weight: int
    first_ms: int
    event_id: str
    source: str
    exact: bool = False
    capped: bool = False
    refused: str | None = None
    clash: str | None = None
    passed: bool = False


_COLUMNS: Final = ", ".join(f"l.{name}" for name in LinkRow._fields)
_LIVE: Final = "NOT l.capped AND l.retracted_at IS NULL"

_CORE = f"""
SELECT {_COLUMNS} FROM unnest($1::bigint[]) n(id) JOIN links l ON l.a = n.id WHERE {_LIVE} AND l.weight < 40
UNION
SELECT {_COLUMNS} FROM unnest($1::bigint[]) n(id) JOIN links l ON l.b = n.id
WHERE {_LIVE} AND (l.weight < 10 OR l.weight >= 20) AND l.weight < 40
"""
_CARRIED_OF = f"""
SELECT {_COLUMNS} FROM unnest($1::bigint[]) n(id) JOIN links l ON l.b = n.id WHERE {_LIVE} AND l.weight >= 40
"""
_FOLLOWERS = f"""
SELECT DISTINCT l.b FROM unnest($1::bigint[]) n(id) JOIN links l ON l.a = n.id WHERE {_LIVE} AND l.weight >= 40
"""
_PAIRS = f"""
SELECT {_COLUMNS} FROM unnest($1::bigint[], $2::bigint[]) p(a, b) JOIN links l ON l.a = p.a AND l.b = p.b
WHERE l.rule IN ('seen', 'bind')
"""
_UPSERT = """
INSERT INTO links AS l (link_id, a, b, rule, weight, first_ms, event_id, source)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::smallint[], $6::bigint[], $7::text[],
                     $8::text[])
ON CONFLICT (link_id) DO UPDATE SET
  rule = least(l.rule, excluded.rule),
  first_ms = least(l.first_ms, excluded.first_ms),
  (event_id, source) = (SELECT CASE WHEN sooner THEN excluded.event_id ELSE l.event_id END,
                               CASE WHEN sooner THEN excluded.source ELSE l.source END
                        FROM (VALUES ((excluded.first_ms, excluded.event_id, excluded.source)
                                      < (l.first_ms, l.event_id, l.source))) v(sooner))
WHERE (excluded.first_ms, excluded.event_id, excluded.source) < (l.first_ms, l.event_id, l.source)
   OR excluded.rule < l.rule
"""
_FRESH = """
SELECT n.id FROM unnest($1::bigint[]) n(id)
WHERE NOT EXISTS (SELECT FROM links l WHERE l.a = n.id) AND NOT EXISTS (SELECT FROM links l WHERE l.b = n.id)
"""
_SPANS = """
SELECT m.anchor, (extract(epoch FROM m.since) * 1000)::bigint, m.person
FROM unnest($1::bigint[]) n(id) JOIN memberships m ON m.anchor = n.id ORDER BY m.anchor, m.since
"""
_ADD_SPANS = """
INSERT INTO memberships (anchor, since, person)
SELECT s.anchor, timestamptz 'epoch' + s.since_ms * interval '1 millisecond', s.person
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) s(anchor, since_ms, person)
"""
_MARK = """
UPDATE links l SET exact = m.exact, capped = m.capped, refused = m.refused, clash = m.clash, passed = m.passed
FROM unnest($1::uuid[], $2::boolean[], $3::boolean[], $4::text[], $5::text[], $6::boolean[])
  m(link_id, exact, capped, refused, clash, passed)
WHERE l.link_id = m.link_id
"""
_OVER_OWNED = """
SELECT DISTINCT link_id FROM (
  SELECT o.*, row_number() OVER (PARTITION BY id, tier ORDER BY weight, first_ms, link_id) AS place
  FROM (
    SELECT n.id, l.weight / 10 AS tier, l.weight, l.first_ms, l.link_id
    FROM unnest($1::bigint[]) n(id) JOIN links l ON l.a = n.id
    WHERE NOT l.capped AND l.retracted_at IS NULL AND l.weight >= 20
    UNION ALL
    SELECT n.id, l.weight / 10, l.weight, l.first_ms, l.link_id
    FROM unnest($1::bigint[]) n(id) JOIN links l ON l.b = n.id
    WHERE NOT l.capped AND l.retracted_at IS NULL AND l.weight BETWEEN 20 AND 29
  ) o
) p WHERE place > $2
"""
_HUBS = """
SELECT l.b FROM unnest($1::bigint[]) n(id) JOIN links l ON l.b = n.id
WHERE l.retracted_at IS NULL AND l.weight >= 30 GROUP BY l.b HAVING count(*) > $2
"""
_CAP_HUBS = """
UPDATE links l SET capped = true, refused = 'CAP', clash = NULL
FROM unnest($1::bigint[]) n(id) WHERE l.b = n.id AND l.weight >= 30 AND NOT l.capped RETURNING l.a, l.b
"""
_CAP = """
UPDATE links l SET capped = true, refused = 'CAP', clash = NULL
FROM unnest($1::uuid[]) n(id) WHERE l.link_id = n.id RETURNING l.a, l.b
"""
_ROOM = """
SELECT n.id, count(l.link_id) FILTER (WHERE l.weight >= 40 AND l.retracted_at IS NULL),
       coalesce(bool_or(l.weight BETWEEN 10 AND 19), false)
FROM unnest($1::bigint[]) n(id) LEFT JOIN links l ON l.a = n.id AND NOT l.capped GROUP BY n.id
"""
_ADD_NAMED = """
INSERT INTO identifiers (uid, id, kind, value, first_seen, last_seen, source)
SELECT n.uid, nextval('anchor_numbers'), 'any', n.value, n.at, n.at, n.source
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[]) n(uid, value, at, source)
ON CONFLICT (uid) DO NOTHING
"""
_NAMES = """
SELECT i.id, v.id FROM unnest($1::bigint[]) n(id) JOIN identifiers i ON i.id = n.id
JOIN identifiers v ON v.value = i.value AND v.kind = 'any' WHERE i.kind IN ('user_id', 'anonymous_id')
"""
_NAMED_BY = """
SELECT i.id, v.id FROM unnest($1::bigint[]) n(id) JOIN identifiers v ON v.id = n.id
JOIN identifiers i ON i.value = v.value AND i.kind IN ('user_id', 'anonymous_id')
"""
_CHANGES = """
SELECT seq, writer, moved, touched, handed, (SELECT dropped FROM identity_mirror)
FROM identity_changes WHERE seq > $1 ORDER BY seq
"""


async def run(connection: Any, sql: str, *values: object) -> list[Any]:
    """The rows of one statement with `$n` parameters, on either kind of connection."""
    if isinstance(connection, AsyncConnection):
        result = await connection.exec_driver_sql(sql, values)
        return list(result.all()) if result.returns_rows else []
    rows: list[Any] = await connection.fetch(sql, *values)
    return rows


def columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows as one list per column."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


async def identifiers_of(connection: Any, ids: Iterable[int]) -> dict[int, tuple[Identifier, UUID]]:
    """Anchor → the identifier and its uid."""
    rows = await run(
        connection,
        "SELECT i.id, i.kind, i.value, i.uid FROM unnest($1::bigint[]) n(id) JOIN identifiers i ON i.id = n.id",
        list(ids),
    )
    return {row[0]: (Identifier(row[0], row[1], identifier_key(row[1], row[2])), row[3]) for row in rows}


async def core_links(connection: Any, ids: Sequence[int]) -> list[LinkRow]:
    """Live links of these identifiers that may join or cut strong ones (not those to carried ones)."""
    return [_link(row) for row in await run(connection, _CORE, list(ids))]


async def carried_links(connection: Any, ids: Sequence[int]) -> list[LinkRow]:
    """Live links that say whom these carried identifiers were seen with."""
    return [_link(row) for row in await run(connection, _CARRIED_OF, list(ids))]


async def followers(connection: Any, ids: Sequence[int]) -> list[int]:
    """Carried identifiers seen with one of these."""
    return [row[0] for row in await run(connection, _FOLLOWERS, list(ids))]


async def find_pairs(connection: Any, pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], LinkRow]:
    """(a, b) → the link, of pairs seen together before."""
    rows = [_link(row) for row in await run(connection, _PAIRS, *columns(pairs, 2))]
    return {(row.a, row.b): row for row in rows}


async def add_links(connection: Any, rows: Sequence[LinkRow]) -> None:
    """Add links; of one that is there already keep the earlier event and the stronger rule."""
    once: dict[UUID, LinkRow] = {}
    for row in rows:
        before = once.get(row.link_id)
        if before is None:
            once[row.link_id] = row
        else:
            earlier = min(before, row, key=lambda link: (link.first_ms, link.event_id, link.source))
            once[row.link_id] = earlier._replace(rule=min(before.rule, row.rule))
    if once:
        await run(connection, _UPSERT, *columns([once[id_][:8] for id_ in sorted(once)], 8))


async def without_links(connection: Any, ids: Sequence[int]) -> set[int]:
    """Those of `ids` that no link speaks of."""
    return {row[0] for row in await run(connection, _FRESH, list(ids))}


async def spans_of(connection: Any, ids: Iterable[int]) -> dict[int, Spans]:
    """Anchor → spans, of those that have rows."""
    spans: dict[int, list[tuple[int, int]]] = {}
    for anchor, since, person in await run(connection, _SPANS, list(ids)):
        spans.setdefault(anchor, []).append((since, person))
    return {anchor: tuple(parts) for anchor, parts in spans.items()}


async def replace_spans(connection: Any, spans: Mapping[int, Spans], *, new: bool = False) -> None:
    """Write the spans of these anchors in place of what there was. `new`: there was nothing."""
    if not new:
        await run(connection, "DELETE FROM memberships WHERE anchor = ANY($1::bigint[])", list(spans))
    rows = [
        (anchor, since, person)
        for anchor, parts in spans.items()
        if parts != ((BEGINNING, anchor),)
        for since, person in parts
    ]
    if rows:
        await run(connection, _ADD_SPANS, *columns(rows, 3))


async def mark_links(connection: Any, rows: Sequence[LinkRow]) -> None:
    """Write what weighing found out about links (`exact`, `capped`, `refused`, `clash`, `passed`)."""
    if rows:
        marks = [(row.link_id, row.exact, row.capped, row.refused, row.clash, row.passed) for row in rows]
        await run(connection, _MARK, *columns(marks, 6))


async def cap(connection: Any, ids: Sequence[int], members_max: int) -> list[tuple[int, int]]:
    """Put aside what is beyond `members_max` (resolution.over_caps); (a, b) of the links put aside now."""
    hubs = [row[0] for row in await run(connection, _HUBS, list(ids), members_max)]
    capped = [(row[0], row[1]) for row in await run(connection, _CAP_HUBS, hubs)] if hubs else []
    over = [row[0] for row in await run(connection, _OVER_OWNED, list(ids), members_max)]
    return capped + ([(row[0], row[1]) for row in await run(connection, _CAP, over)] if over else [])


async def uncap(connection: Any, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Take capped links of these identifiers back into account, before `cap` decides anew; (a, b) of each."""
    rows = await run(
        connection,
        "UPDATE links SET capped = false, refused = NULL"
        " WHERE capped AND (a = ANY($1::bigint[]) OR b = ANY($1::bigint[])) RETURNING a, b",
        list(ids),
    )
    return [(row[0], row[1]) for row in rows]


async def uncap_links(connection: Any, links: Sequence[UUID]) -> None:
    """Take these links back into account."""
    if links:
        sql = "UPDATE links SET capped = false, refused = NULL WHERE capped AND link_id = ANY($1::uuid[])"
        await run(connection, sql, list(links))


async def names_of(connection: Any, ids: Sequence[int]) -> list[tuple[int, int]]:
    """(identifier, named value) for identifiers whose value some alias names."""
    return [(row[0], row[1]) for row in await run(connection, _NAMES, list(ids))]


async def named_by(connection: Any, named: Sequence[int]) -> list[tuple[int, int]]:
    """(identifier, named value) for the identifiers that have these named values."""
    return [(row[0], row[1]) for row in await run(connection, _NAMED_BY, list(named))]


async def room_for_carried(connection: Any, ids: Sequence[int], members_max: int) -> dict[int, int]:
    """Identifier → how many more carried ones may follow it; those that were unbound are left out."""
    rows = await run(connection, _ROOM, list(ids))
    return {row[0]: members_max - row[1] for row in rows if not row[2]}


async def register_named(connection: Any, rows: Sequence[tuple[UUID, str, int, str]]) -> dict[str, int]:
    """Value → number of its identifier of the named kind, made where missing; rows: (uid, value, time, source)."""
    uids, values, instants, sources = columns(rows, 4)
    await run(connection, _ADD_NAMED, uids, values, [moment(ms) for ms in instants], sources)
    found = await run(connection, "SELECT value, id FROM identifiers WHERE uid = ANY($1::uuid[])", uids)
    return {row[0]: row[1] for row in found}


class Change(NamedTuple):
    """What one transaction changed."""

    moved: Sequence[int]
    """Anchors whose memberships changed."""
    touched: Sequence[int]
    """Further anchors whose links changed."""
    handed: Sequence[int]
    """Of the moved: those with several persons over time, before or now."""


async def add_change(connection: Any, writer: UUID, change: Change) -> None:
    """Note what changed, for the mirror and for other processes."""
    await run(
        connection,
        "INSERT INTO identity_changes (seq, writer, moved, touched, handed)"
        " VALUES (nextval('identity_change_numbers'), $1, $2::bigint[], $3::bigint[], $4::bigint[])",
        writer,
        *map(sorted, change),
    )


async def changes_after(connection: Any, seq: int) -> tuple[bool, list[tuple[int, UUID, Change]]]:
    """The changes after `seq` in order: (seq, writer, change); and whether some between are no longer known."""
    rows = await run(connection, _CHANGES, seq)
    lost = bool(rows) and rows[0][5] is not None and rows[0][5] > seq
    return lost, [(row[0], row[1], Change(row[2], row[3], row[4])) for row in rows]


async def last_change(connection: Any) -> int:
    """Number of the newest change; 0 when there is none."""
    return int((await run(connection, "SELECT coalesce(max(seq), 0) FROM identity_changes"))[0][0])


async def lock_writers(connection: Any) -> None:
    """Become the only one that changes links, until the transaction ends."""
    await run(connection, "SELECT pg_advisory_xact_lock($1)", WRITER_LOCK)


def _link(row: Sequence[Any]) -> LinkRow:
    return LinkRow(*row)


def moment(ms: int) -> datetime:
    """Epoch milliseconds → aware UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)
