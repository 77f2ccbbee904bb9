"""Metrics of many persons, each at instants of their own. What a metric reads of every event it counts (`piece_sql`) is
fetched once, whatever the instants; the rest is arithmetic on arrays. Agrees with `measure`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siyu.rules.measure import Figure
from siyu.rules.rule import DAY, Metric
from siyu.rules.window import Setting, Window, interval_of, local_day

Ints: TypeAlias = npt.NDArray[np.int64]
_TIME_BITS: Final = 45
_EARLIEST_MS: Final = -(2**43)
_LATEST_MS: Final = 2**44
PERSONS_MAX: Final = 2**17
"""A person's place and an instant (years 1691 to 2527, more than the engine knows) fit one number."""


class Look(NamedTuple):
    """A person, by their place in a list, and when they are looked at."""

    person: int
    setting: Setting


class Pieces(NamedTuple):
    """The events that a figure counts, by person and time, and what it reads of each."""

    keys: Ints
    """Person and time in one number, ascending; of equal ones the smaller value comes first."""
    at_ms: Ints
    values: Ints
    """A number, or the place of a text in `texts`; nothing where the instant is all."""
    texts: Sequence[str] = ()
    """Ascending by their bytes."""
    fen: Ints | None = None
    refunds: Ints | None = None
    """Of orders: 1 where money was given back."""


class Slices(NamedTuple):
    """Of each look the pieces low to before high."""

    low: Ints
    high: Ints


def key_of(persons: Ints, at_ms: Ints) -> Ints:
    """Person and time in one number, in the order of both."""
    return (persons << _TIME_BITS) + np.clip(at_ms, _EARLIEST_MS, _LATEST_MS) - _EARLIEST_MS


def pieces_of(persons: Ints, at_ms: Ints, read: pa.Array | None) -> Pieces:
    """The pieces of events in any order. `read`: numbers (null: not counted), lists of texts, of which each counts, or
    (order, fen, refund)."""
    fen = refunds = None
    texts: Sequence[str] = ()
    values = np.zeros(len(persons), np.int64)
    if read is not None and pa.types.is_struct(read.type):
        order, money, back = (read.field(n) for n in range(3))
        values, texts = _coded(order)
        fen, refunds = (column.to_numpy(zero_copy_only=False).astype(np.int64) for column in (money, back))
    elif read is not None and pa.types.is_list(read.type):
        often = read.value_lengths().to_numpy(zero_copy_only=False)
        persons, at_ms = np.repeat(persons, often), np.repeat(at_ms, often)
        values, texts = _coded(read.flatten())
    elif read is not None:
        known = read.is_valid().to_numpy(zero_copy_only=False)
        persons, at_ms = persons[known], at_ms[known]
        values = read.drop_null().to_numpy(zero_copy_only=False).astype(np.int64)
    keys = key_of(persons, at_ms)
    order_of = np.lexsort((values, keys))
    sorted_ = [None if column is None else column[order_of] for column in (fen, refunds)]
    return Pieces(keys[order_of], at_ms[order_of], values[order_of], texts, *sorted_)


def _coded(texts: pa.Array) -> tuple[Ints, list[str]]:
    encoded = texts.cast(pa.string()).dictionary_encode()
    different: list[str] = encoded.dictionary.to_pylist()
    ranked = sorted(range(len(different)), key=lambda place: different[place].encode())
    ranks = np.zeros(len(different), np.int64)
    ranks[ranked] = np.arange(len(different))
    return ranks[encoded.indices.to_numpy(zero_copy_only=False)], [different[place] for place in ranked]


def slices_of(pieces: Pieces, window: Window, looks: Sequence[Look]) -> Slices:
    """What of the pieces lies in the window of each look."""
    persons = np.array([look.person for look in looks], np.int64)
    spans = np.array([interval_of(window, look.setting) for look in looks], np.int64).reshape(-1, 2)
    low, high = (np.searchsorted(pieces.keys, key_of(persons, spans[:, n])) for n in range(2))
    return Slices(low, np.maximum(low, high))


def figures_at(metric: Metric, pieces: Pieces, looks: Sequence[Look]) -> list[Figure]:
    """The figure of a metric at every look."""
    slices = slices_of(pieces, metric.window, looks)
    low, high = slices
    if metric.is_time:
        places = low if metric.kind == "first" else high - 1
        return [int(pieces.at_ms[at]) if some else None for at, some in zip(places, high > low, strict=True)]
    if metric.net and pieces.fen is not None:
        counted = _net_orders if metric.kind == "count" else _paid_fen
        return each_slice(slices, lambda a, b: counted(pieces, a, b))
    if metric.kind == "count":
        return [int(count) for count in high - low]
    if metric.kind == "sum":
        sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(pieces.values)])
        return [int(total) for total in sums[high] - sums[low]]
    if metric.kind == "distinct":
        return each_slice(slices, lambda a, b: len(np.unique(pieces.values[a:b])))
    runs = each_slice(slices, lambda a, b: _run(pieces.values[a:b]))
    return [
        0 if run is None or run[0] < local_day(look.setting.now_ms, look.setting.zone) - 1 else run[1]
        for run, look in zip(runs, looks, strict=True)
    ]


def each_slice(slices: Slices, figure: Callable[[int, int], Any]) -> list[Any]:
    """A figure of every slice; of equal slices it is worked out once."""
    both = list(zip(slices.low.tolist(), slices.high.tolist(), strict=True))
    known = {one: figure(*one) for one in set(both)}
    return [known[one] for one in both]


def _run(days: Ints) -> tuple[int, int] | None:
    """The last day, and how many in a row up to it."""
    falling = np.unique(days)[::-1]
    if not len(falling):
        return None
    apart = np.flatnonzero(falling[0] - falling != np.arange(len(falling)))
    return int(falling[0]), int(apart[0]) if len(apart) else len(falling)


def _by_order(pieces: Pieces, low: int, high: int) -> tuple[Ints, Ints, Ints]:
    """Of every order its fen, how often it was paid, and refunded."""
    assert pieces.fen is not None and pieces.refunds is not None
    orders, place = np.unique(pieces.values[low:high], return_inverse=True)
    sums = [np.zeros(len(orders), np.int64) for _ in range(3)]
    back = pieces.refunds[low:high]
    for total, column in zip(sums, (pieces.fen[low:high], 1 - back, back), strict=True):
        np.add.at(total, place, column)
    return sums[0], sums[1], sums[2]


def _net_orders(pieces: Pieces, low: int, high: int) -> int:
    fen, paid, back = _by_order(pieces, low, high)
    return int(((paid > 0) & ((fen > 0) | (back == 0))).sum())


def _paid_fen(pieces: Pieces, low: int, high: int) -> int:
    fen, paid, _ = _by_order(pieces, low, high)
    return int(fen[paid > 0].sum())


def reads_days(metric: Metric) -> bool:
    """Whether local days are what counts."""
    return metric.kind == "streak" or (metric.kind == "distinct" and metric.of == DAY)
