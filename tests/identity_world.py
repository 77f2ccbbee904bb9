"""Evidence for identity tests: plain data, what follows from it by the pure function, and through the stores."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

import numpy as np
import pyarrow as pa

from siyu.identity import link_records as records
from siyu.identity.anchors import AnchorRegistry, Sightings
from siyu.identity.evidence import Identifier, Link, link_id, rank, stronger_first
from siyu.identity.resolution import BEGINNING, Spans, resolve
from siyu.identity.resolver import Evidence, Resolver, Statement
from siyu.ids import identifier_key, identifier_uid, split_key
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

SECRET = b"identity tests"
DAY0_MS = 1_700_000_000_000


def key(text: str) -> str:
    """`user_id=u1` → identifier key."""
    kind, _, value = text.partition("=")
    return identifier_key(kind, value)


class Seen(NamedTuple):
    """An event that carried these identifiers (`kind=value`), at so many seconds."""

    at: int
    carried: tuple[str, ...]
    stated: bool = False


class Said(NamedTuple):
    """A declaration: rule `alias` or `unbind` about two identifiers; `any=value` is of unknown kind."""

    at: int
    rule: str
    first: str
    second: str | None = None


Fact = Seen | Said
Persons = dict[str, tuple[tuple[int, str], ...]]
"""Identifier → ((since seconds, person), …)."""


def arranged(fact: Seen) -> list[str]:
    """Strongest first, as doors do it."""
    return sorted(dict.fromkeys(fact.carried), key=lambda text: rank(text.partition("=")[0]))


def event_id(fact: Fact) -> str:
    return "/".join(map(str, fact))


def at_ms(fact: Fact) -> int:
    return DAY0_MS + fact.at * 1000


def existing(facts: Iterable[Fact]) -> list[str]:
    """Identifiers with evidence of their own: carried by an event, or named with their kind."""
    found: set[str] = set()
    for fact in facts:
        ends = fact.carried if isinstance(fact, Seen) else (fact.first, fact.second)
        found.update(end for end in ends if end and not end.startswith("any="))
    return sorted(found)


def links_of(facts: Sequence[Fact], numbers: dict[str, int]) -> dict[UUID, tuple[Link, str]]:
    """The set of links the facts amount to, each with the id of its earliest event."""
    identifiers = {n: Identifier(n, text.partition("=")[0], key(text)) for text, n in numbers.items()}
    uids = {n: identifier_uid(key(text), SECRET) for text, n in numbers.items()}
    times: dict[UUID, tuple[int, int, str, set[tuple[int, str]]]] = {}

    def add(one: int, other: int, rule: str, at: int, source: str) -> None:
        a, b = (
            (identifiers[one], identifiers[other])
            if rule == "unbind"
            else stronger_first(identifiers[one], identifiers[other])
        )
        id_ = link_id(uids[a.id], uids[b.id], rule, at)
        entry = times.setdefault(id_, (a.id, b.id, rule, set()))
        entry[3].add((at, source))

    for fact in facts:
        if isinstance(fact, Seen):
            anchor, *others = arranged(fact)
            for other in others:
                add(numbers[anchor], numbers[other], "seen", at_ms(fact), event_id(fact))
        elif fact.rule == "unbind":
            add(numbers[fact.first], numbers[fact.second or fact.first], "unbind", at_ms(fact), event_id(fact))
        elif fact.second and fact.first != fact.second:
            add(numbers[fact.first], numbers[fact.second], "alias", at_ms(fact), event_id(fact))
    for text, number in numbers.items():
        if text.startswith("any="):
            for kind in ("user_id", "anonymous_id"):
                if (owner := numbers.get(f"{kind}={text[4:]}")) is not None:
                    add(owner, number, "named", BEGINNING, "")
    return {
        id_: (Link(id_, a, b, rule, tuple(sorted({at for at, _ in seen}))), min(seen)[1])
        for id_, (a, b, rule, seen) in times.items()
    }


def numbered(facts: Sequence[Fact]) -> dict[str, int]:
    named = {end for f in facts if isinstance(f, Said) for end in (f.first, f.second) if end and end.startswith("any=")}
    return {text: n for n, text in enumerate([*existing(facts), *sorted(named)], 1)}


def expected(
    facts: Sequence[Fact], members_max: int = 1000, retracted: frozenset[UUID] = frozenset()
) -> tuple[Persons, dict[UUID, tuple[str, str]]]:
    """Persons by the pure function, and (code, kind) of what it refused."""
    numbers = numbered(facts)
    identifiers = {n: Identifier(n, text.partition("=")[0], key(text)) for text, n in numbers.items()}
    links = [link for id_, (link, _) in links_of(facts, numbers).items() if id_ not in retracted]
    resolution = resolve(identifiers, links, members_max)
    names = {n: text for text, n in numbers.items()}
    persons = {names[id_]: named_spans(spans, names) for id_, spans in resolution.spans.items()}
    return persons, {id_: (reason.code, reason.kind) for id_, reason in resolution.refused.items()}


def named_spans(spans: Spans, names: dict[int, str]) -> tuple[tuple[int, str], ...]:
    return tuple((0 if since == 0 else (since - DAY0_MS) // 1000, names[person]) for since, person in spans)


class World:
    """Stores and one or more processors' resolvers."""

    def __init__(self, db: Database, events: EventStore, members_max: int = 1000, processors: int = 1) -> None:
        self.db = db
        self.events = events
        self.members_max = members_max
        self._batch = 0
        self.restart(processors)

    def restart(self, processors: int = 1) -> None:
        """Forget everything in memory."""
        self.resolvers = [Resolver(SECRET, self.members_max) for _ in range(processors)]
        self.registry = AnchorRegistry(SECRET)

    async def clear(self, processors: int = 1) -> None:
        async with self.db.driver() as connection:
            await connection.execute("TRUNCATE identifiers, links, memberships, identity_changes, tombstones")
        await self.events.command("TRUNCATE TABLE events")
        self.restart(processors)

    async def absorb(self, facts: Sequence[Fact], processor: int = 0) -> set[int]:
        """One batch, as the processor does it: register, store, absorb."""
        keys = [key(text) for text in existing(facts)]
        instants = [at_ms(fact) for fact in facts]
        async with self.db.driver() as connection, connection.transaction():
            low = np.full(len(keys), min(instants), np.int64)
            anchors = await self.registry.register(
                connection, Sightings(keys, low, np.full(len(keys), max(instants), np.int64), ["web"] * len(keys))
            )
        number = dict(zip(existing(facts), anchors.tolist(), strict=True))
        await self._store(facts, number)
        async with self.db.begin() as connection:
            return await self.resolvers[processor].absorb(connection, self.events, evidence(facts, number))

    async def _store(self, facts: Sequence[Fact], number: dict[str, int]) -> None:
        seen = [fact for fact in facts if isinstance(fact, Seen)]
        if not seen:
            return
        self._batch += 1
        size = len(seen)
        at = pa.array([at_ms(fact) for fact in seen], pa.timestamp("ms", tz="UTC"))
        rows = pa.table(
            {
                "anchor": pa.array([number[arranged(fact)[0]] for fact in seen], pa.uint32()),
                "occurred_at": at,
                "received_at": at,
                "name": pa.array(["seen"] * size),
                "end": pa.array(["web"] * size),
                "source": pa.array(["web"] * size),
                "event_id": pa.array([event_id(fact) for fact in seen]),
                "others": pa.array(
                    [[number[text] for text in arranged(fact)[1:]] for fact in seen], pa.list_(pa.uint32())
                ),
                "value_fen": pa.array([0] * size, pa.int64()),
                "properties": pa.array(["{}"] * size),
                "context": pa.array(["{}"] * size),
                "batch": pa.array([self._batch] * size, pa.uint64()),
            }
        )
        await self.events.insert("events", rows)

    async def persons(self) -> Persons:
        """Who is who, as stored."""
        async with self.db.connect() as connection:
            rows = await records.run(connection, "SELECT id, kind, value FROM identifiers")
            names = {row[0]: f"{row[1]}={row[2]}" for row in rows}
            spans = await records.spans_of(connection, [id_ for id_, text in names.items() if text[:4] != "any="])
        own = {id_: ((BEGINNING, id_),) for id_, text in names.items() if text[:4] != "any="}
        return {names[id_]: named_spans(parts, names) for id_, parts in (own | spans).items()}

    async def links(self) -> dict[UUID, tuple[int, str, str | None, str | None]]:
        """Link → (first time, event, refused, clash)."""
        async with self.db.connect() as connection:
            rows = await records.run(connection, "SELECT link_id, first_ms, event_id, refused, clash FROM links")
        return {UUID(int=row[0].int): tuple(row[1:]) for row in rows}


