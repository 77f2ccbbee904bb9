"""Chains of steps in event rows, whole columns at a time: the kernel of funnels.

Rows are sorted by unit (a person, or a person with one value of a breakdown), then time, then code, so that equal
timestamps stand in the order that helps. Every row with the first step is an entry; its chain takes the earliest next
step each time; a unit's result is its deepest chain, the earliest where several are as deep. `next_row` turns "the next
row with step k" into one array, so a chain of all entries advances one step per vector operation.

Where equal timestamps leave a choice that sorting does not settle, the unit is walked again by `ties`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from siyu.analytics import ties
from siyu.analytics.columns import Bools, Ints, firsts, next_row

REMOVED = -1
"""Depth of a unit whose every entry was excluded."""


class Rows(NamedTuple):
    """Event rows in order. `steps[k]`: the row fulfils step k; `exclusions[e]`: it is an event of exclusion e."""

    unit: Ints
    at: Ints
    steps: list[Bools]
    exclusions: list[Bools]
    units: int
    place: Ints | None = None
    """Where rows between were left out: the place each row had among all, for strict chains."""


class Rules(NamedTuple):
    """How chains run. Times in milliseconds; `exclusions` are (from, to) steps, in the order of `Rows.exclusions`."""

    order: str
    window_ms: int
    exclusions: Sequence[tuple[int, int]] = ()
    overlapping: bool = False
    """One event may fulfil several steps."""


class Chains(NamedTuple):
    """Per unit: steps reached (0 none, REMOVED), and when each was reached (valid below depth)."""

    depth: Ints
    times: Ints


class _Level(NamedTuple):
    """The entries whose chain reached a step (ordinals, ascending) and the row where it did."""

    entry: Ints
    row: Ints


def find_chains(rows: Rows, rules: Rules) -> Chains:
    """The deepest chain of every unit."""
    if rules.order == "unordered":
        chains = _unordered(rows, rules)
        ambiguous = _overlapping_units(rows) if rules.overlapping else np.zeros(0, np.int64)
    else:
        chains = _in_order(rows, rules)
        ambiguous = tied_units(rows, rules)
    if len(ambiguous):
        _walk_again(rows, rules, chains, ambiguous)
    return chains


def _tie_end(rows: Rows) -> Ints:
    """For each row, the first row after those of the same unit and time."""
    size = len(rows.at)
    differs = np.empty(size, bool)
    if size:
        differs[:-1] = (rows.unit[1:] != rows.unit[:-1]) | (rows.at[1:] != rows.at[:-1])
        differs[-1] = True
    return next_row(differs)[:-1] + 1


def _in_order(rows: Rows, rules: Rules) -> Chains:
    entries = np.flatnonzero(rows.steps[0])
    start, owner = rows.at[entries], rows.unit[entries]
    levels = [_Level(np.arange(len(entries)), entries)]
    unit = np.append(rows.unit, -1)
    at = np.append(rows.at, 0)
    for hits in rows.steps[1:]:
        entry, row = levels[-1]
        if rules.order == "strict":
            candidate = row + 1
            fits = np.append(hits, False)[candidate]
            if rows.place is not None:
                fits &= np.append(rows.place, -1)[candidate] == rows.place[row] + 1
        else:
            candidate = next_row(hits)[row + 1]
            fits = np.ones(len(candidate), bool)
        fits &= unit[candidate] == owner[entry]
        fits &= at[candidate] - start[entry] <= rules.window_ms
        levels.append(_Level(entry[fits], candidate[fits]))
    survives = np.ones(len(entries), bool)
    if rules.exclusions:
        survives = ~_excluded(rows, rules, levels, start, owner)
    depth = np.zeros(len(entries), np.int64)
    for level in levels:
        depth[level.entry] += 1
    return _choose(rows, depth, survives, owner, levels)


def _excluded(rows: Rows, rules: Rules, levels: list[_Level], start: Ints, owner: Ints) -> Bools:
    """Entries whose chain met an exclusion: strictly after reaching `from`, strictly before reaching `to`, inside the
    window. At the very instant of either step the exclusion is taken as outside, which helps."""
    excluded = np.zeros(len(start), bool)
    unit, at = np.append(rows.unit, -1), np.append(rows.at, 0)
    after = _tie_end(rows)
    for (first, last), hits in zip(rules.exclusions, rows.exclusions, strict=True):
        end = start + rules.window_ms + 1
        end[levels[last].entry] = at[levels[last].row]
        entry, row = levels[first]
        met = next_row(hits)[after[row]]
        excluded[entry] |= (unit[met] == owner[entry]) & (at[met] < end[entry])
    return excluded


def _choose(rows: Rows, depth: Ints, survives: Bools, owner: Ints, levels: list[_Level]) -> Chains:
    """Per unit the deepest surviving entry, the earliest of those."""
    best = np.zeros(rows.units, np.int64)
    if not survives.all():
        best[owner] = REMOVED
        depth = np.where(survives, depth, 0)
        best[owner[survives]] = 0
    np.maximum.at(best, owner, np.where(depth > 0, depth, REMOVED))
    winners = np.flatnonzero((depth > 0) & (depth == best[owner]))
    winners = winners[firsts(owner[winners])]
    times = np.zeros((rows.units, len(levels)), np.int64)
    for k, level in enumerate(levels):
        if not len(level.entry):
            break
        reached = winners[depth[winners] > k]
        times[owner[reached], k] = rows.at[level.row[np.searchsorted(level.entry, reached)]]
    return Chains(best, times)


def _unordered(rows: Rows, rules: Rules) -> Chains:
    """Distinct steps inside one window, whichever order; an exclusion ends the window."""
    any_step = np.logical_or.reduce(rows.steps)
    entries = np.flatnonzero(any_step)
    owner, end = rows.unit[entries], rows.at[entries] + rules.window_ms
    unit, at = np.append(rows.unit, -1), np.append(rows.at, 0)
    if rules.exclusions:
        met = next_row(np.logical_or.reduce(rows.exclusions))[_tie_end(rows)[entries]]
        end = np.where(unit[met] == owner, np.minimum(end, at[met]), end)
    reached = np.zeros(len(entries), np.int64)
    found = []
    for hits in rows.steps:
        row = next_row(hits)[entries]
        fits = (unit[row] == owner) & (at[row] <= end)
        reached += fits
        found.append(np.where(fits, row, len(rows.at)))
    best = np.zeros(rows.units, np.int64)
    np.maximum.at(best, owner, reached)
    winners = np.flatnonzero(reached == best[owner])
    winners = winners[firsts(owner[winners])]
    never = np.iinfo(np.int64).max
    moments = np.append(rows.at, never)
    times = np.zeros((rows.units, len(rows.steps)), np.int64)
    if len(winners):
        times[owner[winners]] = np.sort(np.stack([moments[row[winners]] for row in found], axis=1), axis=1)
    return Chains(best, times)


def _overlapping_units(rows: Rows) -> Ints:
    """Units with an event that fulfils several steps."""
    several = sum(hits.astype(np.int8) for hits in rows.steps) > 1
    return np.unique(rows.unit[several])


def tied_units(rows: Rows, rules: Rules) -> Ints:
    """Units where equal timestamps leave a choice: strict chains with a step among them, and events of one instant
    that fulfil several steps beside others that do not fulfil the same."""
    none = np.zeros(0, np.int64)
    if rules.order == "unordered" or (rules.order == "ordered" and not rules.overlapping):
        return none
    again = (rows.at[1:] == rows.at[:-1]) & (rows.unit[1:] == rows.unit[:-1])
    later = np.flatnonzero(again) + 1
    if not len(later):
        return none
    tied = np.unique(np.concatenate([later - 1, later]))
    starts = np.flatnonzero(~np.append(False, again)[tied])
    mask = np.zeros(len(tied), np.int64)
    for k, hits in enumerate(rows.steps):
        mask |= hits[tied].astype(np.int64) << k
    highest = np.maximum.reduceat(mask, starts)
    choice = highest > 0
    if rules.order == "ordered":
        several = (mask & (mask - 1)) != 0
        choice = np.maximum.reduceat(several, starts) & (highest != np.minimum.reduceat(mask, starts))
    return np.unique(rows.unit[tied[starts[choice]]])


def _walk_again(rows: Rows, rules: Rules, chains: Chains, units: Ints) -> None:
    """Replace the results of `units` by the exact walk."""
    low = np.searchsorted(rows.unit, units)
    high = np.searchsorted(rows.unit, units, side="right")
    for unit, start, end in zip(units.tolist(), low.tolist(), high.tolist(), strict=True):
        cut = slice(start, end)
        masks = np.zeros(end - start, np.int64)
        for k, hits in enumerate(rows.steps):
            masks |= hits[cut].astype(np.int64) << k
        met = [rows.at[cut][hits[cut]].tolist() for hits in rows.exclusions]
        walked = ties.walk(
            ties.instants(rows.at[cut].tolist(), masks.tolist()),
            met,
            order=rules.order,
            steps=len(rows.steps),
            window_ms=rules.window_ms,
            exclusions=rules.exclusions,
        )
        chains.depth[unit] = REMOVED if walked is None else len(walked)
        if walked:
            chains.times[unit, : len(walked)] = walked
