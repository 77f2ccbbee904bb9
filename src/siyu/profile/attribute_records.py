"""Attributes of many persons, read from the logs: one statement each for all persons, or for who has some identifiers.

`connection` is a raw asyncpg connection. With `anchors` the rows of a person are complete only where all identifiers of
that person are among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

Anchors = Sequence[int] | None

_MS: Final = "(extract(epoch FROM {0}) * 1000)::bigint"
_SPANS: Final = """
WITH spans AS MATERIALIZED (
  SELECT anchor, person, since, lead(since) OVER (PARTITION BY anchor ORDER BY since) AS until
  FROM memberships{0}
)
"""
_OWNER: Final = "coalesce(s.person, r.anchor)"
_OWNED: Final = """
LEFT JOIN spans s ON s.anchor = r.anchor
  AND (s.since <= 'epoch' OR s.since <= r.at) AND (s.until IS NULL OR r.at < s.until)
"""


NEVER_MS: Final = -(2**62)
"""Of whom nothing was ever bought, only given back."""
Ints = npt.NDArray[np.int64]


class Bought(NamedTuple):
    """Sums over the purchases of persons, ascending."""

    persons: Ints
    last_ms: Ints
    days: Ints
    spend_fen: Ints
    recent_orders: Ints
    recent_spend_fen: Ints


class Seen(NamedTuple):
    """When persons were seen, each identifier cut to its time with the person."""

    persons: Ints
    first_ms: Ints
    last_ms: Ints


async def _rows(connection: Any, sql: str, anchors: Anchors, *args: Any) -> Any:
    """The rows of a statement with `{spans}` and `{of_them}`; $1 and on are `args`, the identifiers come last."""
    if anchors is None:
        return await connection.fetch(sql.format(spans=_SPANS.format(""), of_them=""), *args)
    place = f"ANY(${len(args) + 1}::bigint[])"
    text = sql.format(spans=_SPANS.format(f" WHERE anchor = {place}"), of_them=f" AND r.anchor = {place}")
    return await connection.fetch(text, *args, list(anchors))


class Traits(NamedTuple):
    """Events that may concern some traits: a person's are not beside each other."""

    persons: Ints
    at_ms: Sequence[int]
    event_ids: Sequence[str]
    sources: Sequence[str]
    anchors: Sequence[int]
    ops: Sequence[str]


_ANCHORS_PER_ROW: Final = 16_384
"""Texts come as arrays, which cost a third of rows; one of all persons could be larger than PostgreSQL allows."""


async def trait_rows(connection: Any, names: Sequence[str], anchors: Anchors) -> Traits:
    """The events that may concern these traits."""
    named = " OR ".join(f"strpos(r.ops, ${n + 1}) > 0" for n in range(len(names)))
    columns = (_OWNER, _MS.format("r.at"), "r.event_id", "r.source", "r.anchor", "r.ops")
    sql = f"""{{spans}}
SELECT {", ".join(f"array_agg({column})" for column in columns)}
FROM trait_changes r {_OWNED} WHERE ({named} OR strpos(r.ops, '"delete":true') > 0){{of_them}}
GROUP BY r.anchor / {_ANCHORS_PER_ROW}"""
    texts = [msgspec.json.encode(name).decode() for name in names]
    rows = await _rows(connection, sql, anchors, *texts)
    parts = [list(chain.from_iterable(row[n] for row in rows)) for n in range(len(columns))]
    return Traits(np.array(parts[0], np.int64), *parts[1:])


async def tag_rows(connection: Any, anchors: Anchors) -> list[tuple[list[str], list[int]]]:
    """(paths, sorted; persons who carry these and no others) of every set of tags carried."""
    sql = f"""{{spans}}
SELECT paths, array_agg(person) FROM (
  SELECT g.person, array_agg(t.path ORDER BY t.path) AS paths FROM (
    SELECT DISTINCT ON (1, r.tag) {_OWNER} AS person, r.tag, r.change FROM tag_ops r {_OWNED} WHERE true{{of_them}}
    ORDER BY 1, r.tag, r.at DESC, r.event_id DESC, r.change DESC
  ) g JOIN tags t ON t.id = g.tag WHERE g.change = 0 GROUP BY g.person
) carried GROUP BY paths"""
    return [(row[0], row[1]) for row in await _rows(connection, sql, anchors)]


async def consent_rows(connection: Any, anchors: Anchors) -> Any:
    """(person, at_ms, event_id, withdrawn, purpose, channel, source, text_version): the newest decisions."""
    sql = f"""{{spans}}
SELECT DISTINCT ON (1, r.purpose, r.channel) {_OWNER}, {_MS.format("r.at")}, r.event_id, r.withdrawn, r.purpose,
       r.channel, r.source, r.text_version
FROM consent_ops r {_OWNED} WHERE true{{of_them}}
ORDER BY 1, r.purpose, r.channel, r.at DESC, r.withdrawn DESC"""
    return await _rows(connection, sql, anchors)


async def kind_rows(connection: Any, now: datetime, anchors: Anchors) -> list[tuple[list[str], list[int]]]:
    """(kinds, persons who have identifiers of these and no others now)."""
    sql = """{spans}
SELECT kinds, array_agg(person) FROM (
  SELECT coalesce(s.person, r.anchor) AS person, array_agg(DISTINCT r.kind ORDER BY r.kind) AS kinds
  FROM (SELECT id AS anchor, kind FROM identifiers) r LEFT JOIN spans s ON s.anchor = r.anchor
  WHERE r.kind <> 'any' AND (s.until IS NULL OR s.until > $1){of_them} GROUP BY 1
) owned GROUP BY kinds"""
    return [(row[0], row[1]) for row in await _rows(connection, sql, anchors, now)]


