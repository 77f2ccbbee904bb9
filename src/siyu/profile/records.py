"""What the processor and operators write to profiles, in bulk. `connection` is a raw asyncpg connection inside the
caller's transaction: a batch is one statement per table, and writing it twice changes nothing.

Rows are inserted in key order, so that two writers of the same keys cannot wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

from asyncpg import UniqueViolationError

from siyu.profile.change import TagRow
from siyu.profile.facts import decode_ops
from siyu.profile.tag import PATH_JOIN, Tag, lineage
from siyu.profile.trait import TraitEvent

_LOGS: Final = {
    "trait_changes": "anchor at key event_id source label ops",
    "consent_ops": "anchor purpose channel at key withdrawn event_id source text_version",
    "touches": "anchor at key event_id source end fields",
    "purchases": "anchor at key value_fen",
}
_TYPES: Final = {
    "anchor": "bigint",
    "key": "bigint",
    "value_fen": "bigint",
    "at": "timestamptz",
    "withdrawn": "boolean",
}
_TAGS = """
INSERT INTO tag_ops (anchor, tag, at, key, change, event_id, origin, by)
SELECT r.anchor, p.tag, r.at, r.key, r.change, r.event_id, r.origin, r.by
FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::bigint[], $5::smallint[],
            $6::text[], $7::text[], $8::text[])
  AS r(anchor, path, at, key, change, event_id, origin, by)
JOIN tag_paths p ON p.path = r.path
ORDER BY r.anchor, p.tag, r.at, r.key, r.change
ON CONFLICT DO NOTHING
"""
_ADD_TAG = """
WITH node AS (
  INSERT INTO tags (parent, name, path, created_at)
  SELECT (SELECT tag FROM tag_paths WHERE path = $1), $2, $3, $4
  WHERE NOT EXISTS (SELECT FROM tag_paths WHERE path = $3)
  ON CONFLICT (path) DO NOTHING RETURNING id, path
)
INSERT INTO tag_paths (path, tag) SELECT path, id FROM node ON CONFLICT (path) DO NOTHING
"""


async def append(connection: Any, log: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add `rows` (in the order of columns of `_LOGS`) to a log; those already there stay as they are.

    COPY first, for it is twice as fast as ON CONFLICT; a row that is already there means a replay, which is rare."""
    if not rows:
        return
    columns = _LOGS[log].split()
    rows = sorted(rows, key=_by_key)
    try:
        async with connection.transaction():
            await connection.copy_records_to_table(log, records=rows, columns=columns)
    except UniqueViolationError:
        names = ", ".join(f'"{name}"' for name in columns)
        arrays = ", ".join(f"${n}::{_TYPES.get(name, 'text')}[]" for n, name in enumerate(columns, 1))
        await connection.execute(
            f"INSERT INTO {log} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING",
            *zip(*rows, strict=True),
        )


