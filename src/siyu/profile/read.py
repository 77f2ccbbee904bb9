"""What is read of persons from PostgreSQL. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from siyu.identity.spans import BEGINNING_MS, BY_UID, END_MS, Span, spans_of_rows
from siyu.profile.consent import Decision
from siyu.profile.facts import Facts, Shared, decode_fields, decode_ops, sort_out
from siyu.profile.lifecycle import Thresholds
from siyu.profile.tag import TagChange, TagOp
from siyu.profile.touch import Touch
from siyu.profile.trait import TraitEvent

_MS: Final = "(extract(epoch FROM {0}) * 1000)::bigint"
_AT: Final = _MS.format("r.at")
_IN_SPAN: Final = "r.anchor = m.anchor AND r.at >= m.since AND r.at < m.until"


def _in_span(log: str) -> str:
    """The rows `r` of a log in the spans `m`. LATERAL with OFFSET keeps the planner on the key, whatever it believes
    about the size of a table that was just filled."""
    return f"CROSS JOIN LATERAL (SELECT * FROM {log} r WHERE {_IN_SPAN} OFFSET 0) r"


# The arrays stand in subqueries so that their length does not make every execution look in need of its own plan:
# planning takes longer than reading.
SPANS: Final = """
WITH m AS MATERIALIZED (
  SELECT person, anchor, timestamptz 'epoch' + since * interval '1 millisecond' AS since,
         timestamptz 'epoch' + until * interval '1 millisecond' AS until
  FROM unnest((SELECT $1::bigint[]), (SELECT $2::bigint[]), (SELECT $3::bigint[]), (SELECT $4::bigint[]))
    AS u(person, anchor, since, until)
)
"""
_OF_UID: Final = f"""
WITH s AS MATERIALIZED ({BY_UID}), m AS MATERIALIZED (
  SELECT person, anchor,
         timestamptz 'epoch'
           + interval '1 millisecond' * CASE WHEN since > 0 THEN since ELSE {BEGINNING_MS} END AS since,
         timestamptz 'epoch' + interval '1 millisecond' * coalesce(until, {END_MS}) AS until
  FROM s
)
"""
_NAMED_SPANS: Final = f"""
SELECT s.person, s.anchor, s.since, s.until, i.kind, i.value
FROM ({BY_UID}) s CROSS JOIN LATERAL (SELECT kind, value FROM identifiers WHERE id = s.anchor OFFSET 0) i
"""
_SPAN_ROWS: Final = """
UNION ALL
SELECT 'span', person, anchor, since, until, NULL, NULL, NULL, NULL FROM s
"""
# The parameters of the spans stand before {now}, {days} and {zone}.
_FACTS: Final = f"""
SELECT 'identifier' AS section, m.person, i.id AS anchor, {_MS.format("i.first_seen")} AS n,
       {_MS.format("i.last_seen")} AS k, i.kind AS a, i.value AS b, i.uid::text AS c, i.source AS d
FROM (SELECT DISTINCT person, anchor FROM m) m
CROSS JOIN LATERAL (SELECT * FROM identifiers WHERE id = m.anchor AND kind <> 'any' OFFSET 0) i
UNION ALL
SELECT 'trait', m.person, m.anchor, {_AT}, 0, r.event_id, r.source, r.ops, NULL
FROM m {_in_span("trait_changes")}
UNION ALL
SELECT 'tag', g.person, g.anchor, {_MS.format("g.at")}, g.change, g.event_id, t.path, g.origin, g.by
FROM (SELECT DISTINCT ON (m.anchor, m.since, r.tag) m.person, r.*
      FROM m {_in_span("tag_ops")}
      ORDER BY m.anchor, m.since, r.tag, r.at DESC, r.event_id DESC, r.change DESC) g
JOIN tags t ON t.id = g.tag
UNION ALL
SELECT 'consent', m.person, m.anchor, {_AT}, r.withdrawn::int, r.event_id, r.purpose, r.source,
       r.channel || E'\\n' || r.text_version
