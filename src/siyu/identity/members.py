"""Members: all identifiers of the persons that others name, for whole batches in one round trip.

`connection` is a raw asyncpg connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from siyu.identity.spans import BEGINNING_MS, END_MS


class Member(NamedTuple):
    """An identifier of a person during [since, until)."""

    anchor: int
    kind: str
    since_ms: int
    until_ms: int


class Named(NamedTuple):
    """The person whom somebody named by one of their identifiers."""

    anchor: int
    """The identifier named."""
    person: int
    uid: UUID
    """The person's public id."""
    members: tuple[Member, ...]


_MS: Final = "(extract(epoch FROM {0}) * 1000)::bigint"
_BY_UID: Final = """
SELECT k.uid, i.id, coalesce((SELECT m.person FROM memberships m WHERE m.anchor = i.id
                                    ORDER BY m.since DESC LIMIT 1), i.id)
FROM unnest($1::uuid[]) AS k(uid) JOIN identifiers i ON i.uid = k.uid WHERE i.kind <> 'any'
"""
_BY_ANCHOR: Final = """
SELECT k.place, k.anchor, coalesce((
  SELECT m.person FROM memberships m WHERE m.anchor = k.anchor AND m.since <= greatest(k.at, timestamptz 'epoch')
  ORDER BY m.since DESC LIMIT 1), k.anchor)
FROM unnest($1::bigint[], $2::timestamptz[]) WITH ORDINALITY AS k(anchor, at, place)
"""
_MEMBERS: Final = f"""
WITH n(label, named, person) AS MATERIALIZED ({{named}}), p AS MATERIALIZED (SELECT DISTINCT person FROM n),
s AS MATERIALIZED (
  SELECT p.person, s.anchor, {_MS.format("s.since")} AS since, {_MS.format("s.until")} AS until
  FROM p
  CROSS JOIN LATERAL (SELECT DISTINCT o.anchor FROM memberships o WHERE o.person = p.person) a
  CROSS JOIN LATERAL (
    SELECT m.person, m.anchor, m.since, lead(m.since) OVER (ORDER BY m.since) AS until
    FROM memberships m WHERE m.anchor = a.anchor
  ) s
  WHERE s.person = p.person
  UNION ALL
  SELECT person, person, 0, NULL FROM p WHERE NOT EXISTS (SELECT FROM memberships m WHERE m.anchor = p.person)
)
SELECT s.person, o.uid, s.anchor, i.kind, s.since, s.until, NULL
FROM s JOIN identifiers i ON i.id = s.anchor JOIN identifiers o ON o.id = s.person WHERE i.kind <> 'any'
UNION ALL SELECT n.person, NULL, n.named, NULL, NULL, NULL, n.label FROM n
"""
"""Members of each person once, however often one is named; then who is named."""
_MEMBERS_BY_UID: Final = _MEMBERS.format(named=_BY_UID)
_MEMBERS_BY_ANCHOR: Final = _MEMBERS.format(named=_BY_ANCHOR)


async def named_by_uid(connection: Any, uids: Iterable[UUID]) -> dict[UUID, Named]:
    """The persons who have these identifiers now; unknown ones are left out."""
    return _grouped(await connection.fetch(_MEMBERS_BY_UID, list(set(uids))))


async def named_by_anchor(connection: Any, wanted: Sequence[tuple[int, datetime]]) -> list[Named | None]:
    """The person whose an identifier was at an instant, for each (anchor, instant); None: it was erased."""
    anchors, instants = [anchor for anchor, _ in wanted], [at for _, at in wanted]
    found = _grouped(await connection.fetch(_MEMBERS_BY_ANCHOR, anchors, instants))
    return [found.get(place) for place in range(1, len(anchors) + 1)]


def _grouped(rows: Iterable[Any]) -> dict[Any, Named]:
    members: dict[int, list[Member]] = {}
    uids: dict[int, UUID] = {}
    named: list[tuple[Any, int, int]] = []
    for person, uid, anchor, kind, since, until, label in rows:
        if label is not None:
            named.append((label, anchor, person))
            continue
        uids[person] = uid
        one = Member(anchor, kind, since if since > 0 else BEGINNING_MS, END_MS if until is None else until)
        members.setdefault(person, []).append(one)
    known = {person: tuple(sorted(mine, key=_place)) for person, mine in members.items()}
    return {
        label: Named(anchor, person, uids[person], known[person]) for label, anchor, person in named if person in known
    }


def _place(one: Member) -> tuple[int, int]:
    return one.anchor, one.since_ms