def _by_key(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[:3]


async def insert_tags(connection: Any, rows: Sequence[TagRow]) -> None:
    """Add operations to the log of tags; their tags exist (`ensure_tags`)."""
    if rows:
        await connection.execute(_TAGS, *zip(*rows, strict=True))


async def ensure_tags(connection: Any, paths: Sequence[str], now: datetime) -> None:
    """Create the nodes of `paths`, and those above them, that no path leads to yet. A node below one that was moved
    is created at the new place, and the path asked for leads to it too."""
    known = await connection.fetch("SELECT path FROM tag_paths WHERE path = ANY($1::text[])", paths)
    missing = {node for path in set(paths) - {row[0] for row in known} for node in lineage(path)}
    for path in sorted(missing):
        above, _, name = path.rpartition(PATH_JOIN)
        parent = await connection.fetchval(
            "SELECT t.path FROM tag_paths p JOIN tags t ON t.id = p.tag WHERE p.path = $1", above
        )
        real = name if parent is None else parent + PATH_JOIN + name
        await connection.execute(_ADD_TAG, above, name, real, now)
        if real != path:
            await connection.execute(
                """INSERT INTO tag_paths (path, tag) SELECT $1, tag FROM tag_paths WHERE path = $2
                   ON CONFLICT (path) DO NOTHING""",
                path,
                real,
            )


async def find_tag(connection: Any, tag_id: int | None, path: str | None) -> Tag | None:
    """The tag with this id, or at this present or former path."""
    row = await connection.fetchrow(
        """SELECT id, parent, name, path FROM tags
           WHERE id = $1 OR id = (SELECT tag FROM tag_paths WHERE path = $2)""",
        tag_id,
        path,
    )
    return None if row is None else Tag(*row)


async def list_tags(connection: Any) -> list[Tag]:
    """The whole tree in the order of paths."""
    return [Tag(*row) for row in await connection.fetch("SELECT id, parent, name, path FROM tags ORDER BY path")]


async def move_tag(connection: Any, tag: Tag, parent_id: int | None, path: str) -> None:
    """Put `tag` and all below it at `path`; the former paths stay known."""
    await connection.execute(
        "UPDATE tags SET parent = $2, name = $3 WHERE id = $1", tag.tag_id, parent_id, path.rpartition(PATH_JOIN)[2]
    )
    below = tag.path + PATH_JOIN
    moved = await connection.fetch(
        """UPDATE tags SET path = $2 || substr(path, length($1) + 1) WHERE path = $1 OR starts_with(path, $3)
           RETURNING id, path""",
        tag.path,
        path,
        below,
    )
    await connection.executemany(
        "INSERT INTO tag_paths (path, tag) VALUES ($2, $1) ON CONFLICT (path) DO UPDATE SET tag = excluded.tag",
        [tuple(row) for row in moved],
    )


async def read_figure(connection: Any, name: str) -> str | None:
    """The JSON text kept under `name` in profile_figures."""
    text: str | None = await connection.fetchval("SELECT value FROM profile_figures WHERE name = $1", name)
    return text


async def write_figure(connection: Any, name: str, value: str, now: datetime) -> None:
    """Keep a JSON text under `name`."""
    await connection.execute(
        """INSERT INTO profile_figures (name, value, changed_at) VALUES ($1, $2, $3)
           ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at""",
        name,
        value,
        now,
    )


async def declare_trait(connection: Any, name: str, type_: str, label_zh: str, label_en: str) -> None:
    """Give a trait name a type and labels, or change them."""
    await connection.execute(
        """INSERT INTO declared_traits (name, type, label_zh, label_en) VALUES ($1, $2, $3, $4)
           ON CONFLICT (name) DO UPDATE
           SET type = excluded.type, label_zh = excluded.label_zh, label_en = excluded.label_en""",
        name,
        type_,
        label_zh,
        label_en,
    )


async def read_declared(connection: Any) -> list[tuple[str, str, str, str]]:
    """(name, type, label_zh, label_en) of the declarations of this brand."""
    rows = await connection.fetch("SELECT name, type, label_zh, label_en FROM declared_traits ORDER BY name")
    return [tuple(row) for row in rows]


async def anchors_with_tag(connection: Any, path: str) -> list[int]:
    """Identifiers that were ever given the tag at this path or one below it."""
    rows = await connection.fetch(
        """SELECT DISTINCT o.anchor FROM tags t JOIN tag_ops o ON o.tag = t.id
           WHERE t.path = $1 OR starts_with(t.path, $2) ORDER BY o.anchor""",
        path,
        path + PATH_JOIN,
    )
    return [row[0] for row in rows]


async def rfm_cuts(connection: Any, today: date, zone: str) -> Sequence[list[int] | None]:
    """The 20, 40, 60, 80 % points of all buyers, from the worst up: (recency_days, frequency, monetary_fen)."""
    points = "percentile_disc(ARRAY[0.2, 0.4, 0.6, 0.8]::float8[]) WITHIN GROUP (ORDER BY {0})"
    row = await connection.fetchrow(
        f"""
        WITH spans AS (
          SELECT anchor, person, since, lead(since) OVER (PARTITION BY anchor ORDER BY since) AS until FROM memberships
        ), bought AS (
          SELECT coalesce(s.person, p.anchor) AS person, p.at, p.value_fen
          FROM purchases p LEFT JOIN spans s
            ON s.anchor = p.anchor AND (s.since <= p.at OR s.since <= 'epoch') AND (s.until IS NULL OR p.at < s.until)
        ), buyer AS (
          SELECT person, max(at) FILTER (WHERE value_fen >= 0) AS last,
                 count(DISTINCT (at AT TIME ZONE $2)::date) FILTER (WHERE value_fen >= 0) AS days,
                 sum(value_fen)::bigint AS spend
          FROM bought GROUP BY person HAVING bool_or(value_fen >= 0)
        )
        SELECT {points.format("greatest(0, $1::date - (last AT TIME ZONE $2)::date) DESC")}::bigint[],
               {points.format("days")}::bigint[], {points.format("spend")}::bigint[] FROM buyer
        """,
        today,
        zone,
    )
    points_of: Sequence[list[int] | None] = tuple(row)
    return points_of


async def busy_anchors(connection: Any, kinds: Sequence[str], events_max: int) -> list[int]:
    """Identifiers of these base kinds with more than `events_max` events in the log of traits."""
    rows = await connection.fetch(
        """SELECT c.anchor FROM (SELECT anchor FROM trait_changes GROUP BY anchor HAVING count(*) > $2) c
           JOIN identifiers i ON i.id = c.anchor WHERE split_part(i.kind, ':', 1) = ANY($1::text[])""",
        list(kinds),
        events_max,
    )
    return [row[0] for row in rows]


async def keyed_trait_events(connection: Any, anchor: int) -> dict[tuple[datetime, int], TraitEvent]:
    """An identifier's events in the log of traits by their (at, key)."""
    rows = await connection.fetch(
        """SELECT at, key, (extract(epoch FROM at) * 1000)::bigint, event_id, source, ops
           FROM trait_changes WHERE anchor = $1""",
        anchor,
    )
    return {
        (at, key): TraitEvent(at_ms, event_id, source, anchor, decode_ops(ops))
        for at, key, at_ms, event_id, source, ops in rows
    }


async def put_aside(connection: Any, anchor: int, keys: Sequence[tuple[datetime, int]]) -> int:
    """Move events of an identifier to superseded_traits; how many."""
    done = await connection.execute(
        """WITH gone AS (
             DELETE FROM trait_changes c USING unnest($2::timestamptz[], $3::bigint[]) AS k(at, key)
             WHERE c.anchor = $1 AND c.at = k.at AND c.key = k.key RETURNING c.*)
           INSERT INTO superseded_traits SELECT * FROM gone ON CONFLICT DO NOTHING""",
        anchor,
        [at for at, _ in keys],
        [key for _, key in keys],
    )
    return int(done.split()[-1])
