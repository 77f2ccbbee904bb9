"""Breakdowns of funnels: which values a person is counted under, and rows arranged as units (person, value).

- first_touch, last_touch: one value a person, the first (last) that is not empty over the events that match a step;
  of several at one instant the smallest (largest) text.
- all_events: one unit per person and value, holding only the events with that value.
- step:N: one unit per person and value seen at step N; in it only events with that value fulfil step N.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from siyu.analytics.chains import Rows
from siyu.analytics.columns import Bools, Ints
from siyu.analytics.question import OTHER, Breakdown


class Labels(NamedTuple):
    """A text for each unit."""

    code: Ints
    texts: list[str]


class Grouping(NamedTuple):
    """Rows as units, and for each unit its person and its value."""

    rows: Rows
    persons: Ints
    labels: Labels


def group_rows(rows: Rows, owners: Ints, values: Labels, breakdown: Breakdown, *, keep_all: bool) -> Grouping:
    """`rows` (one unit a person, `owners`) with their `values` arranged for a breakdown.
    `keep_all`: rows without a step matter too."""
    codes, texts = values
    steps = np.logical_or.reduce(rows.steps)
    attribution = "first_touch" if breakdown.person_prop is not None else breakdown.attribution
    if attribution == "all_events":
        return _by_event(rows, owners, codes, texts)
    if attribution.startswith("step:"):
        return _by_step(rows, owners, codes, texts, int(attribution.removeprefix("step:")), keep_all=keep_all)
    return Grouping(rows, owners, Labels(_touch(rows, codes, steps, last=attribution == "last_touch"), texts))


def one_group(rows: Rows, owners: Ints) -> Grouping:
    """No breakdown: one unit a person, all under the empty text."""
    return Grouping(rows, owners, Labels(np.zeros(rows.units, np.int64), [""]))


def value_codes(values: pa.Array) -> tuple[Ints, list[str]]:
    """Values as numbers in the order of their texts; '' is always number 0."""
    encoded = values.dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    ordered = sorted({"", *texts})
    place = {text: i for i, text in enumerate(ordered)}
    table = np.array([place[text] for text in texts] or [0], np.int64)
    return table[np.from_dlpack(encoded.indices)] if len(encoded) else np.zeros(0, np.int64), ordered


def _touch(rows: Rows, codes: Ints, steps: Bools, *, last: bool) -> Ints:
    """Per unit the code of its first or last value that is not empty."""
    chosen = np.zeros(rows.units, np.int64)
    valued = np.flatnonzero(steps & (codes > 0))
    units = rows.unit[valued]
    moment = np.zeros(rows.units, np.int64)
    way = slice(None) if last else slice(None, None, -1)  # the last write to an index stays
    moment[units[way]] = rows.at[valued][way]
    at_once = valued[rows.at[valued] == moment[units]]
    if last:
        np.maximum.at(chosen, rows.unit[at_once], codes[at_once])
        return chosen
    none = np.iinfo(np.int64).max
    chosen[:] = none
    np.minimum.at(chosen, rows.unit[at_once], codes[at_once])
    return np.where(chosen == none, 0, chosen)


def _rearranged(rows: Rows, take: Ints, unit: Ints, units: int) -> Rows:
    place = None if rows.place is None else rows.place[take]
    return Rows(unit, rows.at[take], [h[take] for h in rows.steps], [h[take] for h in rows.exclusions], units, place)


def _by_event(rows: Rows, owners: Ints, codes: Ints, texts: list[str]) -> Grouping:
    """Units (person, value): rows stay in order within each."""
    key = rows.unit * len(texts) + codes
    take = np.argsort(key, kind="stable")
    pairs, unit = np.unique(key[take], return_inverse=True)
    labels = Labels(pairs % len(texts), texts)
    return Grouping(_rearranged(rows, take, unit.astype(np.int64), len(pairs)), owners[pairs // len(texts)], labels)


def _by_step(rows: Rows, owners: Ints, codes: Ints, texts: list[str], step: int, *, keep_all: bool) -> Grouping:
    """Units (person, value at the step): each holds all rows of the person, the step's only with that value."""
    at_step = rows.steps[step]
    pairs = np.unique(rows.unit[at_step] * len(texts) + codes[at_step])
    unit_of, code_of = pairs // len(texts), pairs % len(texts)
    low = np.searchsorted(rows.unit, unit_of)
    length = np.searchsorted(rows.unit, unit_of, side="right") - low
    unit = np.repeat(np.arange(len(pairs)), length)
    take = np.arange(len(unit)) - np.repeat(np.cumsum(length) - length, length) + np.repeat(low, length)
    arranged = _rearranged(rows, take, unit, len(pairs))
    arranged.steps[step] = arranged.steps[step] & (codes[take] == np.repeat(code_of, length))
    if not keep_all:
        useful = np.logical_or.reduce([*arranged.steps, *arranged.exclusions])
        arranged = _rearranged(arranged, np.flatnonzero(useful), arranged.unit[useful], arranged.units)
    return Grouping(arranged, owners[unit_of], Labels(code_of, texts))


def shown_groups(labels: Sequence[Labels], inside: Bools, limit: int) -> tuple[list[str], Ints]:
    """The groups shown, those with most units `inside` first, and each unit's place among them; the last place is
    OTHER when there are more than `limit`. Labels of several shards are put together."""
    every = sorted({text for part in labels for text in part.texts})
    place = {text: i for i, text in enumerate(every)}
    codes = np.concatenate([np.array([place[text] for text in part.texts], np.int64)[part.code] for part in labels])
    counts = np.bincount(codes[inside], minlength=len(every))
    ranked = np.lexsort((np.arange(len(every)), -counts))[: np.count_nonzero(counts)]
    shown = np.full(len(every), limit)
    shown[ranked[:limit]] = np.arange(len(ranked[:limit]))
    names = [every[i] for i in ranked[:limit].tolist()]
    return [*names, OTHER] if len(ranked) > limit else names, shown[codes]
