"""RFM: how recently, how often and for how much persons bought, scored against each other.

Reference day = the last purchase day of all + 1; R = days since the last purchase, F = distinct purchase days, M = the
total. Scores 1 to 5 by value cuts (the 20, 40, 60 and 80 % points, values that occur): equal values get equal scores,
so a score may be empty. `rank` cuts give equal groups instead and split equal values by person number; the answer says
how many persons were split off. The eight cells compare R, F and M with their mean or median.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siyu.analytics.calendar import day_sql, midnight_ms
from siyu.analytics.columns import Bools, Ints, firsts, floats, ints
from siyu.analytics.question import (
    EventName,
    Question,
    Shape,
    Span,
    Step,
    Where,
    field_of,
    refuse,
    span_of,
)
from siyu.analytics.scope import (
    Query,
    Scope,
    Shard,
    during_sql,
    matcher,
    matcher_sql,
    person_column,
    shard_sql,
)
from siyu.collect.catalogue import PURCHASES
from siyu.rules import Params, field_text_sql, numeric_sql

Numbers: TypeAlias = npt.NDArray[Any]
"""Whole numbers or floats."""

SCORES: Final = 5
_EPOCH: Final = date(1970, 1, 1)

CELLS: Final = {
    (True, True, True): ("important_value", "重要价值"),
    (True, False, True): ("important_develop", "重要发展"),
    (False, True, True): ("important_keep", "重要保持"),
    (False, False, True): ("important_win_back", "重要挽留"),
    (True, True, False): ("general_value", "一般价值"),
    (True, False, False): ("general_develop", "一般发展"),
    (False, True, False): ("general_keep", "一般保持"),
    (False, False, False): ("general_win_back", "一般挽留"),
}
"""(recent, frequent, much) → name, Chinese name."""

Score = Annotated[int, msgspec.Meta(ge=1, le=SCORES)]


class RfmCell(Shape, frozen=True, kw_only=True):
    """Persons by any of their scores, or by their cell of eight; empty: all buyers."""

    r: Score | None = None
    f: Score | None = None
    m: Score | None = None
    name: str | None = None


class Rfm(Question, frozen=True, kw_only=True, tag="rfm", tag_field="kind"):
    """See docs/questions.md, rfm."""

    event: EventName | None = None
    where: Where | None = None
    value: str = "@value_fen"
    range: Span | None = None
    reference: str | None = None
    cuts: Literal["value", "rank"] = "value"
    split: Literal["mean", "median"] = "mean"
    cell: RfmCell | None = None


class RfmGroup(msgspec.Struct):
    """Persons with the same three scores, and what they spent."""

    r: int
    f: int
    m: int
    persons: int
    value: float | int


class RfmSegment(msgspec.Struct):
    """One of the eight cells."""

    name: str
    name_zh: str
    persons: int
    share: float
    value: float | int


class RfmCounts(msgspec.Struct):
    """`cuts`: score 1 + the number of cut points below the value (R: the fewer days, the higher). `split`: the border
    between high and low of the eight cells (R high: at most; F and M high: at least). `tied`: persons that rank cuts
    gave another score than their equals."""

    reference_day: str
    persons: int
    value: float | int
    cuts: dict[str, list[float]]
    split: dict[str, float]
    tied: dict[str, int]
    groups: list[RfmGroup]
    by_recency_and_frequency: list[list[int]]
    segments: list[RfmSegment]


def check(question: Rfm) -> None:
    """Refuse what cannot be asked. Raises InvalidQuestion."""
    field_of(question.value, "value")
    cell = question.cell
    if cell is not None and cell.name is not None and cell.name not in {name for name, _ in CELLS.values()}:
        raise refuse("There is no such cell of eight.", "cell.name")
    if question.reference is not None:
        _reference(question.reference)


def _reference(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise refuse("The reference day is a date.", "reference") from None


def plan(question: Rfm, scope: Scope, shard: Shard) -> Query:
    """Rows (p, d, b, m): local day, whether it is a purchase, money. Without `event`, purchases are the events
    with money and the catalogue's purchases (a free order counts), and refunds lower the total. Single events, since
    the slices of a question that groups them would each have their own figures of a merged person."""
    params = Params()
    tomorrow = midnight_ms(scope.now.astimezone(scope.zone).date() + timedelta(days=1), scope.zone)
    span = scope.history(tomorrow) if question.range is None else span_of(question.range, scope.zone, scope.now)
    day = day_sql(scope.zone, span)
    step = matcher(Step(event=question.event, where=question.where), "event")
    field = field_of(question.value, "value")
    number = "value_fen" if field.root == "value_fen" else f"ifNull({numeric_sql(field_text_sql(field, params))}, 0)"
    matches = matcher_sql(step, params)
    bought = "1"
    if question.event is None:
        matches = f"({matches} AND (value_fen != 0 OR name IN {params.add(PURCHASES, 'Array(String)')}))"
        bought = "value_fen >= 0"
    where = f"{during_sql(span, params)} AND {matches}{shard_sql(shard)}"
    columns = f"{person_column(scope)}, toInt32({day}) AS d, toUInt8({bought}) AS b, {number} AS m"
    return Query(f"SELECT {columns} FROM events WHERE {where}", params.values)


class Buyers(NamedTuple):
    """Persons with their three figures."""

    person: Ints
    last_day: Ints
    frequency: Ints
    monetary: Numbers


def reduce(question: Rfm, scope: Scope, table: pa.Table) -> Buyers:
    """One shard's rows as persons with at least one purchase."""
    person, day, bought, money = ints(table, "p"), ints(table, "d"), floats(table, "b") != 0, floats(table, "m")
    order = np.argsort((person << 32) + (day + (1 << 31)), kind="stable")  # rows come in runs: joined, not sorted
    person, day, bought, money = person[order], day[order], bought[order], money[order]
    place = np.flatnonzero(bought)
    begins = np.flatnonzero(firsts(person))
    if not len(place):
        return Buyers(person[:0], day[:0], day[:0], money[:0])
    new = np.zeros(len(person), np.int64)
    new[place[firsts(person[place]) | firsts(day[place])]] = 1
    days = np.add.reduceat(new, begins)
    last = np.maximum.reduceat(np.where(bought, day, np.iinfo(np.int64).min), begins)
    buyers = Buyers(person[begins], last, days, np.add.reduceat(money, begins))
    return Buyers(*(column[days > 0] for column in buyers))


