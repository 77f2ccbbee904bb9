"""Every SQL statement of segments. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from siyu.segments.membership import Change, Keys
from siyu.segments.segment import Segment

KEEPER_LOCK: Final = 0x51_5E
"""Advisory lock of the one process that keeps the members."""
_SEGMENT: Final = "key, label, rule, listed, announced, version, built, size, created_at, changed_at, built_at, problem"


def _segment(row: Any) -> Segment:
    return Segment(row[0], row[1], msgspec.json.decode(row[2]), *tuple(row)[3:])


async def all_segments(connection: Any) -> list[Segment]:
    """Every segment, by key."""
    return [_segment(row) for row in await connection.fetch(f"SELECT {_SEGMENT} FROM segments ORDER BY key")]


async def lock_definitions(connection: Any) -> None:
    """Be the only one that changes definitions, until the transaction ends."""
    await connection.execute("LOCK TABLE segments IN SHARE ROW EXCLUSIVE MODE")


class Definition(NamedTuple):
    """What is written of a segment."""

    key: str
    label: str
    rule: dict[str, Any]
    listed: bool
    announced: bool


async def write_segment(connection: Any, definition: Definition, at: datetime, by: str, *, changed: bool) -> None:
    """Add a segment, or its next version. `changed`: its members have to be found again."""
    key, label, rule, listed, announced = definition
    text = msgspec.json.encode(rule).decode()
    version = await connection.fetchval(
        "SELECT coalesce(max(version), 0) + 1 FROM segment_versions WHERE key = $1", key
    )
    await connection.execute(
        "INSERT INTO segments AS s (key, label, rule, listed, announced, version, built, created_at, changed_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $7) ON CONFLICT (key) DO UPDATE SET label = excluded.label,"
        " rule = excluded.rule, announced = excluded.announced, changed_at = excluded.changed_at,"
        " version = excluded.version, built = CASE WHEN $8 OR s.built < s.version THEN 0 ELSE excluded.version END",
        key, label, text, listed, announced, version, at, changed,
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO segment_versions (key, version, label, rule, at, by) VALUES ($1, $2, $3, $4, $5, $6)",
        key, version, label, text, at, by,
    )  # fmt: skip


async def unbuild(connection: Any, keys: Sequence[str]) -> None:
    """Their members have to be found again."""
    await connection.execute("UPDATE segments SET built = 0 WHERE key = ANY($1::text[])", list(keys))


async def delete_segment(connection: Any, key: str, at: datetime, by: str) -> None:
    """Remove a segment; its versions stay."""
    await connection.execute(
        "INSERT INTO segment_versions (key, version, label, at, by)"
        " SELECT key, version + 1, label, $2, $3 FROM segments WHERE key = $1",
        key, at, by,
    )  # fmt: skip
    for table in ("segments", "segment_lists", "segment_moves"):
        await connection.execute(f"DELETE FROM {table} WHERE key = $1", key)
    await connection.execute(
        "UPDATE person_segments SET segments = array_remove(segments, $1) WHERE segments @> ARRAY[$1]", key
    )


async def versions(connection: Any, key: str) -> list[Any]:
    """(version, label, rule as text or None, at, by), newest first."""
    return list(
        await connection.fetch(
            "SELECT version, label, rule, at, by FROM segment_versions WHERE key = $1 ORDER BY version DESC", key
        )
    )


async def add_to_list(connection: Any, key: str, anchors: Sequence[int]) -> int:
    """Put identifiers on a list; how many were not on it."""
    status = await connection.execute(
        "INSERT INTO segment_lists (key, anchor) SELECT $1, unnest($2::bigint[]) ON CONFLICT DO NOTHING",
        key, list(anchors),
    )  # fmt: skip
    return int(status.split()[-1])


async def clear_list(connection: Any, key: str) -> None:
    """Take everybody off a list."""
    await connection.execute("DELETE FROM segment_lists WHERE key = $1", key)


async def all_anchors(connection: Any) -> list[int]:
    """Every identifier."""
    return [row[0] for row in await connection.fetch("SELECT id FROM identifiers WHERE kind <> 'any' ORDER BY id")]


async def find_anchors(connection: Any, values: Sequence[str], kind: str | None) -> list[tuple[str, int]]:
    """(value, anchor) of the identifiers with these values, of one kind or any."""
    return [
        (row[0], row[1])
        for row in await connection.fetch(
            "SELECT value, id FROM identifiers WHERE value = ANY($1::text[]) AND kind <> 'any'"
            " AND ($2::text IS NULL OR kind = $2)",
            list(values), kind,
        )
    ]  # fmt: skip


_OWNERS: Final = """
SELECT l.key, coalesce((SELECT m.person FROM memberships m WHERE m.anchor = l.anchor ORDER BY m.since DESC LIMIT 1),
                       l.anchor)