FROM m {_in_span("consent_ops")}
UNION ALL
SELECT 'touch', m.person, m.anchor, {_AT}, 0, r.event_id, r.source, r."end", r.fields
FROM m CROSS JOIN LATERAL (SELECT min(r.at) AS first, max(r.at) AS last FROM touches r
                                WHERE {_IN_SPAN}) e
CROSS JOIN LATERAL (SELECT * FROM touches WHERE anchor = m.anchor AND at IN (e.first, e.last) OFFSET 0) r
UNION ALL
SELECT 'purchases', m.person, 0, (extract(epoch FROM max(r.at) FILTER (WHERE r.value_fen >= 0)) * 1000)::bigint,
       count(DISTINCT (r.at AT TIME ZONE {{zone}})::date) FILTER (WHERE r.value_fen >= 0), sum(r.value_fen)::text,
       (count(*) FILTER (WHERE r.value_fen >= 0 AND r.at >= w.since))::text,
       coalesce(sum(r.value_fen) FILTER (WHERE r.at >= w.since), 0)::text, NULL
FROM m {_in_span("purchases")}
CROSS JOIN (SELECT {{now}}::timestamptz - make_interval(days => coalesce((SELECT
  (value::json ->> 'vip_window_days')::int FROM profile_figures WHERE name = 'lifecycle'), {{days}})) AS since) w
GROUP BY m.person
UNION ALL
SELECT 'segments', s.person, 0, 0, 0, array_to_string(s.segments, E'\\n'), NULL, NULL, NULL
FROM (SELECT DISTINCT person FROM m) m JOIN person_segments s ON s.person = m.person
UNION ALL
SELECT 'tier', t.person, 0, 0, 0, t.tier, NULL, NULL, NULL
FROM (SELECT DISTINCT person FROM m) m JOIN person_tiers t ON t.person = m.person
UNION ALL
SELECT 'figure', 0, 0, 0, 0, name, value, NULL, NULL FROM profile_figures
UNION ALL
SELECT 'declared', 0, 0, 0, 0, name, type, label_zh, label_en FROM declared_traits
"""
FACTS: Final = SPANS + _FACTS.format(now="$5", days="$6", zone="$7")
_FACTS_BY_UID: Final = _OF_UID + _FACTS.format(now="$2", days="$3", zone="$4") + _SPAN_ROWS
MATCHES_MAX: Final = 200
# A prefix as a range: the planner can use an index for it also when the query is a parameter.
_MATCHES: Final = """
(SELECT id, 0 AS rank FROM identifiers WHERE value = ANY($1::text[]) LIMIT $4)
UNION ALL
(SELECT id, 1 FROM identifiers
 WHERE value COLLATE "C" >= $2 AND value COLLATE "C" < $2 || U&'\\+10FFFF' AND starts_with(value, $2) LIMIT $4)
UNION ALL
(SELECT anchor, 2 FROM trait_changes
 WHERE label IS NOT NULL AND label >= $3 AND label < $3 || U&'\\+10FFFF' AND starts_with(label, $3) LIMIT $4)
