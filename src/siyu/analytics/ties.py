"""One unit's chains, exactly, where events of one instant can be put in several orders.

Events of one instant may be taken in whichever order helps. A chain takes different events for different steps, so how
far it gets within one instant is a matching of steps to events. Only units that need it come here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple


class Instant(NamedTuple):
    """The events of one time: which steps each fulfils (bit k: step k), 0 for none."""

    at: int
    masks: list[int]


def instants(times: Sequence[int], masks: Sequence[int]) -> list[Instant]:
    """Sorted rows as instants."""
    rows = zip(times, masks, strict=True)
    return [Instant(at, [mask for _, mask in group]) for at, group in groupby(rows, key=lambda row: row[0])]


def walk(
    moments: Sequence[Instant],
    met: Sequence[Sequence[int]],
    *,
    order: str,
    steps: int,
    window_ms: int,
    exclusions: Sequence[tuple[int, int]],
) -> list[int] | None:
    """When each step of the deepest chain was reached; empty when there is none, None when every entry was excluded.
    `met[e]`: the times of exclusion e, ascending."""
    best: list[int] = []
    entered = survived = False
    last = _last_seen(moments, steps)
    for i, moment in enumerate(moments):
        if len(best) == steps:
            break
        if order == "unordered":
            chain = _gather(moments, i, steps, _end(moment.at, window_ms, met))
        else:
            search = _run_strict if order == "strict" else _run_ordered
            chain = search(moments, i, last, moment.at + window_ms)
        if not chain:
            continue
        entered = True
        if order != "unordered" and _is_excluded(chain, met, window_ms, exclusions):
            continue
        survived = True
        if len(chain) > len(best):
            best = chain
    return None if entered and not survived else best


def _last_seen(moments: Sequence[Instant], steps: int) -> list[int]:
    """Per step the last instant that has it, −1 for none."""
    last = [-1] * steps
    for i, moment in enumerate(moments):
        for mask in moment.masks:
            for step in range(steps):
                if mask >> step & 1:
                    last[step] = i
    return last


def _end(at: int, window_ms: int, met: Sequence[Sequence[int]]) -> int:
    """The end of an unordered window: an exclusion cuts it."""
    later = [times[n] for times in met if (n := bisect_right(times, at)) < len(times)]
    return min([at + window_ms, *later])


def _is_excluded(
    chain: Sequence[int], met: Sequence[Sequence[int]], window_ms: int, exclusions: Sequence[tuple[int, int]]
) -> bool:
    for (first, last), times in zip(exclusions, met, strict=True):
        if len(chain) <= first:
            continue
        end = chain[last] if len(chain) > last else chain[0] + window_ms + 1
        n = bisect_right(times, chain[first])
        if n < len(times) and times[n] < end:
            return True
    return False


def _advance(masks: Sequence[int], first: int, steps: int) -> int:
    """How many steps from `first` on can be matched to different events, none left out."""
    owner: dict[int, int] = {}

    def claim(step: int, tried: set[int]) -> bool:
        for event, mask in enumerate(masks):
            if mask >> step & 1 and event not in tried:
                tried.add(event)
                if event not in owner or claim(owner[event], tried):
                    owner[event] = step
                    return True
        return False

    step = first
    while step < steps and claim(step, set()):
        step += 1
    return step - first


def _run_ordered(moments: Sequence[Instant], start: int, last: Sequence[int], end: int) -> list[int]:
    """The chain of an entry at instant `start`, other events allowed between. `last[k]`: the last instant of step k."""
    chain: list[int] = []
    for i in range(start, len(moments)):
        moment = moments[i]
        if moment.at > end or len(chain) == len(last) or i > last[len(chain)]:
            break
        chain += [moment.at] * _advance(moment.masks, len(chain), len(last))
        if not chain:
            break
    return chain


def _run_strict(moments: Sequence[Instant], start: int, last: Sequence[int], end: int) -> list[int]:
    """The deepest chain of an entry at instant `start` with no other event between two steps. All events of an instant
    between the first and the last must be steps of the chain; at the ends the others stand before or after it."""
    first, steps = moments[start], len(last)
    chains = [[first.at] * m for m in range(1, _advance(first.masks, 0, steps) + 1)]
    best = chains[-1] if chains else []
    for i in range(start + 1, len(moments)):
        moment = moments[i]
        if moment.at > end or not chains:
            break
        whole = []
        for chain in chains:
            reached = _advance(moment.masks, len(chain), steps)
            longer = chain + [moment.at] * reached
            if (-len(longer), longer) < (-len(best), best):
                best = longer
            if reached >= len(moment.masks):
                whole.append(chain + [moment.at] * len(moment.masks))
        chains = whole
    return best


def _gather(moments: Sequence[Instant], start: int, steps: int, end: int) -> list[int]:
    """When the number of distinct steps grew, from instant `start` up to `end`."""
    if not any(moments[start].masks):
        return []
    owner: dict[int, int] = {}
    pool: list[int] = []
    chain: list[int] = []

    def place(event: int, tried: set[int]) -> bool:
        for step in range(steps):
            if pool[event] >> step & 1 and step not in tried:
                tried.add(step)
                if step not in owner or place(owner[step], tried):
                    owner[step] = event
                    return True
        return False

    for i in range(start, len(moments)):
        moment = moments[i]
        if moment.at > end or len(chain) == steps:
            break
        for mask in moment.masks:
            if not mask:
                continue
            pool.append(mask)
            if place(len(pool) - 1, set()):
                chain.append(moment.at)
    return chain
