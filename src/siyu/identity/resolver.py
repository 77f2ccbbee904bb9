"""From the sightings of a batch to persons: the processor's door to identity.

A batch brings one row per (event's anchor, other identifier it carried). Nearly all repeat what is known and fall to
`PairMemory`; what is new becomes links, and the persons they touch are computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import numpy as np
import numpy.typing as npt

from siyu.identity import link_records as records
from siyu.identity.evidence import NAMED_KIND, Identifier, Tier, link_id, stronger_first
from siyu.identity.link_records import Change, LinkRow
from siyu.identity.pair_memory import PairMemory
from siyu.identity.recompute import Recompute
from siyu.identity.resolution import BEGINNING, END, link_weight
from siyu.ids import base_kind, identifier_key, identifier_uid
from siyu.store.clickhouse import EventStore

_BOUND_MAX: Final = 1_000_000


class Statement(NamedTuple):
    """What an event declares beyond having carried identifiers (collect.event.Link)."""

    rule: str
    """`alias` or `unbind`."""
    first: int | str
    """Anchor of the identifier named or removed; a text is a value of unknown kind (alias only)."""
    second: int | str | None
    """Anchor of the one it is the same as, or of the owner it is removed from."""
    at_ms: int
    row: int


class Evidence(NamedTuple):
    """What a batch says about identity. The first five are columns of equal length, one row per pair."""

    owner: npt.NDArray[np.uint32]
    """Anchor of the event. 0 in either column: an erased identifier, ignored."""
    other: npt.NDArray[np.uint32]
    """Another identifier the event carried."""
    at_ms: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    """Place of the event in the batch."""
    stated: npt.NDArray[np.bool_]
    """The event binds the two (rule `bind`); else they merely stood on it."""
    statements: Sequence[Statement]
    anchors: npt.NDArray[np.uint32]
    """Distinct identifiers of the batch."""
    origin: Callable[[int], tuple[str, str]]
    """Place of an event → (event_id, source)."""


class Resolver:
    """One per processor. Its memory describes committed batches: after a failed one make a new Resolver.

    The events of a batch must be in ClickHouse before it is absorbed."""

    def __init__(self, secret: bytes, members_max: int) -> None:
        self._secret = secret
        self._members_max = members_max
        self._writer = uuid4()
        self._memory = PairMemory()
        self._bound: set[int] = set()
        self._named_checked = np.zeros(1 << 16, np.bool_)
        self._seq: int | None = None

    async def absorb(self, connection: Any, events: EventStore, evidence: Evidence) -> set[int]:
        """Take a batch in; the anchors whose person changed, at whatever time.

        Runs in the caller's transaction (READ COMMITTED), best at its end: from the first change on no other process
        can change links until it commits. Raises EngineUnavailable."""
        await self._notice_others(connection)
        sighted = self._sighted(evidence)
        unnamed = self._unchecked(evidence.anchors)
        statements = [s for s in evidence.statements if s.first != 0 and s.second != 0]
        if not sighted and not statements and not unnamed:
            return set()
        names = await records.names_of(connection, unnamed) if unnamed else []
        ids = {end for pair in sighted for end in pair} | {end for pair in names for end in pair}
        known = await records.identifiers_of(connection, ids)
        rows, seeds = await self._news(connection, sighted, known)
        if not rows and not names and not statements and not seeds:
            self._named_checked[unnamed] = True
            return set()
        await records.lock_writers(connection)
        await self._notice_others(connection)
        rows += [_row(known[a], known[b], "named", BEGINNING, "", "") for a, b in names]
        rows += await self._declared(connection, statements, evidence.origin)
        moved = await self._write(connection, events, rows, seeds, known)
        self._named_checked[unnamed] = True
        return moved

    async def _notice_others(self, connection: Any) -> None:
        """Forget what other processes changed. The shared lock waits for one that is about to commit: it has read the
        events of the time before, this process must see its marks before judging the events since."""
        await records.run(connection, "SELECT pg_advisory_lock_shared($1)", records.WRITER_LOCK)
        try:
            if self._seq is None:
                self._seq = await records.last_change(connection)
            lost, changes = await records.changes_after(connection, self._seq)
            if lost:
                self._memory = PairMemory()
            for seq, writer, change in changes:
                self._seq = seq
                if writer != self._writer:
                    self._memory.forget(change.moved)
                    self._memory.forget(change.touched)
        finally:
            await records.run(connection, "SELECT pg_advisory_unlock_shared($1)", records.WRITER_LOCK)

    def _sighted(self, evidence: Evidence) -> dict[tuple[int, int], _Sighting]:
        """(owner, other) → the earliest sighting among those that may change something."""
        owner, other, at_ms = evidence.owner, evidence.other, evidence.at_ms
        places = self._memory.unsettled(owner, other, at_ms)
        if evidence.stated.any():
            bound = np.flatnonzero(evidence.stated).tolist()
            places += [p for p in bound if int(owner[p]) << 32 | int(other[p]) not in self._bound]
        found: dict[tuple[int, int], _Sighting] = {}
        for place in places:
            pair = (int(owner[place]), int(other[place]))
            if pair[0] == pair[1] or 0 in pair:
                continue
            at, before = int(at_ms[place]), found.get(pair)
            if before is None or at <= before.at_ms:
                sighting = _Sighting(at, *evidence.origin(int(evidence.row[place])), bool(evidence.stated[place]))
                if before is not None:
                    sighting = min(before, sighting)._replace(stated=before.stated or sighting.stated)
                found[pair] = sighting
            elif evidence.stated[place]:
                found[pair] = before._replace(stated=True)
        return found

    def _unchecked(self, anchors: npt.NDArray[np.uint32]) -> list[int]:
        """Identifiers not yet asked whether an alias names their value."""
        if not len(anchors):
            return []
        top = int(anchors.max())
        if top >= len(self._named_checked):
            more = np.zeros(max(top + 1, 2 * len(self._named_checked)) - len(self._named_checked), np.bool_)
            self._named_checked = np.concatenate([self._named_checked, more])
        unchecked: list[int] = anchors[~self._named_checked[anchors] & (anchors != 0)].tolist()
        return unchecked

    async def _news(
        self,
        connection: Any,
        sighted: dict[tuple[int, int], _Sighting],
        known: dict[int, tuple[Identifier, UUID]],
    ) -> tuple[list[LinkRow], set[int]]:
        """(links to write, identifiers whose persons may change though no link does)."""
        wanted: dict[tuple[int, int], tuple[_Sighting, tuple[int, int]]] = {}
        for (owner, other), sighting in sighted.items():
            if owner not in known or other not in known:
                continue
            a, b = stronger_first(known[owner][0], known[other][0])
            before = wanted.get((a.id, b.id))
            wanted[a.id, b.id] = (min(sighting, before[0]) if before else sighting, (owner, other))
        there = await records.find_pairs(connection, list(wanted))
        rows: list[LinkRow] = []
        seeds: set[int] = set()
        for (a_id, b_id), (sighting, pair) in wanted.items():
            row = there.get((a_id, b_id))
            rule = "bind" if sighting.stated else "seen"
            if sighting.stated:
                self._remember_bound(pair)
            if row is None:
                rows.append(_row(known[a_id], known[b_id], rule, *sighting[:3]))
                continue
            sooner = tuple(sighting[:3]) < (row.first_ms, row.event_id, row.source)
            if sooner or (rule == "bind" and row.rule != "bind"):
                new = _row(known[a_id], known[b_id], rule, *sighting[:3])
                # An earlier sighting may bring a link back under the cap.
                rows.append(new._replace(capped=row.capped and sooner))
                if sooner and (row.capped or row.exact or row.weight // 10 != Tier.CARRIED):
                    seeds |= {a_id, b_id}
            if row.exact and not row.capped:
                seeds |= {a_id, b_id}
            else:
                self._memory.learn(*pair, ((min(row.first_ms, sighting.at_ms) + 1, END),))
        return rows, seeds

    def _remember_bound(self, pair: tuple[int, int]) -> None:
        if len(self._bound) >= _BOUND_MAX:
            self._bound.clear()
        self._bound.add(pair[0] << 32 | pair[1])

    async def _declared(
        self, connection: Any, statements: Sequence[Statement], origin: Callable[[int], tuple[str, str]]
    ) -> list[LinkRow]:
        """Links of aliases and unbinds, and between a value that an alias names and the identifiers that have it."""
        named = await self._register_named(connection, statements, origin)
        ends = {end for s in statements for end in (s.first, s.second) if isinstance(end, int)} | set(named.values())
        having = await records.named_by(connection, sorted(set(named.values())))
        known = await records.identifiers_of(connection, ends | {id_ for id_, _ in having})
        rows = [_row(known[id_], known[value], "named", BEGINNING, "", "") for id_, value in having]
        for statement in statements:
            first = named[statement.first] if isinstance(statement.first, str) else statement.first
            second = named[statement.second] if isinstance(statement.second, str) else statement.second
            if statement.rule == "unbind":
                rows.append(
                    _row(known[first], known[second or first], "unbind", statement.at_ms, *origin(statement.row))
                )
            elif second is not None and first != second:
                rows.append(_row(known[first], known[second], "alias", statement.at_ms, *origin(statement.row)))
        return rows

    async def _register_named(
        self, connection: Any, statements: Iterable[Statement], origin: Callable[[int], tuple[str, str]]
    ) -> dict[str, int]:
        """Value of unknown kind → its number."""
        values = {
            value: (statement.at_ms, origin(statement.row)[1])
            for statement in statements
            for value in (statement.first, statement.second)
            if isinstance(value, str)
        }
        if not values:
            return {}
        uids = {identifier_uid(identifier_key(NAMED_KIND, value), self._secret): value for value in values}
        return await records.register_named(
            connection, [(uid, value, *values[value]) for uid, value in sorted(uids.items())]
        )

    async def _write(
        self,
        connection: Any,
        events: EventStore,
        rows: list[LinkRow],
        seeds: set[int],
        known: dict[int, tuple[Identifier, UUID]],
    ) -> set[int]:
        """Write links, compute the persons they touch; the anchors that moved."""
        leaves = await self._leaves(connection, rows, known)
        await records.add_links(connection, rows)
        await records.uncap_links(connection, [row.link_id for row in rows if row.capped])
        await records.replace_spans(connection, {b: ((BEGINNING, person),) for b, person in leaves.items()}, new=True)
        seeds = seeds | {end for row in rows for end in (row.a, row.b) if row.b not in leaves}
        moved = set(leaves)
        touched = {row.b for row in rows} - moved
        handed: set[int] = set()
        if seeds:
            outcome = await Recompute(connection, events, self._members_max).run(seeds)
            moved |= outcome.moved
            handed = outcome.handed
            touched |= outcome.touched
            for row, quiet in outcome.settled:
                if not self._memory.knows(row.b, row.a):
                    self._memory.learn(row.a, row.b, quiet)
                else:
                    self._memory.learn(row.b, row.a, quiet)
        for row in rows:
            if row.b in leaves:
                self._memory.learn(row.a, row.b, ((row.first_ms + 1, END),))
        await records.add_change(connection, self._writer, Change(list(moved), list(touched - moved), list(handed)))
        return moved

    async def _leaves(
        self, connection: Any, rows: Sequence[LinkRow], known: dict[int, tuple[Identifier, UUID]]
    ) -> dict[int, int]:
        """Carried identifiers met for the first time, with one owner that has not changed hands: → the owner's person.

        The bulk of what is new, so it is not worth a recomputation; the result is the same."""
        uses: dict[int, int] = {}
        for row in rows:
            for end in (row.a, row.b):
                uses[end] = uses.get(end, 0) + 1
        weaker = {row.b for row in rows}
        candidates = [
            row
            for row in rows
            if row.weight // 10 == Tier.CARRIED
            and uses[row.b] == 1
            and row.a not in weaker
            and base_kind(known[row.a][0].kind) != base_kind(known[row.b][0].kind)
        ]
        fresh = await records.without_links(connection, [row.b for row in candidates]) if candidates else set()
        owners = sorted({row.a for row in candidates if row.b in fresh})
        if not owners:
            return {}
        spans = await records.spans_of(connection, owners)
        room = await records.room_for_carried(connection, owners, self._members_max)
        leaves: dict[int, int] = {}
        for row in candidates:
            person = spans.get(row.a, ((BEGINNING, row.a),))
            if row.b in fresh and len(person) == 1 and room.get(row.a, 0) >= uses[row.a]:
                leaves[row.b] = person[0][1]
        return leaves


class _Sighting(NamedTuple):
    at_ms: int
    event_id: str
    source: str
    stated: bool


def _row(one: tuple[Identifier, UUID], other: tuple[Identifier, UUID], rule: str, at_ms: int, *origin: str) -> LinkRow:
    """A new link; `a` is the stronger, of an unbind the one removed. `origin`: event_id, source."""
    event_id, source = origin
    uids = {one[0].id: one[1], other[0].id: other[1]}
    a, b = (one[0], other[0]) if rule == "unbind" else stronger_first(one[0], other[0])
    return LinkRow(
        link_id(uids[a.id], uids[b.id], rule, at_ms),
        a.id,
        b.id,
        rule,
        link_weight(rule, a.kind, b.kind),
        at_ms,
        event_id,
        source,
    )
