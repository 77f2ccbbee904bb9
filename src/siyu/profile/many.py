"""Many persons at once, for lists: portraits by person number or public id, and where persons came from of late."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from siyu.identity.spans import spans_by_anchors
from siyu.profile.actions import portraits
from siyu.profile.catalogue import declared_of
from siyu.profile.facts import decode_ops
from siyu.profile.portrait import Moment, Portrait
from siyu.profile.records import read_declared
from siyu.profile.trait import TraitEvent, TraitOp, TraitValue, fold
from siyu.store.postgres import Database, driver_of

_TOUCHED: Final = """
SELECT t.channel, coalesce(m.person, t.anchor) AS person FROM (
  SELECT anchor, coalesce(
    nullif(fields::json ->> 'utm_source', ''), 'code:' || nullif(fields::json ->> 'state', ''),
    'scene:' || nullif(fields::json ->> 'scene', ''),
    CASE WHEN fields::json ->> 'inviter' <> '' THEN 'invite:' END,
    substring(fields::json ->> 'referrer' FROM '^[a-z]+://([^/?#]+)')) AS channel
  FROM touches WHERE at >= $1 AND at < $2) t
LEFT JOIN LATERAL (SELECT person FROM memberships m WHERE m.anchor = t.anchor ORDER BY since DESC LIMIT 1) m ON true
WHERE t.channel IS NOT NULL
"""
_CHANNELS: Final = f"""
SELECT channel, count(DISTINCT person) AS persons FROM ({_TOUCHED}) c
GROUP BY channel ORDER BY persons DESC, channel LIMIT $3
"""
_OF_CHANNEL: Final = f"""
SELECT person, count(*) OVER () AS total FROM (SELECT DISTINCT person FROM ({_TOUCHED}) c WHERE channel = $3) d
ORDER BY person LIMIT $4 OFFSET $5
"""
_TRAIT: Final = """
WITH spans AS (
  SELECT anchor, person, since, lead(since) OVER (PARTITION BY anchor ORDER BY since) AS until FROM memberships
)
SELECT coalesce(s.person, r.anchor) AS person, (extract(epoch FROM r.at) * 1000)::bigint, r.event_id, r.source,
       r.anchor, r.ops
FROM trait_changes r LEFT JOIN spans s
  ON s.anchor = r.anchor AND (s.since <= 'epoch' OR s.since <= r.at) AND (s.until IS NULL OR r.at < s.until)
WHERE strpos(r.ops, $1) > 0 OR strpos(r.ops, '"delete":true') > 0
ORDER BY person
"""


async def trait_of_all(db: Database, name: str) -> dict[int, Any]:
    """Person number → value of one trait, for everybody who has it now: what a breakdown by trait maps through.

    Reads every change of that trait, about 100,000 a second."""
    values: dict[int, Any] = {}
    async with db.begin() as conn:
        connection = await driver_of(conn)
        declared = declared_of(await read_declared(connection))
        ops: list[TraitOp] = []
        person = 0
        async for row in connection.cursor(_TRAIT, msgspec.json.encode(name).decode(), prefetch=5_000):
            if row[0] != person:
                _keep(values, person, fold(ops, declared).get(name))
                person, ops = row[0], []
            event = TraitEvent(row[1], row[2], row[3], row[4], decode_ops(row[5]))
            ops += [op for op in event.operations() if op.name in ("", name)]
        _keep(values, person, fold(ops, declared).get(name))
    return values


def _keep(values: dict[int, Any], person: int, found: TraitValue | None) -> None:
    if found is not None:
        values[person] = found.value


async def portraits_of(db: Database, persons: Sequence[int], moment: Moment) -> dict[int, Portrait]:
    """Person number → portrait; who is gone is missing. A number that is no longer a canonical one finds its person."""
    if not persons:
        return {}
    async with db.driver() as connection:
        return dict(await portraits(connection, await spans_by_anchors(connection, list(persons)), moment))


async def portraits_by_id(db: Database, ids: Sequence[UUID], moment: Moment) -> list[Portrait]:
    """The portraits of public ids, in their order; who is gone is missing."""
    async with db.driver() as connection:
        anchors: list[Any] = await connection.fetch("SELECT id FROM identifiers WHERE uid = ANY($1::uuid[])", list(ids))
        found = await portraits(connection, await spans_by_anchors(connection, [row[0] for row in anchors]), moment)
    place = {str(one): n for n, one in enumerate(ids)}
    return sorted((one for _, one in found), key=lambda one: place.get(one.person_id, len(place)))


async def channels(db: Database, start: datetime, end: datetime, limit: int) -> list[tuple[str, int]]:
    """Where persons came from in [start, end): UTM source, else `code:` channel code, `scene:`, `invite:`, or the
    referring host; with the number of persons, most first."""
    async with db.driver() as connection:
        return [(row[0], row[1]) for row in await connection.fetch(_CHANNELS, start, end, limit)]


async def persons_of_channel(
    db: Database, channel: str, start: datetime, end: datetime, *, limit: int, offset: int
) -> tuple[list[int], int]:
    """A page of the persons (numbers) behind a number of `channels`, and how many there are."""
    async with db.driver() as connection:
        rows = await connection.fetch(_OF_CHANNEL, start, end, channel, limit, offset)
    return [row[0] for row in rows], rows[0][1] if rows else 0
