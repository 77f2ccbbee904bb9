"""Tiers kept true: what membership does on each look of the keeper (decision 0320).

The look brings who is concerned and what the rules read of them; here standings are advanced and written, with what
was decided and the events that tell of it, in the transaction of the look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import numpy.typing as npt

from siyu.collect.own_events import TIER_CHANGED
from siyu.identity.mirror import person_sql
from siyu.identity.outbox import Told, tell
from siyu.identity.spans import Span, spans_by_anchors
from siyu.membership import tier_records
from siyu.membership.ladder import READY, Ladder, Step, personal, steps_of
from siyu.membership.progress import Judging, Sayings, facts_of, figures_of
from siyu.membership.standing import Cause, Change, Decided, Fixed, Standing, Terms, advance, together
from siyu.membership.tier_records import LogRow, StoredLadder, TierRow
from siyu.rules.masks import mask_of
from siyu.rules.measure import names_of
from siyu.rules.rule import metrics_of
from siyu.rules.window import epoch_ms
from siyu.segments.follower import Following, Look
from siyu.segments.population import Source

BY: Final = "siyu"
_BY_EVENT: Final = (Cause.REACHED.value, Cause.FELL.value, Cause.GRACE.value, Cause.RENEWED.value)
_AT_ONCE: Final = 5_000
Places: Final = npt.NDArray[np.int64]


async def ladder_in_force(connection: Any, now: datetime) -> StoredLadder:
    """The newest ladder; the ready one is written down where there is none."""
    found = await tier_records.ladders(connection, 1)
    if not found:
        await tier_records.add_ladder(connection, 1, READY, now, BY)
        found = await tier_records.ladders(connection, 1)
    return found[0]


def standing_of(row: TierRow | LogRow, ladder: Ladder) -> Standing:
    """What a row says, on this ladder."""
    fixed = None if row.fixed_tier is None else Fixed(ladder.place(row.fixed_tier), row.fixed_until, row.fixed_floor)
    return Standing(ladder.place(row.tier), row.since, row.until, row.grace_until, fixed)


class Deciding:
    """One look, decided: collects what is to be written."""

    def __init__(self, stored: StoredLadder, zone: ZoneInfo, now: datetime, known: Mapping[int, TierRow]) -> None:
        self.stored = stored
        self.ladder = stored.ladder
        self.terms = Terms(stored.ladder, zone)
        self.now = now
        self.known = known
        self.rows: list[TierRow] = []
        self.log: list[LogRow] = []
        self.moved: dict[int, int] = {}
        """Place in `log` → person, of those whose tier changed."""

    def decide(self, person: int, reached: int, members: Sequence[int], before: Standing | None, cause: str) -> None:
        """Advance one person. `before`: what was decided for these identifiers, when it is not what the row says."""
        row = self.known.get(person)
        names = [tier.name for tier in self.ladder.tiers]
        shown = row.tier if row is not None else names[0]
        if before is None:
            before = Standing() if row is None else standing_of(row, self.ladder)
        elif before != (Standing() if row is None else standing_of(row, self.ladder)):
            self._add(person, members, Change(Cause.IDENTITY, self.ladder.place(shown), before, self.now), shown)
            shown = names[before.place]
        if shown not in names:
            # The tier that the person had is gone from the ladder.
            change = Change(Cause.LADDER, before.place, before, self.now)
            self._add(person, members, change, shown, moved=names[before.place] != shown)
            shown = names[before.place]
        after, changes = advance(before, reached, self.now, self.terms)
        former = shown
        for change in changes:
            moves = change.after.place != change.before
            why = Cause(cause) if cause and change.cause in (Cause.REACHED, Cause.FELL) else change.cause
            self._add(person, members, change._replace(cause=why), names[change.before], moved=moves)
            former = names[change.before] if moves else former
        if row is not None and names[after.place] == row.tier:
            former = row.former
        self.rows.append(self._row(person, reached, members, after, former))

    def by_hand(self, person: int, fixed: Fixed | None, by: str, reason: str) -> None:
        """Set a tier, or end (None) what was set."""
        row = self.known[person]
        reached, members = self.ladder.place(row.reached), row.members
        before = standing_of(row, self.ladder)
        if fixed is None and before.fixed is not None:
            # It ends now.
            ended = before._replace(fixed=before.fixed._replace(until=self.now))
            after, changes = advance(ended, reached, self.now, self.terms)
        else:
            after, changes = advance(before._replace(fixed=fixed), reached, self.now, self.terms)
            changes = changes or [Change(Cause.BY_HAND, before.place, after, self.now)]
        former = row.former
        for change in changes:
            moves = change.after.place != change.before
            former = self.ladder.tiers[change.before].name if moves else former
            name = self.ladder.tiers[change.before].name
            self._add(person, members, change, name, moved=moves, by=by, reason=reason)
        self.rows.append(self._row(person, reached, members, after, former))

    def _row(self, person: int, reached: int, members: Sequence[int], after: Standing, former: str) -> TierRow:
        names = [tier.name for tier in self.ladder.tiers]
        fixed = after.fixed
        return TierRow(
            person, names[after.place], after.since, former, after.until, after.grace_until, names[reached],
            None if fixed is None else names[fixed.place], None if fixed is None else fixed.until,
            fixed is not None and fixed.floor, after.due_at, members,
        )  # fmt: skip

    def _add(
        self, person: int, members: Sequence[int], change: Change, former: str, *, moved: bool = False, by: str = BY,
        reason: str = "",
    ) -> None:  # fmt: skip
        if moved:
            self.moved[len(self.log)] = person
        row = self._row(person, 0, members, change.after, former)
        self.log.append(
            LogRow(
                person, members, self.now, change.cause.value, former, row.tier, row.since, row.until, row.grace_until,
                row.fixed_tier, row.fixed_until, row.fixed_floor, self.stored.version, "[]", None, by, reason,
            )
        )  # fmt: skip

    def explain(self, place: int, figures: str, event: str | None) -> None:
        """Put the figures, and the event, to something decided."""
        self.log[place] = self.log[place]._replace(figures=figures, event=event)

    async def write(self, connection: Any, *, quiet: bool = False) -> None:
        """Write everything; `quiet`: without events."""
        numbers = await tier_records.add_log(connection, self.log)
        await tier_records.write_rows(connection, self.rows)
        if not quiet:
            await tell(connection, [self._told(numbers[place], place) for place in self.moved])
        if self.moved or self.log:
            await tier_records.touch_segments(connection, sorted({row.person for row in self.log}))

    def _told(self, number: int, place: int) -> Told:
        row = self.log[place]
        properties = {
            "tier": row.tier, "from": row.former, "up": self.ladder.place(row.tier) > self.ladder.place(row.former),
            "cause": row.cause, "since": row.since, "until": row.until, "ladder": row.ladder,
        }  # fmt: skip
        stamp = int(row.at.timestamp() * 1000)
        return Told(f"tier-{number}-{stamp}", TIER_CHANGED, row.at, properties, row.person)


class Moving(NamedTuple):
    """Some persons whose standing may change."""

    persons: npt.NDArray[np.int64]
    reached: npt.NDArray[np.int64]
    """The place that the figures of each reach."""
    told: frozenset[int]
    """Of whom no standing is known, but something was decided for their identifiers."""
    rebuilding: bool


class TierFollower:
    """Keeps the tiers of all persons."""

    def __init__(self, source: Source, zone: ZoneInfo) -> None:
        self._source = source
        self._words = source.words
        self._zone = zone
        self._stored: StoredLadder | None = None
        self._steps: list[Step] = []

    async def load(self, connection: Any, now: datetime) -> Following:
        """The rules of the ladder in force; everybody is looked at once with each version."""
        version, built_at = await tier_records.newest_version(connection)
        if self._stored is None or self._stored.version != version:
            async with connection.transaction():
                self._stored = await ladder_in_force(connection, now)
            self._steps = steps_of(self._stored.ladder, self._words)
            built_at = self._stored.built_at
        self._stored = self._stored._replace(built_at=built_at)
        rules = [step.rule for step in self._steps if step.rule is not None]
        return Following(rules, built_at is None, personal(self._stored.ladder))

    async def due(self, connection: Any, until: datetime) -> set[int]:
        """Those whose validity, grace or tier by hand is over."""
        return await tier_records.due(connection, until)

    async def starts(self, connection: Any, persons: Sequence[int]) -> Mapping[int, int]:
        """Since when each has the present tier."""
        assert self._stored is not None
        known = await tier_records.rows_of(connection, persons)
        before = await self._before(connection, await self._others(connection, persons, known))
        mine = {person: standing_of(row, self._stored.ladder) for person, row in known.items()} | before
        return {person: epoch_ms(one.since) for person, one in mine.items() if one.since is not None}

    async def built(self, connection: Any, now: datetime) -> None:
        """Everybody was looked at with this version."""
        assert self._stored is not None
        await tier_records.mark_built(connection, self._stored.version, now)

    async def decide(self, connection: Any, look: Look) -> None:
        """Advance everybody whom the figures, time or other identifiers move."""
        assert self._stored is not None
        persons = look.population.persons
        reached = self._reached(look)
        gone, candidates, new, told = await self._concerned(connection, look, reached)
        await tier_records.remove(connection, gone)
        rebuilding = look.some is None and self._stored.built_at is None
        for start in range(0, len(candidates), _AT_ONCE):
            part = candidates[start : start + _AT_ONCE]
            places = reached[np.searchsorted(persons, part)]
            await self._advance(connection, look, Moving(part, places, told, rebuilding))
        fresh = new[reached[np.searchsorted(persons, new)] == 0] if len(new) else new
        if len(fresh):
            await tier_records.begin(connection, fresh.tolist(), self._stored.ladder.tiers[0].name)

    def _reached(self, look: Look) -> npt.NDArray[np.int64]:
        """The place that the figures reach, of each person of the look."""
        reached = np.zeros(look.population.columns.size, np.int64)
        for place, step in enumerate(self._steps):
            if step.rule is not None:
                reached[mask_of(step.rule, look.population.columns, look.setting, self._words)] = place
        return reached

    async def _concerned(
        self, connection: Any, look: Look, reached: npt.NDArray[np.int64]
    ) -> tuple[list[int], npt.NDArray[np.int64], npt.NDArray[np.int64], frozenset[int]]:
        """(who is nobody any more, whose standing may change, of whom nothing is known yet and nothing was decided, of
        whom nothing is known but something was decided)."""
        assert self._stored is not None
        persons = look.population.persons
        if look.some is None:
            known = np.array(await tier_records.all_persons(connection), np.int64)
            other = np.array(sorted(await tier_records.stale(connection)), np.int64)
            asked = known
        else:
            asked = np.array(sorted({*look.some.persons, *look.some.anchors}), np.int64)
            rows = await tier_records.rows_of(connection, asked.tolist())
            known = np.array(sorted(rows), np.int64)
            members = await tier_records.members_of(connection, persons.tolist())
            other = np.array(
                sorted(p for p, mine in members.items() if p in rows and list(rows[p].members) != mine), np.int64
            )
        still = np.zeros(len(persons), np.bool_)
        for tier, on_it in await tier_records.settled(connection, None if look.some is None else persons.tolist()):
            place = self._stored.ladder.place(tier)
            if self._stored.ladder.tiers[place].name == tier:
                here = np.isin(persons, np.array(on_it, np.int64))
                still |= here & (reached == place)
        still &= ~np.isin(persons, other)
        new = np.setdiff1d(persons, known, assume_unique=True)
        told = await self._decided_before(connection, new)
        moving = persons[~still & (~np.isin(persons, new) | (reached > 0) | np.isin(persons, told))]
        untold = np.setdiff1d(new, told, assume_unique=True)
        gone: list[int] = np.setdiff1d(known, persons, assume_unique=True).tolist()
        return gone, moving, untold, frozenset(told.tolist())

    async def _decided_before(self, connection: Any, new: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Those of `new` persons for one of whose identifiers something was decided before."""
        found: set[int] = set()
        if len(new) and await connection.fetchval("SELECT EXISTS (SELECT FROM tier_log)"):
            for start in range(0, len(new), _AT_ONCE):
                spans = await spans_by_anchors(connection, new[start : start + _AT_ONCE].tolist())
                rows = await tier_records.decided(connection, {span.anchor for span in spans})
                owned = {anchor for _, row in rows for anchor in row.members}
                found |= {span.person for span in spans if span.anchor in owned}
        return np.array(sorted(found & set(new.tolist())), np.int64)

    async def _advance(self, connection: Any, look: Look, moving: Moving) -> None:
        assert self._stored is not None
        persons, reached = moving.persons.tolist(), moving.reached.tolist()
        known = await tier_records.rows_of(connection, persons, lock=True)
        members = await tier_records.members_of(connection, persons)
        # Of whom nothing is known and nothing was decided there is nothing to find.
        other = [p for p in persons if p in moving.told or (p in known and list(known[p].members) != members[p])]
        before = await self._before(connection, other)
        deciding = Deciding(self._stored, self._zone, look.setting.now, known)
        for person, place in zip(persons, reached, strict=True):
            cause = Cause.LADDER.value if moving.rebuilding and person in known else ""
            deciding.decide(person, place, members[person], before.get(person), cause)
        await self._explain(connection, look, deciding)
        await deciding.write(connection, quiet=moving.rebuilding and not self._stored.ladder.events)

    async def _others(self, connection: Any, persons: Sequence[int], known: Mapping[int, TierRow]) -> list[int]:
        """Persons whose identifiers are others than their standing was decided for."""
        members = await tier_records.members_of(connection, persons)
        return [p for p, mine in members.items() if p not in known or list(known[p].members) != mine]

    async def _before(self, connection: Any, persons: Sequence[int]) -> dict[int, Standing]:
        """What was decided for the identifiers that these persons have now; the lowest tier where nothing was."""
        assert self._stored is not None
        if not persons:
            return {}
        spans: dict[int, list[Span]] = {}
        for span in await spans_by_anchors(connection, persons):
            spans.setdefault(span.person, []).append(span)
        rows = await tier_records.decided(connection, {one.anchor for mine in spans.values() for one in mine})
        found = {}
        for person in persons:
            mine = spans.get(person, [])
            anchors = frozenset(span.anchor for span in mine)
            told = [
                Decided(seq, frozenset(row.members), standing_of(row, self._stored.ladder))
                for seq, row in rows
                if anchors.issuperset(row.members) and _held(mine, row)
            ]
            found[person] = together(told, anchors) or Standing()
        return found

    async def _explain(self, connection: Any, look: Look, deciding: Deciding) -> None:
        """The figures of what was decided: those of the tier reached, or lost."""
        persons = look.population.persons
        events = await self._events_of(look) if deciding.log else {}
        said: Sayings = {}
        for place, row in enumerate(deciding.log):
            ladder = deciding.ladder
            step = self._steps[max(ladder.place(row.tier), ladder.place(row.former))]
            if step.rule is None:
                continue
            facts = facts_of(look.population.columns, int(np.searchsorted(persons, row.person)))
            figures = figures_of(step.rule, Judging(facts, look.setting, self._words, said))
            event = events.get(row.person) if row.cause in _BY_EVENT else None
            deciding.explain(place, msgspec.json.encode(figures).decode(), event)

    async def _events_of(self, look: Look) -> dict[int, str]:
        """The newest event that the figures of a person count, where it has just come: as JSON."""
        metrics = {metric for step in self._steps if step.rule is not None for metric in metrics_of(step.rule)}
        names = sorted({name for metric in metrics for name in names_of(metric, self._words)})
        if not 0 < len(look.seen) <= _AT_ONCE or not names:
            return {}
        sql = (
            f"SELECT toUInt32({person_sql(True)}) AS p,"
            " argMax((event_id, name, toUnixTimestamp64Milli(occurred_at)),"
            " (received_at, occurred_at, event_id)) AS e FROM events"
            " WHERE anchor IN {anchors:Array(UInt32)} AND name IN {names:Array(String)} GROUP BY p"
        )
        rows = await self._source.events.rows(sql, {"anchors": sorted(look.seen), "names": names})
        return {
            person: msgspec.json.encode({"event_id": event_id, "name": name, "at_ms": at_ms}).decode()
            for person, (event_id, name, at_ms) in rows
        }


def _held(spans: Sequence[Span], row: LogRow) -> bool:
    """Whether all identifiers of a row were the person's when it was decided."""
    at_ms = epoch_ms(row.at)
    return all(
        any(span.anchor == anchor and span.since_ms <= at_ms < span.until_ms for span in spans)
        for anchor in row.members
    )
