"""When the customers of the demo come and what they want: every visit of 180 days, drawn at once with numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import starmap
from typing import Final, NamedTuple

import numpy as np

from siyu.demo import brand
from siyu.demo.people import APP, MP, WEB, Ints, People
from siyu.demo.season import DAYS, Floats, hour_parts

DAY_MS: Final = 86_400_000
_VISITS_OF_TIER: Final = ((1, 0.1), (1, 0.4), (2, 0.6), (3, 2.2))
"""(least, mean of what comes on top)"""
_CANDIDATES: Final = 3
_CYCLES_MAX: Final = 6
DRAWS: Final = 16
"""Uniform draws a visit has for its own decisions."""


class Visitor(NamedTuple):
    """Somebody at an end with a shop."""

    person: int
    end: int
    """people.MP, WEB or APP"""
    second: bool = False
    """On the second device"""


class Visit(NamedTuple):
    """One visit; the fields are those of Visits."""

    person: int
    end: int
    at_ms: int
    first: int
    views: int
    wants: float
    refill: int
    draws: Sequence[float]


class Visits(NamedTuple):
    """All visits to ends with a shop, in order of time."""

    person: Ints
    end: Ints
    """people.MP, WEB or APP"""
    at_ms: Ints
    """Milliseconds after the start of the period."""
    first: Ints
    """1 for a person's first visit"""
    views: Ints
    """Products looked at"""
    wants: Floats
    """Chance to put something into the cart"""
    refill: Ints
    """1: came to buy what is used up"""
    draws: Floats
    """[visit, DRAWS] in [0, 1)"""

    def between(self, start: int, stop: int) -> Iterator[Visit]:
        """The visits at some places."""
        columns = (column[start:stop].tolist() for column in self)
        return starmap(Visit, zip(*columns, strict=True))


def draw_visits(rng: np.random.Generator, people: People, weights: Floats) -> Visits:
    """Every visit of everybody."""
    person, day, refill = _days(rng, people, weights)
    hours = rng.choice(24, len(person), p=hour_parts())
    at_ms = day * DAY_MS + hours * 3_600_000 + rng.integers(0, 3_600_000, len(person))
    order = np.lexsort((at_ms, person))
    person, at_ms, refill = person[order], at_ms[order], refill[order]
    first = np.ones(len(person), np.int64)
    first[1:] = person[1:] != person[:-1]
    end = _choose_ends(rng, people, person)
    views = 1 + rng.poisson(np.where(refill == 1, 0.4, 1.2))
    wants = np.minimum(0.30 * people.appetite[person] * np.array((0.5, 0.9, 1.1, 1.25))[people.tier[person]], 0.85)
    wants = np.where(refill == 1, 0.93, wants)
    keep = np.argsort(at_ms, kind="stable")
    return Visits(
        person=person[keep],
        end=end[keep],
        at_ms=at_ms[keep],
        first=first[keep],
        views=views[keep],
        wants=wants[keep],
        refill=refill[keep],
        draws=rng.random((len(person), DRAWS)),
    )


def _days(rng: np.random.Generator, people: People, weights: Floats) -> tuple[Ints, Ints, Ints]:
    """(person, day, refill) of each visit."""
    least = np.array([low for low, _ in _VISITS_OF_TIER])[people.tier]
    more = rng.poisson(np.array([mean for _, mean in _VISITS_OF_TIER])[people.tier])
    left = DAYS - people.arrival
    count = np.maximum(1, np.round((least + more) * np.minimum(1.0, 0.35 + left / 90)).astype(np.int64))
    shops = people.ends[:, [MP, WEB, APP]].any(axis=1)
    count = np.where(shops, count, 0)
    person = np.repeat(np.arange(len(count)), count)
    start = np.concatenate([[0], np.cumsum(count)])[:-1]
    is_first = np.zeros(len(person), np.bool_)
    is_first[start[count > 0]] = True
    ages = _ages(rng, people.tier[person], left[person])
    days = np.floor(people.arrival[person][:, None] + ages).astype(np.int64)
    chosen = _busier(rng, np.minimum(days, DAYS - 1), weights)
    day = np.where(is_first, np.floor(people.arrival[person]).astype(np.int64), chosen)
    refill_person, refill_day = _refills(rng, people)
    return (
        np.concatenate([person, refill_person]),
        np.concatenate([day, refill_day]),
        np.concatenate([np.zeros(len(person), np.int64), np.ones(len(refill_person), np.int64)]),
    )


def _ages(rng: np.random.Generator, tier: Ints, left: Floats) -> Floats:
    """Days after the first visit: interest fades, slower the more loyal; the loyal come evenly."""
    fade = np.array((4.0, 16.0, 45.0, 1e6))[tier]
    draws = rng.random((len(tier), _CANDIDATES))
    span = left[:, None]
    ages: Floats = -fade[:, None] * np.log1p(-draws * -np.expm1(-span / fade[:, None]))
    return np.minimum(ages, span - 0.31)


def _busier(rng: np.random.Generator, days: Ints, weights: Floats) -> Ints:
    """Of some candidate days one, the busier the likelier."""
    likely = weights[days] ** 1.5
    edges = np.cumsum(likely, axis=1)
    pick = (rng.random(len(days))[:, None] * edges[:, -1:] > edges).sum(axis=1)
    chosen: Ints = np.take_along_axis(days, np.minimum(pick, days.shape[1] - 1)[:, None], axis=1)[:, 0]
    return chosen


def _refills(rng: np.random.Generator, people: People) -> tuple[Ints, Ints]:
    """Repurchase (复购): a bag lasts about its cycle; each time some people do not come back."""
    buyers = np.flatnonzero(people.cycles & people.ends[:, [MP, WEB, APP]].any(axis=1))
    cycle = np.where(people.interest[buyers] == 0, 45.0, 30.0) * rng.normal(1.0, 0.12, len(buyers))
    start = people.arrival[buyers] + rng.exponential(9.0, len(buyers))
    lasts = rng.geometric(0.24, len(buyers))
    persons, days = [], []
    for turn in range(_CYCLES_MAX):
        at = start + turn * np.maximum(cycle, 12.0) + rng.normal(0, 3.0, len(buyers)) * (turn > 0)
        come = (turn < lasts) & (at < DAYS - 0.2) & (at >= people.arrival[buyers])
        persons.append(buyers[come])
        days.append(np.floor(at[come]).astype(np.int64))
    return np.concatenate(persons), np.concatenate(days)


def _choose_ends(rng: np.random.Generator, people: People, person: Ints) -> Ints:
    """One of the person's ends with a shop; who came by advertising stays mostly on the website."""
    liking = np.array((0.62, 0.22, 0.30)) * people.ends[person][:, [MP, WEB, APP]]
    came_by_web = np.isin(people.channel[person], (4, 5))
    liking[came_by_web & (liking[:, 1] > 0), 1] = 0.7
    edges = np.cumsum(liking, axis=1)
    pick = (rng.random(len(person))[:, None] * edges[:, -1:] > edges).sum(axis=1)
    chosen: Ints = np.array((MP, WEB, APP))[np.minimum(pick, 2)]
    return chosen


def popularity(interest: int) -> tuple[list[int], Floats]:
    """Which products people of an interest look at (places in brand.PRODUCTS) and the edges of a draw in [0, 1)."""
    liking = np.array([(4.0 if item.interest == interest else 0.6) for item in brand.PRODUCTS])
    liking *= np.array([1.0 / (1 + place % 9) ** 0.7 for place in range(len(brand.PRODUCTS))])
    edges: Floats = np.cumsum(liking / liking.sum())
    return list(range(len(brand.PRODUCTS))), edges