FROM segment_lists l
"""


async def listed(connection: Any, anchors: Sequence[int] | None) -> list[tuple[str, int]]:
    """(key, person) of who has an uploaded identifier now; of these identifiers, or all."""
    if anchors is None:
        return [(row[0], row[1]) for row in await connection.fetch(_OWNERS)]
    rows = await connection.fetch(f"{_OWNERS} WHERE l.anchor = ANY($1::bigint[])", list(anchors))
    return [(row[0], row[1]) for row in rows]


_GROWTH: Final = """
WITH held AS (
  SELECT split_part(a.holder, '@', 1)::bigint AS anchor, nullif(split_part(a.holder, '@', 2), '')::bigint AS opened_ms,
         a.balance
  FROM ledger_accounts a
  WHERE a.currency = 'growth' AND a.role = 'available' AND a.balance <> 0 AND a.holder ~ '^[0-9]+(@[0-9]+)?$'{0}
)
SELECT coalesce((
  SELECT m.person FROM memberships m
  WHERE m.anchor = h.anchor AND (h.opened_ms IS NULL OR m.since <= 'epoch'
                                 OR m.since <= timestamptz 'epoch' + h.opened_ms * interval '1 millisecond')
  ORDER BY m.since DESC LIMIT 1), h.anchor), sum(h.balance)::bigint