async def kind_spans(connection: Any, anchors: Anchors) -> list[tuple[int, str, int | None]]:
    """(person, kind, until when in epoch milliseconds; None: still) of the identifiers of persons."""
    sql = f"""{{spans}}
SELECT DISTINCT coalesce(s.person, r.anchor), r.kind, {_MS.format("s.until")}
FROM (SELECT id AS anchor, kind FROM identifiers) r LEFT JOIN spans s ON s.anchor = r.anchor
WHERE r.kind <> 'any'{{of_them}}"""
    return [tuple(row) for row in await _rows(connection, sql, anchors)]


async def _arrays(connection: Any, sql: str, columns: int, anchors: Anchors, *args: Any) -> list[Ints]:
    """The columns c1, c2 … of a statement of whole numbers, in the order of c1."""
    of_all = ", ".join(f"array_agg(c{n + 1})" for n in range(columns))
    spans, _, body = sql.partition("SELECT")
    rows = await _rows(connection, f"{spans}SELECT {of_all} FROM (SELECT{body}) rows", anchors, *args)
    found = [np.array(column or (), np.int64) for column in rows[0]]
    order = np.argsort(found[0], kind="stable")
    return [column[order] for column in found]


async def seen_arrays(connection: Any, anchors: Anchors) -> Seen:
    """When everybody was seen first and last."""
    sql = f"""{{spans}}
SELECT person AS c1, min(first) AS c2, max(last) AS c3 FROM (
  SELECT coalesce(s.person, r.anchor) AS person,
         {_MS.format("min(greatest(r.first_seen, CASE WHEN s.since > 'epoch' THEN s.since END))")} AS first,
         {_MS.format("min(least(r.last_seen, s.until))")} AS last
  FROM (SELECT id AS anchor, kind, first_seen, last_seen FROM identifiers) r
  LEFT JOIN (SELECT anchor, person, min(since) AS since, max(coalesce(until, 'infinity')) AS until FROM spans
             GROUP BY anchor, person) s ON s.anchor = r.anchor
  WHERE r.kind <> 'any'{{of_them}} GROUP BY 1, r.anchor
) seen GROUP BY person"""
    return Seen(*await _arrays(connection, sql, 3, anchors))


async def purchase_arrays(connection: Any, zone: str, since: datetime, anchors: Anchors) -> Bought:
    """Sums over all purchases; `recent`: those since an instant."""
    bought = "r.value_fen >= 0"
    last = _MS.format(f"max(r.at) FILTER (WHERE {bought})")
    sql = f"""{{spans}}
SELECT {_OWNER} AS c1, coalesce({last}, {NEVER_MS}) AS c2,
       count(DISTINCT (r.at AT TIME ZONE $1)::date) FILTER (WHERE {bought}) AS c3, sum(r.value_fen)::bigint AS c4,
       count(*) FILTER (WHERE {bought} AND r.at >= $2) AS c5,
       coalesce(sum(r.value_fen) FILTER (WHERE r.at >= $2), 0)::bigint AS c6
FROM purchases r {_OWNED} WHERE true{{of_them}} GROUP BY 1"""
    return Bought(*await _arrays(connection, sql, 6, anchors, zone, since))


async def purchases(connection: Any, anchors: Anchors) -> tuple[Ints, Ints, Ints]:
    """Persons, instants and fen of what was bought and given back, by person and time."""
    sql = f"{{spans}}\nSELECT {_OWNER} AS c1, {_MS.format('r.at')} AS c2, r.value_fen AS c3"
    sql += f" FROM purchases r {_OWNED} WHERE true{{of_them}}"
    persons, at_ms, fen = await _arrays(connection, sql, 3, anchors)
    order = np.lexsort((at_ms, persons))
    return persons[order], at_ms[order], fen[order]


async def has_bought(connection: Any, spans: Sequence[tuple[int, datetime, datetime]]) -> bool:
    """Whether there was a purchase under one of these identifiers during [since, until)."""
    anchors, since, until = zip(*spans, strict=True) if spans else ((), (), ())
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[])"
        " AS m(anchor, since, until) JOIN purchases r ON r.anchor = m.anchor AND r.at >= m.since AND r.at < m.until"
        " WHERE r.value_fen >= 0)",
        list(anchors), list(since), list(until),
    )  # fmt: skip
    return found


async def touch_rows(connection: Any, newest: bool, anchors: Anchors) -> Any:
    """(end, fields as JSON, persons, at_ms of each): each person's first, or newest, touch."""
    way = " DESC" if newest else ""
    sql = f"""{{spans}}
SELECT "end", fields, array_agg(person), array_agg(at_ms) FROM (
  SELECT DISTINCT ON (1) {_OWNER} AS person, {_MS.format("r.at")} AS at_ms, r."end", r.fields
  FROM touches r {_OWNED} JOIN identifiers i ON i.id = r.anchor WHERE true{{of_them}}
  ORDER BY 1, r.at{way}, r.event_id{way}, r.source{way}, r."end"{way},
           i.kind COLLATE "C"{way}, i.value COLLATE "C"{way}
) of_each GROUP BY "end", fields"""
    return await _rows(connection, sql, anchors)


async def figures(connection: Any) -> dict[str, str]:
    """profile_figures: JSON text by name."""
    return dict(await connection.fetch("SELECT name, value FROM profile_figures"))
