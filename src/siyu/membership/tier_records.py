"""Every SQL statement of tiers. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

import msgspec

from siyu.ids import MANY, SINGLE
from siyu.membership.ladder import Ladder
from siyu.profile.portrait import TIER_FIGURE
from siyu.profile.records import read_figure

BIRTHDAY_FIGURE: Final = "birthdays"
"""The day of the last look at birthdays, in `profile_figures`."""
_LASTING: Final = [*SINGLE, *MANY]
_ROW: Final = (
    "person, tier, since, former, until, grace_until, reached, fixed_tier, fixed_until, fixed_floor, due_at, members"
)
_MEMBERS: Final = """
SELECT p.person, coalesce(array_agg(DISTINCT a.anchor ORDER BY a.anchor) FILTER (WHERE a.anchor IS NOT NULL),
                          ARRAY[p.person]) AS members
FROM {persons} LEFT JOIN LATERAL (
  SELECT i.id AS anchor FROM memberships m JOIN identifiers i ON i.id = m.anchor
  WHERE m.person = p.person AND split_part(i.kind, ':', 1) = ANY($1::text[])
  UNION ALL
  SELECT i.id FROM identifiers i WHERE i.id = p.person AND split_part(i.kind, ':', 1) = ANY($1::text[])
    AND NOT EXISTS (SELECT FROM memberships m WHERE m.anchor = i.id)
) a ON true GROUP BY p.person
"""
_MEMBERS_OF: Final = _MEMBERS.format(persons="unnest($2::bigint[]) AS p(person)")
_STALE: Final = f"""
SELECT t.person FROM person_tiers t JOIN ({_MEMBERS.format(persons="person_tiers p")}) c ON c.person = t.person
WHERE c.members <> t.members
"""
_WRITE: Final = f"""
INSERT INTO person_tiers ({_ROW})
SELECT n.person, n.tier, n.since, n.former, n.until, n.grace_until, n.reached, n.fixed_tier, n.fixed_until,
       n.fixed_floor, n.due_at, string_to_array(n.members, ' ')::bigint[]
FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[],
            $8::text[], $9::timestamptz[], $10::boolean[], $11::timestamptz[], $12::text[])
  AS n({_ROW})
ON CONFLICT (person) DO UPDATE SET tier = excluded.tier, since = excluded.since, former = excluded.former,
  until = excluded.until, grace_until = excluded.grace_until, reached = excluded.reached,
  fixed_tier = excluded.fixed_tier, fixed_until = excluded.fixed_until, fixed_floor = excluded.fixed_floor,
  due_at = excluded.due_at, members = excluded.members
"""
_BEGIN: Final = f"""
INSERT INTO person_tiers (person, tier, former, reached, members)
SELECT c.person, $3, $3, $3, c.members FROM ({_MEMBERS_OF}) c ON CONFLICT DO NOTHING
"""
_LOG: Final = (
    "person, members, at, cause, former, tier, since, until, grace_until, fixed_tier, fixed_until, fixed_floor, ladder,"
    ' figures, event, "by", reason'
)
_ADD_LOG: Final = f"""
INSERT INTO tier_log ({_LOG})
SELECT n.person, string_to_array(n.members, ' ')::bigint[], n.at, n.cause, n.former, n.tier, n.since, n.until,
       n.grace_until, n.fixed_tier, n.fixed_until, n.fixed_floor, n.ladder, n.figures, n.event, n."by", n.reason
FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
            $8::timestamptz[], $9::timestamptz[], $10::text[], $11::timestamptz[], $12::boolean[], $13::int[],
            $14::text[], $15::text[], $16::text[], $17::text[]) WITH ORDINALITY
  AS n({_LOG}, place) ORDER BY n.place RETURNING seq