FROM held h GROUP BY 1
"""
_HELD_BY: Final = """ AND a.holder IN (
  SELECT n::text FROM unnest($1::bigint[]) n
  UNION ALL SELECT b.holder FROM unnest($1::bigint[]) n
  JOIN ledger_accounts b ON b.holder >= n || '@' AND b.holder < n || 'A')"""


async def growth(connection: Any, anchors: Sequence[int] | None) -> dict[int, int]:
    """Person → growth value, of who has any; of the wallets of these identifiers, or all."""
    if anchors is None:
        rows = await connection.fetch(_GROWTH.format(""))
    else:
        rows = await connection.fetch(_GROWTH.format(_HELD_BY), list(anchors))
    return {row[0]: row[1] for row in rows}


_PERSONS_AT_ONCE: Final = 50_000
_WRITE: Final = """
WITH sets AS MATERIALIZED (
  SELECT place, string_to_array(keys, ' ') AS keys FROM unnest($3::text[]) WITH ORDINALITY AS s(keys, place)
)
INSERT INTO person_segments (person, segments)
SELECT p.person, s.keys FROM unnest($1::bigint[], $2::bigint[]) AS p(person, place) JOIN sets s USING (place)
ON CONFLICT (person) DO UPDATE SET segments = excluded.segments
"""
"""Keys have no spaces in them. Few persons share a set in a large base: a statement for each set took half the time."""


async def kept(connection: Any, persons: Sequence[int] | None) -> list[tuple[Keys, list[int]]]:
    """Persons by their set of segments; these persons, or all."""
    where, args = ("", []) if persons is None else ("WHERE person = ANY($1::bigint[])", [list(persons)])
    rows = await connection.fetch(
        f"SELECT segments, array_agg(person) FROM person_segments {where} GROUP BY segments", *args
    )
    return [(frozenset(row[0]), row[1]) for row in rows]


async def write_changes(connection: Any, changed: Sequence[Change]) -> None:
    """Write the sets of persons."""
    if none := [person for change in changed if not change.after for person in change.persons.tolist()]:
        await connection.execute("DELETE FROM person_segments WHERE person = ANY($1::bigint[])", none)
    persons: list[int] = []
    places: list[int] = []
    sets: list[str] = []
    for change in changed:
        if change.after:
            sets.append(" ".join(sorted(change.after)))
            persons += change.persons.tolist()
            places += [len(sets)] * len(change.persons)
        if len(persons) >= _PERSONS_AT_ONCE:
            await connection.execute(_WRITE, persons, places, sets)
            persons, places, sets = [], [], []
    if persons:
        await connection.execute(_WRITE, persons, places, sets)


async def add_moves(connection: Any, moves: Sequence[tuple[str, int, int, bool]], at: datetime) -> None:
    """Remember that persons entered or left: (key, version, person, entered)."""
    if moves:
        columns = [list(column) for column in zip(*moves, strict=True)]
        await connection.execute(
            "INSERT INTO segment_moves (key, version, person, entered, at)"
            " SELECT *, $5 FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bool[])",
            *columns, at,
        )  # fmt: skip


async def mark_built(connection: Any, built: Sequence[tuple[str, int]], at: datetime) -> None:
    """These versions have their members."""
    await connection.execute(
        "UPDATE segments s SET built = b.version, built_at = $3 FROM unnest($1::text[], $2::int[]) b(key, version)"
        " WHERE s.key = b.key AND s.version = b.version",
        [key for key, _ in built], [version for _, version in built], at,
    )  # fmt: skip


async def note_problems(connection: Any, problems: Mapping[str, str | None]) -> None:
    """Why the members of these segments wait; None: they wait no longer."""
    await connection.execute(
        "UPDATE segments s SET problem = p.text FROM unnest($1::text[], $2::text[]) p(key, text)"
        " WHERE s.key = p.key AND s.problem IS DISTINCT FROM p.text",
        list(problems), list(problems.values()),
    )  # fmt: skip


async def change_sizes(connection: Any, sizes: Sequence[tuple[str, int]]) -> None:
    """Add to the numbers of members."""
    await connection.execute(
        "UPDATE segments s SET size = s.size + c.more FROM unnest($1::text[], $2::bigint[]) c(key, more)"
        " WHERE s.key = c.key",
        [key for key, _ in sizes], [more for _, more in sizes],
    )  # fmt: skip


async def set_sizes(connection: Any, sizes: Sequence[tuple[str, int]]) -> None:
    """Write the numbers of members."""
    await connection.execute(
        "UPDATE segments s SET size = c.size FROM unnest($1::text[], $2::bigint[]) c(key, size) WHERE s.key = c.key",
        [key for key, _ in sizes], [size for _, size in sizes],
    )  # fmt: skip


async def add_touch(connection: Any, anchors: bytes) -> None:
    """Whoever has one of these identifiers (UInt32 each) is to be looked at again."""
    await connection.execute("INSERT INTO segment_touches (anchors) VALUES ($1)", anchors)


async def touches(connection: Any, limit: int) -> list[tuple[int, bytes]]:
    """The oldest touches."""
    rows = await connection.fetch("SELECT id, anchors FROM segment_touches ORDER BY id LIMIT $1", limit)
    return [(row[0], row[1]) for row in rows]


async def count_touched(connection: Any) -> int:
    """How many identifiers were noted that nobody has looked at; one noted by several batches counts for each."""
    count: int = await connection.fetchval("SELECT coalesce(sum(length(anchors)), 0)::bigint / 4 FROM segment_touches")
    return count


async def drop_touches(connection: Any, upto: Sequence[int]) -> None:
    """These were looked at."""
    await connection.execute("DELETE FROM segment_touches WHERE id = ANY($1::bigint[])", list(upto))


async def progress(connection: Any) -> tuple[int, datetime] | None:
    """(identity_seq, ticked_at); None before the first start."""
    row = await connection.fetchrow("SELECT identity_seq, ticked_at FROM segment_progress")
    return None if row is None else (row[0], row[1])


async def begin_progress(connection: Any, seq: int, at: datetime) -> bool:
    """Make the row; False when it was there."""
    status = await connection.execute(
        "INSERT INTO segment_progress (identity_seq, ticked_at) VALUES ($1, $2) ON CONFLICT DO NOTHING", seq, at
    )
    return bool(status.endswith("1"))


async def advance(connection: Any, seq: int, at: datetime) -> None:
    """Everything up to here was looked at."""
    await connection.execute("UPDATE segment_progress SET identity_seq = $1, ticked_at = $2", seq, at)


_WAITING: Final = """
SELECT m.seq, m.key, m.version, m.entered, m.at, i.kind, i.value, s.label
FROM (SELECT * FROM segment_moves ORDER BY seq LIMIT $1) m
LEFT JOIN identifiers i ON i.id = m.person LEFT JOIN segments s ON s.key = m.key ORDER BY m.seq
"""


async def waiting_moves(connection: Any, limit: int) -> list[Any]:
    """(seq, key, version, entered, at, kind, value, label) of the oldest moves; kind is None of who is gone."""
    return list(await connection.fetch(_WAITING, limit))


async def drop_moves(connection: Any, upto: int) -> None:
    """These are in the stream."""
    await connection.execute("DELETE FROM segment_moves WHERE seq <= $1", upto)


async def members(connection: Any, key: str, after: int, limit: int) -> list[tuple[int, str]]:
    """(person, public id) of members in the order of their numbers, after that one."""
    rows = await connection.fetch(
        "SELECT p.person, i.uid::text FROM person_segments p JOIN identifiers i ON i.id = p.person"
        " WHERE p.segments @> ARRAY[$1] AND p.person > $2 ORDER BY p.person LIMIT $3",
        key, after, limit,
    )  # fmt: skip
    return [(row[0], row[1]) for row in rows]


async def scrub(connection: Any, anchors: Sequence[int]) -> dict[str, int]:
    """Remove what is kept of these identifiers: rows by table."""
    lost = [(key, -len(persons)) for keys, persons in await kept(connection, anchors) for key in keys]
    for one in lost:
        await change_sizes(connection, [one])
    removed = {}
    for table, column in (("person_segments", "person"), ("segment_lists", "anchor"), ("segment_moves", "person")):
        status = await connection.execute(f"DELETE FROM {table} WHERE {column} = ANY($1::bigint[])", list(anchors))
        removed[table] = int(status.split()[-1])
    return removed
