"""A rule for many persons at once: columns in, one truth value per person out. Agrees with `judge`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from siyu.rules.evaluate import EXACT_MAX
from siyu.rules.judge import bounds_of, person_test, threshold
from siyu.rules.rule import Group, Measured, Metric, Negation, Person, Rule, Trigger
from siyu.rules.vocabulary import Vocabulary
from siyu.rules.window import Duration, Setting

Mask: TypeAlias = npt.NDArray[np.bool_]


_ORDERS: Final = frozenset({"eq", "ne", "gt", "gte", "lt", "lte", "between"})


class Figures(NamedTuple):
    """A metric of every person."""

    values: npt.NDArray[np.int64]
    known: Mask
    """False: an instant that never was."""


class Coded(NamedTuple):
    """An attribute of every person: few different values, and which one each has."""

    codes: npt.NDArray[np.int32]
    values: Sequence[Any]
    """None is absent."""


class Columns(NamedTuple):
    """What is known of `size` persons."""

    size: int
    figures: Mapping[Metric, Figures]
    attributes: Mapping[str, Coded]


def mask_of(rule: Rule, columns: Columns, setting: Setting, words: Vocabulary) -> Mask:
    """Of whom a rule holds. Rules about a triggering event hold of nobody."""
    if isinstance(rule, Group):
        parts = [mask_of(part, columns, setting, words) for part in rule.parts]
        if rule.word == "n_of_m":
            enough: Mask = np.sum(parts, axis=0) >= rule.n
            return enough
        join = np.logical_and if rule.word == "all" else np.logical_or
        joined: Mask = join.reduce(parts)
        return joined
    if isinstance(rule, Negation):
        return ~mask_of(rule.part, columns, setting, words)
    if isinstance(rule, Trigger) or rule.op == "crosses":
        return np.zeros(columns.size, np.bool_)
    if isinstance(rule, Measured):
        return _measured(rule, columns.figures[rule.metric], setting)
    kind = words.kind_of(rule.name)
    if kind is not None and kind.moment is not None:
        return np.full(columns.size, person_test(rule, words, setting)(kind.moment(setting)), np.bool_)
    return _person(rule, columns.attributes[rule.name], setting, words)


def _person(rule: Person, coded: Coded, setting: Setting, words: Vocabulary) -> Mask:
    test = person_test(rule, words, setting)
    if (numbers := _numbers(rule, coded.values[1:])) is not None:
        # A figure may have as many values as there are persons: all are compared at once.
        bounds: Any = list(rule.value) if isinstance(rule.value, tuple) else [rule.value]
        answers = np.concatenate([[test(coded.values[0])], _compared(rule.op, numbers, bounds)])
    else:
        answers = np.fromiter((test(value) for value in coded.values), np.bool_, len(coded.values))
    return answers[coded.codes]


def _numbers(rule: Person, values: Sequence[Any]) -> npt.NDArray[np.float64] | None:
    """The values as numbers, where the rule compares numbers and all of them are; floats hold them exactly."""
    bounds = rule.value if isinstance(rule.value, tuple) else (rule.value,)
    if rule.op not in _ORDERS or not all(type(bound) in (int, float) for bound in bounds):
        return None
    if not values or not {int, float}.issuperset(map(type, values)):
        return None
    numbers = np.array(values, np.float64)
    return numbers if np.abs(numbers).max() <= EXACT_MAX and max(map(abs, bounds)) <= EXACT_MAX else None  # type: ignore[arg-type]  # numbers


def _measured(rule: Measured, figures: Figures, setting: Setting) -> Mask:
    values, known = figures
    op, scale = rule.op, rule.metric.scale
    if op in ("exists", "is_null"):
        return known if op == "exists" else ~known
    if isinstance(rule.value, Duration):
        return known & (values > setting.now_ms - rule.value.ms) & (values <= setting.now_ms)
    if op == "is_multiple_of":
        divided: Mask = known & (values % threshold(rule.value, scale) == 0)
        return divided
    bounds = bounds_of(rule, setting, scale)
    return known & _compared(op, values, bounds)


def _compared(op: str, values: npt.NDArray[Any], bounds: list[int]) -> Mask:
    answer: Any
    if op in ("in", "not_in"):
        answer = np.isin(values, np.array(bounds, np.int64), invert=op == "not_in")
    elif op == "between":
        answer = (values >= bounds[0]) & (values <= bounds[1])
    else:
        function = {
            "eq": np.equal,
            "ne": np.not_equal,
            "gt": np.greater,
            "gte": np.greater_equal,
            "lt": np.less,
            "lte": np.less_equal,
        }[op]
        answer = function(values, bounds[0])
    found: Mask = answer
    return found