class _Scale(NamedTuple):
    """One of R, F, M: a score for each person, the cut points, the border of the eight cells."""

    score: Ints
    cuts: list[float]
    border: float
    high: Bools
    tied: int


class RfmOutcome(NamedTuple):
    """Every buyer with scores."""

    reference: date
    buyers: Buyers
    r: _Scale
    f: _Scale
    m: _Scale

    def _of_eight(self) -> Ints:
        """The place of each person's cell in CELLS."""
        places = np.zeros(8, np.int64)
        for place, (recent, frequent, much) in enumerate(CELLS):
            places[recent * 4 + frequent * 2 + much] = place
        high: Ints = self.r.high * 4 + self.f.high * 2 + self.m.high * 1
        return places[high]

    def persons(self, cell: RfmCell) -> Ints:
        """The persons behind a number."""
        inside = np.ones(len(self.buyers.person), bool)
        for scale, wanted in ((self.r, cell.r), (self.f, cell.f), (self.m, cell.m)):
            if wanted is not None:
                inside &= scale.score == wanted
        if cell.name is not None:
            inside &= self._of_eight() == [name for name, _ in CELLS.values()].index(cell.name)
        return np.sort(self.buyers.person[inside])

    def answer(self) -> RfmCounts:
        """Groups, grid and cells."""
        base = SCORES + 1
        counts, spent = self._sums((self.r.score * base + self.f.score) * base + self.m.score, base**3)
        groups = [
            RfmGroup(key // base**2, key // base % base, key % base, counts[key], spent[key])
            for key in range(base**3 - 1, -1, -1)
            if counts[key]
        ]
        grid, _ = self._sums((self.r.score - 1) * SCORES + self.f.score - 1, SCORES**2)
        total = len(self.buyers.person)
        counts, spent = self._sums(self._of_eight(), len(CELLS))
        segments = [
            RfmSegment(name, name_zh, count, count / total if total else 0.0, value)
            for (name, name_zh), count, value in zip(CELLS.values(), counts, spent, strict=True)
        ]
        scales = {"r": self.r, "f": self.f, "m": self.m}
        return RfmCounts(
            self.reference.isoformat(),
            total,
            self.buyers.monetary.sum().item(),
            {name: scale.cuts for name, scale in scales.items()},
            {name: scale.border for name, scale in scales.items()},
            {name: scale.tied for name, scale in scales.items()},
            groups,
            [grid[row : row + SCORES] for row in range(0, SCORES**2, SCORES)],
            segments,
        )

    def _sums(self, key: Ints, keys: int) -> tuple[list[int], list[Any]]:
        """Persons and what they spent, per key below `keys`."""
        spent = np.zeros(keys, self.buyers.monetary.dtype)
        np.add.at(spent, key, self.buyers.monetary)
        return np.bincount(key, minlength=keys).tolist(), spent.tolist()


def finish(question: Rfm, scope: Scope, parts: Sequence[Buyers]) -> RfmOutcome:
    """Score everybody against everybody."""
    buyers = Buyers(*(np.concatenate([part[i] for part in parts]) for i in range(4)))
    if question.reference is not None:
        reference = _reference(question.reference)
    elif len(buyers.last_day):
        reference = _EPOCH + timedelta(days=int(buyers.last_day.max()) + 1)
    else:
        reference = scope.now.astimezone(scope.zone).date()
    recency = (reference - _EPOCH).days - buyers.last_day
    scale = _by_rank if question.cuts == "rank" else _by_value
    center = np.median if question.split == "median" else np.mean
    scales = []
    for figures, sign in ((recency, -1), (buyers.frequency, 1), (buyers.monetary, 1)):
        border = float(center(figures)) if len(figures) else 0.0
        high = figures * sign >= border * sign
        score, cuts, tied = scale(figures * sign, buyers.person)
        scales.append(_Scale(score, [cut * sign for cut in cuts], border, high, tied))
    return RfmOutcome(reference, buyers, *scales)


def _by_value(figures: Numbers, person: Ints) -> tuple[Ints, list[float], int]:
    """Scores from cut points that are values: the smallest with at least 20 (40, 60, 80) % of persons at or below."""
    if not len(figures):
        return np.zeros(0, np.int64), [], 0
    places = [-(-len(figures) * k // SCORES) - 1 for k in range(1, SCORES)]
    cuts = _at_places(figures, places)
    score = np.ones(len(figures), np.int64)
    for cut in cuts:
        score += figures > cut
    return score, cuts.tolist(), 0


def _at_places(figures: Numbers, places: list[int]) -> Numbers:
    """What stands at these places in ascending order; days and frequencies are counted rather than sorted."""
    low, high = figures.min(), figures.max()
    if figures.dtype.kind != "i" or high - low > len(figures):
        return np.sort(figures)[places]
    found: Numbers = low + np.searchsorted(np.cumsum(np.bincount(figures - low)), places, side="right")
    return found


def _by_rank(figures: Numbers, person: Ints) -> tuple[Ints, list[float], int]:
    """Scores from ranks, five groups of equal size; equals are ranked by person number."""
    size = len(figures)
    if not size:
        return np.zeros(0, np.int64), [], 0
    order = np.lexsort((person, figures))
    score = np.empty(size, np.int64)
    score[order] = 1 + np.arange(size) * SCORES // size
    ordered = figures[order]
    starts = [-(-size * k // SCORES) for k in range(1, SCORES)]
    cuts = [ordered[min(start, size - 1)].item() for start in starts]
    _, first, place = np.unique(ordered, return_index=True, return_inverse=True)
    tied = int((score[order] != score[order][first][place]).sum())
    return score, cuts, tied