ORDER BY rank
"""
_HISTORY: Final = f"""{SPANS}
SELECT {_AT}, r.event_id, r.source, r.anchor, r.ops
FROM m JOIN (SELECT * FROM trait_changes UNION SELECT * FROM superseded_traits) r ON {_IN_SPAN}
"""
_TOUCHES: Final = f"""{SPANS}
SELECT {_AT}, r.event_id, r.source, r."end", i.kind, i.value, r.fields
FROM m {_in_span("touches")} JOIN identifiers i ON i.id = m.anchor
ORDER BY r.at DESC, r.event_id DESC LIMIT $5
"""
_CONSENTS: Final = f"""{SPANS}
SELECT {_AT}, r.event_id, r.withdrawn, r.purpose, r.channel, r.source, r.text_version
FROM m {_in_span("consent_ops")} ORDER BY r.at DESC, r.event_id DESC
"""
_TAGS: Final = f"""{SPANS}
SELECT {_AT}, r.event_id, r.change, t.path, r.origin, r.by
FROM m {_in_span("tag_ops")} JOIN tags t ON t.id = r.tag ORDER BY r.at DESC, r.event_id DESC, r.change DESC
"""


def columns_of(spans: Sequence[Span]) -> list[list[int]]:
    """The parameters $1 to $4 of `SPANS`."""
    return [list(column) for column in zip(*spans, strict=True)] or [[], [], [], []]


async def facts_of(connection: Any, spans: Sequence[Span], now: datetime, zone: str) -> tuple[dict[int, Facts], Shared]:
    """All that portraits of the persons of `spans` are made of, by person, in one round trip. `zone`: of the days."""
    rows = await connection.fetch(FACTS, *columns_of(spans), now, Thresholds().vip_window_days, zone)
    return sort_out(rows, spans)


async def facts_by_uid(connection: Any, uid: UUID, now: datetime, zone: str) -> tuple[dict[int, Facts], Shared]:
    """The same of the person with this public id, in one round trip as well; nobody when there is none."""
    rows = await connection.fetch(_FACTS_BY_UID, uid, now, Thresholds().vip_window_days, zone)
    spans = spans_of_rows(row[1:5] for row in rows if row[0] == "span")
    return sort_out((row for row in rows if row[0] != "span"), spans)


async def trait_events(connection: Any, spans: Sequence[Span]) -> list[TraitEvent]:
    """The whole log of traits, also what a fold does not need."""
    rows = await connection.fetch(_HISTORY, *columns_of(spans))
    return [
        TraitEvent(at_ms, event_id, source, anchor, decode_ops(ops)) for at_ms, event_id, source, anchor, ops in rows
    ]


async def touches(connection: Any, spans: Sequence[Span], limit: int | None) -> list[Touch]:
    """Touches, newest first; all without a limit."""
    rows = await connection.fetch(_TOUCHES, *columns_of(spans), limit)
    return [
        Touch(at, event_id, source, end, kind, value, decode_fields(text))
        for at, event_id, source, end, kind, value, text in rows
    ]


async def consents(connection: Any, spans: Sequence[Span]) -> list[Decision]:
    """Decisions, newest first."""
    return [Decision(*row) for row in await connection.fetch(_CONSENTS, *columns_of(spans))]


async def tags(connection: Any, spans: Sequence[Span]) -> list[TagOp]:
    """Tags given and taken, newest first."""
    rows = await connection.fetch(_TAGS, *columns_of(spans))
    return [TagOp(row[0], row[1], TagChange(row[2]), *row[3:]) for row in rows]


async def named_spans(connection: Any, uid: UUID) -> tuple[list[Span], dict[int, dict[str, str]]]:
    """The spans of the person with this public id, and {kind, value} of each anchor."""
    rows = await connection.fetch(_NAMED_SPANS, uid)
    return spans_of_rows(row[:4] for row in rows), {row[1]: {"kind": row[4], "value": row[5]} for row in rows}


async def identifier_names(connection: Any, anchors: Iterable[int]) -> dict[int, dict[str, str]]:
    """{kind, value} of each anchor."""
    rows = await connection.fetch("SELECT id, kind, value FROM identifiers WHERE id = ANY($1::bigint[])", list(anchors))
    return {row[0]: {"kind": row[1], "value": row[2]} for row in rows}


async def newest_anchors(connection: Any, limit: int) -> list[int]:
    """The anchors registered last, newest first."""
    return [
        row[0]
        for row in await connection.fetch(
            "SELECT id FROM identifiers WHERE kind <> 'any' ORDER BY id DESC LIMIT $1", limit
        )
    ]


async def matching_anchors(connection: Any, spellings: Sequence[str], query: str) -> list[int]:
    """Anchors whose identifier is one of `spellings`, then those whose identifier, then those whose name, begins with
    `query`; at most `MATCHES_MAX` of each."""
    rows = await connection.fetch(_MATCHES, list(spellings), query, query.lower(), MATCHES_MAX)
    return list(dict.fromkeys(row[0] for row in rows))