"""


# Each is looked up in the index: thousands at once would be compared with every row.
_DECIDED: Final = f"""
SELECT seq, {_LOG} FROM tier_log WHERE seq IN (
  SELECT l.seq FROM unnest($1::bigint[]) a(anchor)
  CROSS JOIN LATERAL (SELECT t.seq FROM tier_log t WHERE t.members @> ARRAY[a.anchor] OFFSET 0) l
) ORDER BY seq DESC
"""


class TierRow(NamedTuple):
    """A row of `person_tiers`."""

    person: int
    tier: str
    since: datetime | None
    former: str
    until: datetime | None
    grace_until: datetime | None
    reached: str
    fixed_tier: str | None
    fixed_until: datetime | None
    fixed_floor: bool
    due_at: datetime | None
    members: Sequence[int]


class LogRow(NamedTuple):
    """A row of `tier_log`, without its number."""

    person: int
    members: Sequence[int]
    at: datetime
    cause: str
    former: str
    tier: str
    since: datetime | None
    until: datetime | None
    grace_until: datetime | None
    fixed_tier: str | None
    fixed_until: datetime | None
    fixed_floor: bool
    ladder: int
    figures: str
    event: str | None
    by: str
    reason: str


class StoredLadder(NamedTuple):
    """A version of the ladder."""

    version: int
    ladder: Ladder
    at: datetime
    by: str
    built_at: datetime | None


# The ladder.


async def ladders(connection: Any, limit: int) -> list[StoredLadder]:
    """The newest versions, newest first."""
    rows = await connection.fetch(
        'SELECT version, ladder, at, "by", built_at FROM tier_ladders ORDER BY version DESC LIMIT $1', limit
    )
    return [StoredLadder(row[0], msgspec.json.decode(row[1], type=Ladder), *tuple(row)[2:]) for row in rows]


async def ladder_at(connection: Any, at: datetime) -> Ladder | None:
    """The ladder that was in force at an instant; None: the brand had none of its own."""
    text = await connection.fetchval("SELECT ladder FROM tier_ladders WHERE at <= $1 ORDER BY version DESC LIMIT 1", at)
    return None if text is None else msgspec.json.decode(text, type=Ladder)


async def birthdays_looked(connection: Any) -> date | None:
    """The last day on which somebody looked whose birthday it is; None: nobody ever did."""
    text = await read_figure(connection, BIRTHDAY_FIGURE)
    return None if text is None else msgspec.json.decode(text, type=date)


async def note_birthdays(connection: Any, day: date, at: datetime) -> None:
    """Somebody looked on that day. It never goes back: who was slower has nothing to add."""
    await connection.execute(
        "INSERT INTO profile_figures AS f (name, value, changed_at) VALUES ($1, $2, $3) ON CONFLICT (name)"
        " DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at WHERE f.value < excluded.value",
        BIRTHDAY_FIGURE, msgspec.json.encode(day).decode(), at,
    )  # fmt: skip


async def newest_version(connection: Any) -> tuple[int, datetime | None]:
    """(version, built_at) of the ladder in force; version 0 before there is one."""
    row = await connection.fetchrow("SELECT version, built_at FROM tier_ladders ORDER BY version DESC LIMIT 1")
    return (0, None) if row is None else (row[0], row[1])


async def add_ladder(connection: Any, version: int, ladder: Ladder, at: datetime, by: str) -> bool:
    """Store a version; False when somebody else stored it first."""
    status = await connection.execute(
        'INSERT INTO tier_ladders (version, ladder, at, "by") VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING',
        version, msgspec.json.encode(ladder).decode(), at, by,
    )  # fmt: skip
    if status.endswith("1"):
        await connection.execute(
            "INSERT INTO profile_figures (name, value, changed_at) VALUES ($1, $2, $3)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at",
            TIER_FIGURE, msgspec.json.encode(ladder.tiers[0].name).decode(), at,
        )  # fmt: skip
    return bool(status.endswith("1"))


async def mark_built(connection: Any, version: int, at: datetime) -> None:
    """Everybody was looked at with this version."""
    await connection.execute(
        "UPDATE tier_ladders SET built_at = $2 WHERE version = $1 AND built_at IS NULL", version, at
    )


# Standings.


async def rows_of(connection: Any, persons: Collection[int], *, lock: bool = False) -> dict[int, TierRow]:
    """Person → row; with `lock` nobody else writes them until the transaction ends."""
    rows = await connection.fetch(
        f"SELECT {_ROW} FROM person_tiers WHERE person = ANY($1::bigint[]) ORDER BY person"
        f"{' FOR UPDATE' if lock else ''}",
        list(persons),
    )
    return {row[0]: TierRow(*row) for row in rows}


async def settled(connection: Any, persons: Sequence[int] | None) -> list[tuple[str, list[int]]]:
    """(tier, persons) of those whom the figures keep where they are, and time cannot move: these persons, or all."""
    where, args = ("", []) if persons is None else (" AND person = ANY($1::bigint[])", [list(persons)])
    rows = await connection.fetch(
        "SELECT tier, array_agg(person) FROM person_tiers"
        f" WHERE reached = tier AND due_at IS NULL AND fixed_tier IS NULL{where} GROUP BY tier",
        *args,
    )
    return [(row[0], row[1]) for row in rows]


async def all_persons(connection: Any) -> list[int]:
    """Everybody with a standing."""
    return await connection.fetchval("SELECT array_agg(person ORDER BY person) FROM person_tiers") or []


async def members_of(connection: Any, persons: Sequence[int]) -> dict[int, list[int]]:
    """Person → the identifiers that are theirs for ever; the person's own number where there are none."""
    return {row[0]: row[1] for row in await connection.fetch(_MEMBERS_OF, _LASTING, list(persons))}


