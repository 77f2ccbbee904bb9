"""A person's standing on the ladder, and how events, figures and time change it. Pure: the tier machine.

`advance` is all of it: a standing, what the figures say now, the clock and the terms in, the next standing out, and
every change on the way. Looked at late, it comes out as if it had been looked at in time, as far as figures are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from siyu.membership.ladder import Downgrade, Ladder


class Cause(StrEnum):
    """Why a standing changed."""

    REACHED = "reached"
    """The figures reach the tier."""
    FELL = "fell"
    """The figures do not reach it any more."""
    GRACE = "grace"
    """They fell; the tier is kept for the days of grace."""
    GRACE_OVER = "grace_over"
    VALIDITY_OVER = "validity_over"
    RENEWED = "renewed"
    """They reach it again: it is kept longer."""
    BY_HAND = "by_hand"
    HAND_OFF = "hand_off"
    """What was set by hand has ended."""
    LADDER = "ladder"
    """The brand changed its tiers."""
    IDENTITY = "identity"
    """Other identifiers are the person's now: what was decided for these counts."""


class Fixed(NamedTuple):
    """A tier set by hand."""

    place: int
    until: datetime | None = None
    floor: bool = False
    """At least this tier, instead of exactly this one."""

    def active(self, now: datetime) -> bool:
        """Whether it counts."""
        return self.until is None or now < self.until

    def over(self, reached: int) -> int:
        """The tier in force where the figures would bring `reached`."""
        return max(self.place, reached) if self.floor else self.place


class Standing(NamedTuple):
    """On which tier a person stands, and until when."""

    place: int = 0
    since: datetime | None = None
    until: datetime | None = None
    """Kept until then, whatever the figures say."""
    grace_until: datetime | None = None
    fixed: Fixed | None = None

    @property
    def due_at(self) -> datetime | None:
        """When time alone may change it."""
        times = (self.until, self.grace_until, self.fixed.until if self.fixed else None)
        return min((at for at in times if at is not None), default=None)


class Change(NamedTuple):
    """A step from one standing to the next."""

    cause: Cause
    before: int
    after: Standing
    at: datetime
    """Since when it counts."""


class Terms(NamedTuple):
    """How tiers are kept."""

    ladder: Ladder
    zone: ZoneInfo

    def kept_until(self, place: int, at: datetime) -> datetime | None:
        """Until when a tier reached at `at` is kept; the lowest needs no keeping."""
        return self.ladder.kept_until(at, self.zone) if place else None


def advance(before: Standing, reached: int, now: datetime, terms: Terms) -> tuple[Standing, list[Change]]:
    """The standing at `now` where the figures say `reached`, and the changes that lead there."""
    standing, changes = before, []
    # One tier at a time may come down, and what was set by hand may end first.
    for _ in range(len(terms.ladder.tiers) + 2):
        change = _next(standing, reached, now, terms)
        if change is None:
            break
        changes.append(change)
        standing = change.after
    return standing, changes


def _next(standing: Standing, reached: int, now: datetime, terms: Terms) -> Change | None:
    if standing.fixed is not None:
        return _fixed(standing, standing.fixed, reached, now, terms)
    if reached > standing.place:
        return _moved(Cause.REACHED, standing, reached, now, terms)
    if reached == standing.place:
        return _kept(standing, now, terms)
    return _fallen(standing, reached, now, terms)


def _moved(cause: Cause, standing: Standing, place: int, at: datetime, terms: Terms) -> Change:
    after = Standing(place, at, terms.kept_until(place, at))
    return Change(cause, standing.place, after, at)


def _fixed(standing: Standing, fixed: Fixed, reached: int, now: datetime, terms: Terms) -> Change | None:
    if fixed.active(now):
        place = fixed.over(reached)
        if place == standing.place:
            return None
        return Change(Cause.BY_HAND, standing.place, Standing(place, now, fixed=fixed), now)
    ended = fixed.until or now
    # From here on the figures decide, as if the tier had been theirs until now: without validity and without grace.
    after = standing if reached == standing.place else Standing(reached, ended, terms.kept_until(reached, ended))
    return Change(Cause.HAND_OFF, standing.place, after._replace(fixed=None), ended)


def _kept(standing: Standing, now: datetime, terms: Terms) -> Change | None:
    until = terms.kept_until(standing.place, now)
    later = until is not None and (standing.until is None or until > standing.until)
    if standing.grace_until is None and not later and not (until is None and standing.until is not None):
        return None
    return Change(Cause.RENEWED, standing.place, standing._replace(until=until, grace_until=None), now)


def _fallen(standing: Standing, reached: int, now: datetime, terms: Terms) -> Change | None:
    ladder = terms.ladder
    if ladder.downgrade is Downgrade.NEVER or (standing.until is not None and now < standing.until):
        return None
    if standing.grace_until is None:
        fell_at = standing.until or now
        ends = fell_at + timedelta(days=ladder.grace_days)
        if now < ends:
            return Change(Cause.GRACE, standing.place, standing._replace(until=None, grace_until=ends), fell_at)
        cause = Cause.VALIDITY_OVER if standing.until else Cause.FELL
    elif now < standing.grace_until:
        return None
    else:
        ends, cause = standing.grace_until, Cause.GRACE_OVER
    place = standing.place - 1 if ladder.downgrade is Downgrade.ONE else reached
    return _moved(cause, standing, place, ends, terms)


class Decided(NamedTuple):
    """A standing as it was once decided for some identifiers."""

    seq: int
    members: frozenset[int]
    standing: Standing


def together(decided: Iterable[Decided], mine: frozenset[int]) -> Standing | None:
    """The standing of whoever has the identifiers `mine` now, out of what was decided before: None: nothing was.

    Only what was decided for identifiers that are all theirs counts, the newest for each; of several the best."""
    known: list[Standing] = []
    taken: set[int] = set()
    for one in sorted(decided, key=lambda one: -one.seq):
        if one.members <= mine and not one.members & taken:
            taken |= one.members
            known.append(one.standing)
    return best(known)


def best(known: Sequence[Standing]) -> Standing | None:
    """Of several standings of one person: the highest tier, held the longest, kept the longest; set by hand first."""
    if not known:
        return None
    fixed = next((one.fixed for one in known if one.fixed is not None), None)
    top = max(one.place for one in known)
    mine = [one for one in known if one.place == top]
    since = None if any(one.since is None for one in mine) else min(one.since for one in mine if one.since)
    free = any(one.until is None and one.grace_until is None for one in mine)
    until = None if free else max((one.until for one in mine if one.until), default=None)
    grace = None if free or until else max((one.grace_until for one in mine if one.grace_until), default=None)
    return Standing(top, since, until, grace, fixed)
