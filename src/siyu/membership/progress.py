"""How far somebody is from fulfilling a rule: the figures of its conditions, and what is missing. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from siyu.membership.ladder import Name
from siyu.rules.judge import figure_test, person_test, threshold
from siyu.rules.masks import Columns
from siyu.rules.rule import DAY, MONEY, Group, Measured, Metric, Negation, Person, Rule
from siyu.rules.sentence import say
from siyu.rules.vocabulary import Lang, Vocabulary
from siyu.rules.window import Duration, Setting
from siyu.segments.words import GROWTH

_FLOORS: Final = ("gte", "gt", "eq")


class Facts(NamedTuple):
    """What the rules read of one person."""

    figures: Mapping[Metric, int | None]
    attributes: Mapping[str, Any]


class Figure(msgspec.Struct, frozen=True):
    """One condition of a rule, and where the person stands. Money is in fen."""

    zh: str
    en: str
    holds: bool
    value: int | float | str | bool | list[str] | None
    wanted: int | float | None
    """The number to be reached; null where the condition is of another kind."""
    missing: int | float | None
    unit: str
    """fen, day, time, growth, or empty."""


class Way(msgspec.Struct, frozen=True):
    """One way to the next tier: everything that is missing on it."""

    zh: str
    en: str
    fraction: float
    """How much of it is done, 0 to 1."""
    missing: list[Figure]


def facts_of(columns: Columns, place: int) -> Facts:
    """What the columns of a look hold of the person at `place`."""
    figures = {
        metric: int(found.values[place]) if found.known[place] else None for metric, found in columns.figures.items()
    }
    return Facts(figures, {name: column.values[column.codes[place]] for name, column in columns.attributes.items()})


Sayings = dict[Measured | Person, tuple[str, str]]
"""Conditions in Chinese and English: to say one anew for each of many persons costs more than all the rest."""


class Judging(NamedTuple):
    """A person's facts, and what they are judged with."""

    facts: Facts
    setting: Setting
    words: Vocabulary
    said: Sayings | None = None
    """What was said before, with these words; filled."""


def figures_of(rule: Rule, judging: Judging) -> list[Figure]:
    """Every condition of a rule."""
    if isinstance(rule, Group):
        return [figure for part in rule.parts for figure in figures_of(part, judging)]
    if isinstance(rule, Negation):
        return figures_of(rule.part, judging)
    return [_figure(rule, judging)] if isinstance(rule, Measured | Person) else []


def ways(rule: Rule, judging: Judging) -> list[tuple[float, list[Figure]]]:
    """What would fulfil the rule: alternatives, the nearest first, each with how much is done and what is missing."""
    if isinstance(rule, Group):
        parts = [ways(part, judging) for part in rule.parts]
        if rule.word == "any":
            return sorted((way for part in parts for way in part), key=_nearest)
        nearest = sorted((part[0] for part in parts), key=_nearest)[: rule.needed]
        missing = [figure for _, figures in nearest for figure in figures]
        return [(min((done for done, _ in nearest), default=1.0), missing)]
    if isinstance(rule, Measured | Person):
        figure = _figure(rule, judging)
        return [(1.0, []) if figure.holds else (_done(figure), [figure])]
    return [(0.0, [])]


def _nearest(way: tuple[float, list[Figure]]) -> float:
    return -way[0]


def _done(figure: Figure) -> float:
    if figure.missing is None or not figure.wanted or not isinstance(figure.value, int | float):
        return 0.0
    return max(0.0, min(0.999, figure.value / figure.wanted))


def _figure(rule: Measured | Person, judging: Judging) -> Figure:
    facts, setting, words, _ = judging
    zh, en = _words_of(rule, judging)
    if isinstance(rule, Measured):
        raw = facts.figures.get(rule.metric, None if rule.metric.is_time else 0)
        scale = rule.metric.scale
        holds = figure_test(rule, setting)(raw)
        value: Any = raw if raw is None or scale == 1 else raw / scale
        wanted = _bar(rule, scale)
        unit = _unit(rule.metric)
    else:
        kind = words.kind_of(rule.name)
        value = facts.attributes.get(rule.name, None if kind is None else kind.default)
        holds = person_test(rule, words, setting)(value)
        wanted, unit = _bar(rule, 1), "growth" if rule.name == GROWTH else ""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    missing = None if wanted is None or holds or not number else _missing(wanted, value, rule.op)
    return Figure(zh, en, holds, value, wanted, missing, unit)


def _words_of(rule: Measured | Person, judging: Judging) -> tuple[str, str]:
    known = {} if judging.said is None else judging.said
    if rule not in known:
        known[rule] = (say(rule, judging.words, "zh"), say(rule, judging.words, "en"))
    return known[rule]


def _bar(rule: Measured | Person, scale: int) -> int | float | None:
    value = rule.value
    if isinstance(value, Duration | bool) or not isinstance(value, int | float) or rule.op not in _FLOORS:
        return None
    return value if scale == 1 else threshold(value, scale) / scale


def _missing(wanted: float, value: float, op: str) -> int | float | None:
    gap = wanted - value
    if gap < 0:
        return None
    return gap if op != "gt" else gap + 1


def _unit(metric: Metric) -> str:
    if metric.is_time:
        return ""
    if metric.kind == "sum":
        return "fen" if metric.of == MONEY else ""
    if metric.kind == "streak" or (metric.kind == "distinct" and metric.of == DAY):
        return "day"
    return "time" if metric.kind == "count" else ""


_UNITS: Final[Mapping[str, tuple[str, str, str]]] = {
    "fen": ("元", "yuan", "yuan"),
    "day": ("天", "day", "days"),
    "time": ("次", "time", "times"),
    "growth": ("成长值", "growth", "growth"),
}


def amount(number: float, unit: str, lang: Lang) -> str:
    """A quantity for people: 1200 fen are 12 yuan."""
    if unit == "fen":
        text = f"{number / 100:.2f}".rstrip("0").rstrip(".")
    else:
        text = f"{number:.4f}".rstrip("0").rstrip(".") if isinstance(number, float) else str(number)
    if unit not in _UNITS:
        return text
    zh, one, many = _UNITS[unit]
    return f"{text} {zh}" if lang == "zh" else f"{text} {one if text == '1' else many}"


def said(figures: Sequence[Figure], tier: str, lang: Lang) -> str:
    """“还差 12 元到白银”, “12 yuan to Silver”."""
    parts = [_said(figure, lang) for figure in figures]
    if lang == "zh":
        return f"还差 {'，'.join(parts)}到{tier}" if parts else f"已达到{tier}的条件"
    return f"{', '.join(parts)} to {tier}" if parts else f"{tier} is reached"


def _said(figure: Figure, lang: Lang) -> str:
    text = figure.zh if lang == "zh" else figure.en
    if figure.missing is None:
        return f"“{text}”"
    gap = amount(figure.missing, figure.unit, lang)
    return gap if figure.unit in ("fen", "growth") else f"{gap}（{text}）" if lang == "zh" else f"{gap} ({text})"


def ways_to(rule: Rule, judging: Judging, name: Name, en: str) -> list[Way]:
    """The ways to a tier, the nearest first, in words."""
    return [
        Way(said(figures, name, "zh"), said(figures, en or name, "en"), done, figures)
        for done, figures in ways(rule, judging)
    ]


Reader = Callable[[int], Facts]