def evidence(facts: Sequence[Fact], number: dict[str, int]) -> Evidence:
    """The columns a processor would make of these facts."""
    pairs = [
        (number[arranged(fact)[0]], number[other], at_ms(fact), row, fact.stated)
        for row, fact in enumerate(facts)
        if isinstance(fact, Seen)
        for other in arranged(fact)[1:]
    ]
    owner, other, at, rows, stated = zip(*pairs, strict=True) if pairs else ((), (), (), (), ())

    def end(text: str | None) -> int | str | None:
        if text is None:
            return None
        return split_key(key(text))[1] if text.startswith("any=") else number[text]

    return Evidence(
        np.array(owner, np.uint32),
        np.array(other, np.uint32),
        np.array(at, np.int64),
        np.array(rows, np.int64),
        np.array(stated, np.bool_),
        [
            Statement(fact.rule, end(fact.first), end(fact.second), at_ms(fact), row)
            for row, fact in enumerate(facts)
            if isinstance(fact, Said)
        ],
        np.array(sorted(number.values()), np.uint32),
        lambda row: (event_id(facts[row]), "web"),
    )


POOL = [
    *(f"user_id=u{n}" for n in (1, 2, 3)),
    *("unionid=n1", "unionid=n2", "external_userid:c=x1", "external_userid:d=x2", "openid:m=o1", "openid:m=o2"),
    *("phone=p1", "phone=p2", "email=e1", "email=e2"),
    *("anonymous_id=a1", "anonymous_id=a2", "anonymous_id=u1", "device=d1", "device=d2"),
]


def random_facts(chooser: random.Random, size: int, *, sparse: bool = False) -> list[Fact]:
    """Facts over a small pool, so that everything collides."""
    pool = chooser.sample(POOL, 8) if sparse else POOL
    facts: list[Fact] = []
    for _ in range(size):
        at = chooser.randrange(1, 30)
        roll = chooser.random()
        if roll < 0.8:
            facts.append(Seen(at, tuple(chooser.sample(pool, chooser.choice((2, 2, 2, 3)))), chooser.random() < 0.2))
        elif roll < 0.9:
            named = chooser.choice([*pool, "any=u1", "any=a1", "any=u9"])
            facts.append(Said(at, "alias", named, chooser.choice(pool)))
        else:
            facts.append(Said(at, "unbind", chooser.choice(pool), chooser.choice([None, *pool])))
    return facts
