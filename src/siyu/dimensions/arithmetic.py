"""The second step for many persons: arithmetic on columns of whole numbers. Agrees with `evaluate.raw_of`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from siyu.dimensions.dimension import (
    After,
    Aggregate,
    Band,
    Const,
    Difference,
    Expression,
    Ratio,
    Regularity,
    Since,
    Total,
)
from siyu.dimensions.evaluate import EXACT_MAX
from siyu.rules.window import UNIT_MS, Setting, local_day

Ints: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]


class Numbers(NamedTuple):
    """A figure of each person; where it is not `known` it is absent and its value means nothing."""

    values: Ints
    known: Mask


class Texts(NamedTuple):
    """A text of each person, as a number in a list; 0 is absent."""

    codes: Ints
    texts: list[str]
    """The text of code n + 1."""


Table: TypeAlias = Callable[[Aggregate], Numbers | Texts]
"""What was read of each person."""


def column(expression: Expression, table: Table, size: int, setting: Setting) -> Numbers | Texts:
    """An expression without references of `size` persons."""
    if isinstance(expression, Aggregate):
        return table(expression)

    def of(part: Expression) -> Numbers:
        found = column(part, table, size, setting)
        assert isinstance(found, Numbers), part
        return found

    if isinstance(expression, Const):
        return Numbers(np.full(size, expression.value, np.int64), np.ones(size, np.bool_))
    if isinstance(expression, Total):
        parts = [of(part) for part in expression.parts]
        known: Mask = np.logical_and.reduce([part.known for part in parts])
        return Numbers(np.sum([part.values for part in parts], axis=0, dtype=np.int64), known)
    if isinstance(expression, Difference):
        a, b = of(expression.a), of(expression.b)
        less = a.values - b.values
        return Numbers(less if expression.floor is None else np.maximum(less, expression.floor), a.known & b.known)
    if isinstance(expression, Ratio):
        return _ratio(of(expression.a), of(expression.b), expression)
    if isinstance(expression, Since):
        day = of(expression.day)
        return Numbers(np.maximum(0, local_day(setting.now_ms, setting.zone) - day.values), day.known)
    if isinstance(expression, After):
        at, days = of(expression.at), of(expression.days)
        return Numbers(at.values + days.values * UNIT_MS["day"] // expression.scale, at.known & days.known)
    if isinstance(expression, Regularity):
        return _regularity(of(expression.gaps), of(expression.total), of(expression.squares))
    assert isinstance(expression, Band), expression
    figure = of(expression.of)
    place: Ints = np.searchsorted(np.array(expression.edges, np.int64), figure.values, side="right")
    return Texts(np.where(figure.known, place + 1, 0), list(expression.names))


def _ratio(a: Numbers, b: Numbers, ratio: Ratio) -> Numbers:
    known = a.known & b.known & (b.values > 0) & (np.abs(a.values) <= EXACT_MAX // (2 * ratio.scale))
    over, under = np.where(known, a.values, 0), np.where(known, b.values, 1)
    rounded = (2 * over * ratio.scale + under) // (2 * under)
    return Numbers(rounded if ratio.most is None else np.minimum(rounded, ratio.most), known)


def _regularity(count: Numbers, total: Numbers, squares: Numbers) -> Numbers:
    known = count.known & total.known & squares.known & (count.values >= 2) & (total.values > 0)
    n, days, square = (np.where(known, part.values, 1) for part in (count, total, squares))
    spread = 10_000 * (n * square - days * days)
    root: Ints = np.sqrt(np.maximum(0, spread).astype(np.float64)).astype(np.int64)
    # A float is not exact beyond 2^53: the whole root is next to it.
    root -= root * root > spread
    root += (root + 1) * (root + 1) <= spread
    return Numbers(np.maximum(0, 100 - -(-root // days)), known)
