"""A rule for one person: the closure form. Agrees with `masks` on every rule and person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from siyu.rules.condition import Compare, Field
from siyu.rules.evaluate import compare, holds
from siyu.rules.measure import Figure, measure
from siyu.rules.rule import Group, Measured, Metric, Negation, Person, Rule, Trigger
from siyu.rules.vocabulary import AttributeKind, Vocabulary
from siyu.rules.window import Duration, Setting, instant_ms

TAG_JOIN: Final = "/"


class Facts(NamedTuple):
    """What is known of one person."""

    attributes: Mapping[str, Any] = {}
    """By name; missing and None are absent. Lists are of texts, an empty one is absent too; times are epoch
    milliseconds."""
    events: Sequence[Mapping[str, Any]] = ()
    """Their events, in any order: the columns of `events` with `at_ms` and `event_id`, properties and context decoded.
    Needed for the metrics that `figures` does not hold."""
    figures: Mapping[Metric, Figure] = {}
    """Metrics that were counted already."""
    figures_before: Mapping[Metric, Figure] = {}
    """The same without the triggering event."""
    trigger: Mapping[str, Any] | None = None
    """The triggering event, one of `events` where these are given."""


Judge: TypeAlias = Callable[[Facts, Setting], bool]
"""Whether a rule holds of a person in a setting."""


def compile_rule(rule: Rule, words: Vocabulary) -> Judge:
    """The rule as a closure."""
    if isinstance(rule, Group):
        return _group([compile_rule(part, words) for part in rule.parts], rule.needed)
    if isinstance(rule, Negation):
        part = compile_rule(rule.part, words)
        return lambda facts, setting: not part(facts, setting)
    if isinstance(rule, Trigger):
        return _trigger(rule, words)
    if isinstance(rule, Measured):
        return _measured(rule, words)
    return _person(rule, words)


def _group(parts: Sequence[Judge], needed: int) -> Judge:
    def judge(facts: Facts, setting: Setting) -> bool:
        missing, left = needed, len(parts)
        for part in parts:
            if missing <= 0 or missing > left:
                break
            missing -= part(facts, setting)
            left -= 1
        return missing <= 0

    return judge


def _trigger(rule: Trigger, words: Vocabulary) -> Judge:
    names = {spelling for name in rule.events for spelling in words.spellings(name)}

    def judge(facts: Facts, setting: Setting) -> bool:
        event = facts.trigger
        if event is None or (names and event["name"] not in names):
            return False
        return rule.where is None or holds(rule.where, event)

    return judge


def _measured(rule: Measured, words: Vocabulary) -> Judge:
    metric = rule.metric

    def figure(facts: Facts, setting: Setting, before: bool) -> Figure:
        known = facts.figures_before if before else facts.figures
        if metric in known:
            return known[metric]
        events = facts.events
        if before:
            events = [event for event in events if event is not facts.trigger]
        return measure(metric, events, setting, words)

    if rule.op != "crosses":
        return lambda facts, setting: figure_test(rule, setting)(figure(facts, setting, False))

    def crosses(facts: Facts, setting: Setting) -> bool:
        bar = threshold(rule.value, metric.scale)
        before, after = figure(facts, setting, True), figure(facts, setting, False)
        return before is not None and after is not None and before < bar <= after

    return crosses


def threshold(value: Any, scale: int) -> int:
    """A number of a rule, as figures are kept."""
    kept: int = value if scale == 1 else round(value * scale)
    return kept


def bounds_of(rule: Measured | Person, setting: Setting, scale: int) -> list[int]:
    """The numbers that figures are compared with; of times, epoch milliseconds."""
    values = rule.value if isinstance(rule.value, tuple) and not isinstance(rule.value, Duration) else (rule.value,)
    return [
        instant_ms(value, setting.zone) if isinstance(value, str) else threshold(value, scale)
        for value in values
        if isinstance(value, str | int | float)
    ]


_NUMBER_TESTS: Final[Mapping[str, Callable[[int, list[int]], bool]]] = {
    "eq": lambda a, b: a == b[0],
    "ne": lambda a, b: a != b[0],
    "gt": lambda a, b: a > b[0],
    "gte": lambda a, b: a >= b[0],
    "lt": lambda a, b: a < b[0],
    "lte": lambda a, b: a <= b[0],
    "in": lambda a, b: a in b,
    "not_in": lambda a, b: a not in b,
    "between": lambda a, b: b[0] <= a <= b[1],
}


def figure_test(rule: Measured | Person, setting: Setting) -> Callable[[Figure], bool]:
    """What a rule asks of a figure or a time."""
    op = rule.op
    if op in ("exists", "is_null"):
        return lambda figure: (figure is not None) == (op == "exists")
    if isinstance(rule.value, Duration):
        now, length = setting.now_ms, rule.value.ms
        return lambda figure: figure is not None and now - length < figure <= now
    scale = rule.metric.scale if isinstance(rule, Measured) else 1
    if op == "is_multiple_of":
        unit = threshold(rule.value, scale)
        return lambda figure: figure is not None and figure % unit == 0
    test, bounds = _NUMBER_TESTS[op], bounds_of(rule, setting, scale)
    return lambda figure: figure is not None and test(figure, bounds)


def _person(rule: Person, words: Vocabulary) -> Judge:
    kind = words.kind_of(rule.name)

    def judge(facts: Facts, setting: Setting) -> bool:
        return person_test(rule, words, setting)(value_of(rule.name, kind, facts, setting))

    return judge


def value_of(name: str, kind: AttributeKind | None, facts: Facts, setting: Setting) -> Any:
    """The value of an attribute, `kind` being what it is declared as; None: the person has none."""
    if kind is not None and kind.moment is not None:
        return kind.moment(setting)
    return facts.attributes.get(name, None if kind is None else kind.default)


def person_test(rule: Person, words: Vocabulary, setting: Setting) -> Callable[[Any], bool]:
    """What a rule asks of the value of an attribute."""
    kind = words.kind_of(rule.name)
    if kind is not None and kind.type == "time":
        return figure_test(rule, setting)
    if rule.op == "has_tag":
        tag, inside = rule.value, f"{rule.value}{TAG_JOIN}"
        return lambda value: any(item == tag or item.startswith(inside) for item in value or ())
    condition = Compare(Field(rule.name, "person", ()), rule.op, rule.value)
    if kind is not None and kind.type == "list":
        return lambda value: compare(condition, value or None)
    return lambda value: compare(condition, value)
