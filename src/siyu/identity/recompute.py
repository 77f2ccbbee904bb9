"""Persons of the touched part of the evidence, computed again and written where they differ.

Everything here only feeds `resolution.resolve` with what it needs and keeps its answer. The evidence of a person is
small; a carried identifier (a shared tablet) is looked at alone, so that it does not tie its users' evidence together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple
from uuid import UUID

from siyu.identity import link_records as records
from siyu.identity.contention import Components, Group, Intervals, contended, quiet
from siyu.identity.evidence import Identifier, Link, Tier, is_carried, is_current
from siyu.identity.exact_times import exact_times
from siyu.identity.link_records import LinkRow
from siyu.identity.parts import cuts_of
from siyu.identity.resolution import BEGINNING, Resolution, Spans, resolve
from siyu.store.clickhouse import EventStore


class Settled(NamedTuple):
    """A weighed link, and when a further sighting of it changes nothing."""

    row: LinkRow
    quiet: Intervals


class Outcome(NamedTuple):
    """What a recomputation found."""

    moved: set[int]
    """Anchors whose person changed, at whatever time."""
    touched: set[int]
    """Ends of links whose standing changed."""
    handed: set[int]
    """Of the moved: those with several persons over time, before or now."""
    settled: list[Settled]


class Recompute:
    """One recomputation, in the caller's transaction, under `link_records.lock_writers`."""

    def __init__(self, connection: Any, events: EventStore, members_max: int) -> None:
        self._connection = connection
        self._events = events
        self._members_max = members_max
        self._identifiers: dict[int, Identifier] = {}
        self._owners: dict[int, Identifier] = {}
        self._outside: dict[int, Spans] = {}
        self._rows: dict[UUID, LinkRow] = {}
        self._groups: list[Group] = []
        self._read: dict[UUID, object] = {}
        self._times: dict[UUID, list[int]] = {}
        self._resolution = Resolution({}, {}, frozenset())
        self._weighed: dict[UUID, Link] = {}
        self._resolved: set[int] = set()
        self._old: dict[int, Spans] = {}

    async def run(self, seeds: Collection[int]) -> Outcome:
        """Recompute what the links of `seeds` reach. Raises EngineUnavailable."""
        capped = await records.cap(self._connection, sorted(seeds), self._members_max)
        touched = {end for ends in capped for end in ends}
        await self._load_core(touched.union(seeds))
        await self._weigh()
        moved = {id_ for id_ in self._moved() if not self._carried(id_)}
        followed = await self._following(())
        await self._load_carried(followed)
        await self._weigh()
        moved = self._moved()
        while waiting := await self._following(moved) - followed:
            followed |= waiting
            await self._load_carried(waiting)
            await self._weigh()
            moved = self._moved()
        await records.replace_spans(self._connection, {id_: self._resolution.spans[id_] for id_ in moved})
        marked = self._mark()
        await records.mark_links(self._connection, marked)
        touched |= {end for row in marked for end in (row.a, row.b)}
        # Whoever loses an identifier is concerned too, and is not found by it any more.
        touched |= {person for id_ in moved for _, person in self._old.get(id_, ())} - moved
        handed = {id_ for id_ in moved if max(len(self._resolution.spans[id_]), len(self._old.get(id_, ()))) > 1}
        return Outcome(moved, touched, handed, self._settled())

    async def _following(self, moved: Collection[int]) -> set[int]:
        """Carried identifiers at hand, and those that follow one that moved."""
        at_hand = {id_ for id_ in self._identifiers if self._carried(id_)}
        return at_hand | set(await records.followers(self._connection, sorted(moved))) if moved else at_hand

    def _carried(self, id_: int) -> bool:
        return is_carried(self._identifiers[id_].kind)

    async def _load_core(self, seeds: Iterable[int]) -> None:
        """The links that can join `seeds` to others, theirs, and so on to the end."""
        frontier = set(seeds) - self._identifiers.keys()
        loaded: set[int] = set()
        while frontier:
            rows = await records.core_links(self._connection, sorted(frontier))
            self._rows |= {row.link_id: row for row in rows}
            loaded |= frontier
            ends = {end for row in rows if row.rule != "unbind" for end in (row.a, row.b)}
            frontier = ends - loaded - self._identifiers.keys()
        if loaded:
            found = await records.identifiers_of(self._connection, loaded)
            self._identifiers |= {id_: identifier for id_, (identifier, _) in found.items()}
            self._old |= await records.spans_of(self._connection, loaded)

    async def _load_carried(self, ids: Collection[int]) -> None:
        """Whom these carried identifiers were seen with, and whose those are."""
        await self._load_core(ids)
        rows = await records.carried_links(self._connection, sorted(ids))
        self._rows |= {row.link_id: row for row in rows}
        strangers = {row.a for row in rows} - self._identifiers.keys() - self._owners.keys()
        if strangers:
            known = await records.spans_of(self._connection, strangers)
            self._outside |= {id_: known.get(id_, ((BEGINNING, id_),)) for id_ in strangers}
            found = await records.identifiers_of(self._connection, strangers)
            self._owners |= {id_: identifier for id_, (identifier, _) in found.items()}

    def _moved(self) -> set[int]:
        spans = self._resolution.spans
        return {id_ for id_ in spans if spans[id_] != self._old.get(id_, ((BEGINNING, id_),))}

    async def _weigh(self) -> None:
        """Resolve; where the result makes further times matter, read them and resolve again."""
        resolved = False
        while True:
            everyone = self._owners | self._identifiers
            spans = self._outside | self._resolution.spans
            cuts = cuts_of(_plain(row) for row in self._rows.values() if row.rule == "unbind")
            self._groups = contended(everyone, self._rows.values(), spans, cuts)
            unread = [group for group in self._groups if not self._is_read(group)]
            if resolved and not unread:
                return
            if unread:
                times = await exact_times(self._events, [wanted for group in unread for wanted in group.values()])
                for group in unread:
                    self._read.update(dict.fromkeys(group, _sign(group)))
                    self._times.update((id_, times.get((wanted.a, wanted.b), [])) for id_, wanted in group.items())
            exact = {id_ for group in self._groups for id_ in group}
            links = [
                _plain(row)._replace(times=tuple(sorted({row.first_ms, *self._times[row.link_id]})))
                if row.link_id in exact
                else _plain(row)
                for row in self._rows.values()
            ]
            self._resolve({link.link_id: link for link in links})
            resolved = True

    def _resolve(self, links: dict[UUID, Link]) -> None:
        """Resolve the parts of the evidence that are not as they were when it was last resolved: what is not connected
        by any link is independent."""
        identifiers, before = self._identifiers, self._resolution
        if self._weighed:
            part = Components((row.a, row.b) for row in self._rows.values())
            stale = {part(link.a) for id_, link in links.items() if self._weighed.get(id_) != link}
            stale |= {part(id_) for id_ in identifiers.keys() - self._resolved}
            identifiers = {id_: identifier for id_, identifier in identifiers.items() if part(id_) in stale}
            subset = {id_: link for id_, link in links.items() if part(link.a) in stale}
        else:
            subset = links
        outside = {
            id_: (identifier, self._outside[id_])
            for id_, identifier in self._owners.items()
            if id_ not in self._identifiers
        }
        after = resolve(identifiers, subset.values(), self._members_max, outside)
        self._resolution = Resolution(
            before.spans | after.spans,
            {id_: reason for id_, reason in before.refused.items() if id_ not in subset} | after.refused,
            (before.passed - subset.keys()) | after.passed,
        )
        self._weighed = links
        self._resolved = set(self._identifiers)

    def _is_read(self, group: Group) -> bool:
        sign = _sign(group)
        return all(self._read.get(id_) == sign for id_ in group)

    def _mark(self) -> list[LinkRow]:
        """Rows whose marks changed, as they are now."""
        exact = {id_ for group in self._groups for id_ in group}
        changed = []
        for row in self._rows.values():
            reason = self._resolution.refused.get(row.link_id)
            new = row._replace(
                exact=row.link_id in exact,
                refused=reason.code if reason else None,
                clash=(reason.kind or None) if reason else None,
                passed=row.link_id in self._resolution.passed,
            )
            if new != row:
                changed.append(new)
                self._rows[row.link_id] = new
        return changed

    def _settled(self) -> list[Settled]:
        spans = self._outside | self._resolution.spans
        everyone = self._owners | self._identifiers

        def contested(row: LinkRow) -> bool:
            tier = row.weight // 10
            return tier == Tier.STRONG or (tier == Tier.CURRENT and is_current(everyone[row.a].kind))

        times = {id_: {*self._times.get(id_, ()), row.first_ms} for id_, row in self._rows.items()}
        intervals = quiet(self._rows.values(), self._groups, times, spans, contested)
        return [Settled(row, intervals[row.link_id]) for row in self._rows.values() if row.rule in {"seen", "bind"}]


def _plain(row: LinkRow) -> Link:
    """The link with its first time only."""
    return Link(row.link_id, row.a, row.b, row.rule, (row.first_ms,))  # type: ignore[arg-type]  # a rule by its table


def _sign(group: Group) -> object:
    return tuple(sorted((id_, wanted.breaks) for id_, wanted in group.items()))