async def stale(connection: Any) -> list[int]:
    """Persons whose identifiers are others than their standing was decided for."""
    return [row[0] for row in await connection.fetch(_STALE, _LASTING)]


async def begin(connection: Any, persons: Sequence[int], tier: str) -> None:
    """Put persons of whom nothing was ever decided on the lowest tier."""
    await connection.execute(_BEGIN, _LASTING, list(persons), tier)


async def write_rows(connection: Any, rows: Sequence[TierRow]) -> None:
    """Write standings."""
    if rows:
        columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
        columns[-1] = [" ".join(map(str, members)) for members in columns[-1]]
        await connection.execute(_WRITE, *columns)


async def remove(connection: Any, persons: Collection[int]) -> int:
    """They are nobody any more; how many rows. What was decided stays."""
    status = await connection.execute("DELETE FROM person_tiers WHERE person = ANY($1::bigint[])", list(persons))
    return int(status.split()[-1])


async def due(connection: Any, at: datetime) -> set[int]:
    """Persons of whom time alone may have changed the tier."""
    return {row[0] for row in await connection.fetch("SELECT person FROM person_tiers WHERE due_at <= $1", at)}


async def counts(connection: Any) -> dict[str, int]:
    """How many persons are on each tier."""
    return dict(await connection.fetch("SELECT tier, count(*) FROM person_tiers GROUP BY tier"))


async def persons_on(connection: Any, tier: str, after: int, limit: int) -> list[int]:
    """A page of the persons on a tier, in the order of their numbers."""
    rows = await connection.fetch(
        "SELECT person FROM person_tiers WHERE tier = $1 AND person > $2 ORDER BY person LIMIT $3", tier, after, limit
    )
    return [row[0] for row in rows]


# What was decided.


async def add_log(connection: Any, rows: Sequence[LogRow]) -> list[int]:
    """Append; the numbers."""
    if not rows:
        return []
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    columns[1] = [" ".join(map(str, members)) for members in columns[1]]
    return [row[0] for row in await connection.fetch(_ADD_LOG, *columns)]


async def decided(connection: Any, anchors: Iterable[int]) -> list[tuple[int, LogRow]]:
    """(seq, row) of everything decided for any of these identifiers, the newest first."""
    rows = await connection.fetch(_DECIDED, list(anchors))
    return [(row[0], LogRow(*tuple(row)[1:])) for row in rows]


async def touch_segments(connection: Any, persons: Sequence[int]) -> None:
    """Their tier changed: segments that name it look at them again."""
    await connection.execute(
        "INSERT INTO segment_touches (anchors) SELECT $1 WHERE EXISTS ("
        "SELECT FROM segments WHERE strpos(replace(rule, ' ', ''), '\"person\":\"tier\"') > 0)",
        b"".join(person.to_bytes(4, "little") for person in persons),
    )


async def scrub(connection: Any, anchors: Sequence[int], person: int) -> dict[str, int]:
    """Remove what is kept of an erased person: rows by table."""
    numbers = sorted({person, *anchors})
    removed = {"person_tiers": await remove(connection, numbers)}
    await connection.execute("SELECT set_config('siyu.erasing', 'on', true)")
    status = await connection.execute(
        "DELETE FROM tier_log WHERE members && $1::bigint[] OR person = ANY($1::bigint[])", numbers
    )
    await connection.execute("SELECT set_config('siyu.erasing', 'off', true)")
    return removed | {"tier_log": int(status.split()[-1])}
