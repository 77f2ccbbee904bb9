"""Which identifiers make up a person, each with its time: what every read of a profile begins with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from siyu.profile.facts import BEGINNING_MS, END_MS, Span

_MS: Final = "(extract(epoch FROM {0}) * 1000)::bigint"
_SPANS_OF: Final = f"""
WITH p AS MATERIALIZED (
  SELECT DISTINCT coalesce((SELECT m.person FROM memberships m WHERE m.anchor = i.id AND m.since <= $2
                            ORDER BY m.since DESC LIMIT 1), i.id) AS person
  FROM identifiers i WHERE {{where}}
), s AS (
  SELECT m.person, m.anchor, m.since, lead(m.since) OVER (PARTITION BY m.anchor ORDER BY m.since) AS until
  FROM memberships m
  WHERE m.anchor IN (SELECT o.anchor FROM memberships o WHERE o.person IN (SELECT person FROM p))
)
SELECT s.person, s.anchor, {_MS.format("s.since")}, {_MS.format("s.until")} FROM s JOIN p USING (person)
UNION ALL
SELECT person, person, 0, NULL FROM p WHERE NOT EXISTS (SELECT FROM memberships m WHERE m.anchor = p.person)
"""
_BY_UID: Final = _SPANS_OF.format(where="i.uid = $1")
_BY_ANCHORS: Final = _SPANS_OF.format(where="i.id = ANY($1::bigint[])")


async def spans_by_uid(connection: Any, uid: UUID, now: datetime) -> list[Span]:
    """The members of the person who has the identifier with this uid at `now`, its canonical one first known by
    `Span.person`; empty when there is none."""
    return _spans(await connection.fetch(_BY_UID, uid, now))


async def spans_by_anchors(connection: Any, anchors: Sequence[int], now: datetime) -> list[Span]:
    """The members of all persons who have one of these identifiers at `now`."""
    return _spans(await connection.fetch(_BY_ANCHORS, list(anchors), now))


def _spans(rows: list[Any]) -> list[Span]:
    return [
        Span(person, anchor, since if since > 0 else BEGINNING_MS, END_MS if until is None else until)
        for person, anchor, since, until in rows
    ]
