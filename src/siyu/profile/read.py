"""What is read of persons from PostgreSQL. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from siyu.profile.facts import Facts, Shared, Span, sort_out

_MS: Final = "(extract(epoch FROM {0}) * 1000)::bigint"
_AT: Final = _MS.format("r.at")
_IN_SPAN: Final = "r.anchor = m.anchor AND r.at >= m.since AND r.at < m.until"
_SPANS: Final = """
WITH m AS MATERIALIZED (
  SELECT person, anchor, timestamptz 'epoch' + since * interval '1 millisecond' AS since,
         timestamptz 'epoch' + until * interval '1 millisecond' AS until
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS u(person, anchor, since, until)
)
"""
FACTS: Final = f"""{_SPANS}
SELECT 'identifier' AS section, m.person, i.id AS anchor, {_MS.format("i.first_seen")} AS n,
       {_MS.format("i.last_seen")} AS k, i.kind AS a, i.value AS b, i.uid::text AS c, i.source AS d
FROM (SELECT DISTINCT person, anchor FROM m) m JOIN identifiers i ON i.id = m.anchor
UNION ALL
SELECT 'trait', m.person, m.anchor, {_AT}, 0, r.event_id, r.source, r.ops, NULL
FROM m JOIN trait_changes r ON {_IN_SPAN}
UNION ALL
SELECT 'tag', g.person, g.anchor, {_MS.format("g.at")}, g.change, g.event_id, t.path, g.origin, g.by
FROM (SELECT DISTINCT ON (m.anchor, m.since, r.tag) m.person, r.*
      FROM m JOIN tag_ops r ON {_IN_SPAN}
      ORDER BY m.anchor, m.since, r.tag, r.at DESC, r.event_id DESC, r.change DESC) g
JOIN tags t ON t.id = g.tag
UNION ALL
SELECT 'consent', m.person, m.anchor, {_AT}, r.withdrawn::int, r.event_id, r.purpose, r.source,
       r.channel || E'\\n' || r.text_version
FROM m JOIN consent_ops r ON {_IN_SPAN}
UNION ALL
SELECT 'touch', m.person, m.anchor, {_AT}, 0, r.event_id, r.source, r."end", r.fields
FROM m CROSS JOIN LATERAL (SELECT min(r.at) AS first, max(r.at) AS last FROM touches r WHERE {_IN_SPAN}) e
JOIN touches r ON r.anchor = m.anchor AND r.at IN (e.first, e.last)
UNION ALL
SELECT 'purchases', m.person, 0, (extract(epoch FROM max(r.at) FILTER (WHERE r.value_fen > 0)) * 1000)::bigint,
       count(*) FILTER (WHERE r.value_fen > 0), sum(r.value_fen)::text,
       (count(*) FILTER (WHERE r.value_fen > 0 AND r.at >= $5))::text,
       coalesce(sum(r.value_fen) FILTER (WHERE r.at >= $5), 0)::text, NULL
FROM m JOIN purchases r ON {_IN_SPAN} GROUP BY m.person
UNION ALL
SELECT 'figure', 0, 0, 0, 0, name, value, NULL, NULL FROM profile_figures
UNION ALL
SELECT 'declared', 0, 0, 0, 0, name, type, label_zh, label_en FROM declared_traits
"""
_HISTORY: Final = f"""{_SPANS}
SELECT {_AT}, r.event_id, r.source, r.anchor, r.ops
FROM m JOIN (SELECT * FROM trait_changes UNION SELECT * FROM superseded_traits) r ON {_IN_SPAN}
"""
_TOUCHES: Final = f"""{_SPANS}
SELECT {_AT}, r.event_id, r.source, r."end", r.fields, i.kind, i.value
FROM m JOIN touches r ON {_IN_SPAN} JOIN identifiers i ON i.id = m.anchor
ORDER BY r.at DESC, r.event_id DESC LIMIT $5
"""
_CONSENTS: Final = f"""{_SPANS}
SELECT {_AT}, r.event_id, r.withdrawn, r.purpose, r.channel, r.source, r.text_version
FROM m JOIN consent_ops r ON {_IN_SPAN} ORDER BY r.at DESC, r.event_id DESC
"""
_TAGS: Final = f"""{_SPANS}
SELECT {_AT}, r.event_id, r.change, t.path, r.origin, r.by
FROM m JOIN tag_ops r ON {_IN_SPAN} JOIN tags t ON t.id = r.tag ORDER BY r.at DESC, r.event_id DESC, r.change DESC
"""


def _columns(spans: Sequence[Span]) -> list[list[int]]:
    return [list(column) for column in zip(*spans, strict=True)] or [[], [], [], []]


async def facts_of(
    connection: Any, spans: Sequence[Span], now: datetime, vip_window_days: int
) -> tuple[dict[int, Facts], Shared]:
    """All that portraits of the persons of `spans` are made of, by person, in one round trip."""
    rows = await connection.fetch(FACTS, *_columns(spans), now - timedelta(days=vip_window_days))
    return sort_out(rows, spans)


async def trait_rows(connection: Any, spans: Sequence[Span]) -> list[Any]:
    """The whole log of traits: (at_ms, event_id, source, anchor, ops)."""
    rows: list[Any] = await connection.fetch(_HISTORY, *_columns(spans))
    return rows


async def touch_rows(connection: Any, spans: Sequence[Span], limit: int) -> list[Any]:
    """Touches, newest first: (at_ms, event_id, source, end, fields, kind, value)."""
    rows: list[Any] = await connection.fetch(_TOUCHES, *_columns(spans), limit)
    return rows


async def consent_rows(connection: Any, spans: Sequence[Span]) -> list[Any]:
    """Decisions, newest first, in the order of `Decision`'s fields."""
    rows: list[Any] = await connection.fetch(_CONSENTS, *_columns(spans))
    return rows


async def tag_rows(connection: Any, spans: Sequence[Span]) -> list[Any]:
    """Tag operations, newest first, in the order of `TagOp`'s fields."""
    rows: list[Any] = await connection.fetch(_TAGS, *_columns(spans))
    return rows
