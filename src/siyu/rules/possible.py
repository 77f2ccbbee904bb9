"""Rules that can hold: what is asked for is refused when it would be true of nobody by the way it is written.

Apart from `parse`, which reads stored rules too: one that was accepted before stays readable and simply never holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from siyu.rules.parse import parse_rule, refuse
from siyu.rules.read import read_sentence
from siyu.rules.rule import InvalidRule, Rule
from siyu.rules.vocabulary import AttributeKind, Lang, Vocabulary
from siyu.rules.window import instant_ms
from siyu.rules.write import rule_json

COUNTED: Final = ("count", "distinct", "streak")
"""Metrics that are never below 0."""
_EVENTS: Final = ("trigger", "did", "within", "not_happened")
_UTC: Final = ZoneInfo("UTC")


def asked_rule(data: object, words: Vocabulary, *, trigger: bool = False, path: str = "rule") -> Rule:
    """The tree of a rule that somebody asks for or saves. Raises InvalidRule, also where it can never hold."""
    rule = parse_rule(data, words, trigger=trigger, path=path)
    check_possible(data, words, path)
    return rule


def asked_sentence(text: str, words: Vocabulary, lang: Lang = "zh", *, trigger: bool = False) -> Rule:
    """The rule that a sentence says, as `asked_rule`. Raises InvalidRule."""
    rule = read_sentence(text, words, lang, trigger=trigger)
    check_possible(rule_json(rule), words)
    return rule


def check_possible(data: Any, words: Vocabulary, path: str = "rule") -> None:
    """Raises InvalidRule where a rule's JSON, which `parse_rule` has read, can never hold."""
    for word in ("all", "any"):
        for i, part in enumerate(data.get(word, ())):
            check_possible(part, words, f"{path}.{word}[{i}]")
    if "not" in data:
        check_possible(data["not"], words, f"{path}.not")
    elif "n_of_m" in data:
        for i, part in enumerate(data["n_of_m"]["of"]):
            check_possible(part, words, f"{path}.n_of_m.of[{i}]")
    elif "person" in data:
        kind = words.kind_of(data["person"])
        _check_compared(data, path, times=kind is not None and kind.type == "time")
        if kind is not None:
            _check_known(data, kind, f"{path}.value")
    elif "metric" in data:
        _check_compared(data, path, times=data["metric"] in ("first", "last"))
        if data["metric"] in COUNTED:
            _check_countable(data, f"{path}.value")
        check_where(data.get("where"), f"{path}.where")
    for word in _EVENTS:
        if word in data:
            check_where(data[word].get("where"), f"{path}.{word}.where")


def check_where(where: Any, path: str = "where") -> None:
    """Raises InvalidRule where a condition's JSON, which `parse_condition` has read, can never hold."""
    if not isinstance(where, Mapping):
        return
    if "op" in where and "property" in where:
        _check_compared(where, path, times=False)
        return
    for name, value in where.items():
        if name in ("all", "any") and isinstance(value, list) and len(where) == 1:
            for i, part in enumerate(value):
                check_where(part, f"{path}.{name}[{i}]")
        elif name == "not" and isinstance(value, Mapping) and len(where) == 1:
            check_where(value, f"{path}.not")
        elif value == []:
            raise refuse("A list of at least one value is needed.", f"{path}.{name}")


def _check_compared(data: Mapping[str, Any], path: str, *, times: bool) -> None:
    op, value = data.get("op"), data.get("value")
    if op in ("in", "not_in") and not value:
        raise refuse("A list of at least one value is needed.", f"{path}.value")
    if op == "between" and isinstance(value, list):
        low, high = (instant_ms(one, _UTC) for one in value) if times else value
        if low > high:
            raise refuse("between takes the smaller value first: nothing lies in this range.", f"{path}.value")


def _values(data: Mapping[str, Any]) -> list[Any]:
    """The values that something may be equal to."""
    op, value = data.get("op"), data.get("value")
    if op in ("eq", "ne"):
        return [value]
    return list(value) if op in ("in", "not_in") and isinstance(value, list) else []


def _check_known(data: Mapping[str, Any], kind: AttributeKind, path: str) -> None:
    if kind.closed:
        known = [choice.value for choice in kind.choices]
        for value in _values(data):
            if not any(type(value) is type(one) and value == one for one in known):
                named = ", ".join(str(one) for one in known)
                called = "、".join(f"{choice.zh}（{choice.value}）" for choice in kind.choices)
                raise InvalidRule(
                    f"{kind.name} is one of: {named}. It is never {str(value)[:80]!r}.",
                    path=path,
                    detail_zh=f"{kind.zh}只能是：{called}；不会是“{str(value)[:80]}”。",
                )
    if kind.limits is not None:
        _check_range(data, *kind.limits, kind.name, path)


def _check_countable(data: Mapping[str, Any], path: str) -> None:
    _check_range(data, 0, None, str(data["metric"]), path)


def _check_range(data: Mapping[str, Any], low: int, high: int | None, what: str, path: str) -> None:
    """Raises InvalidRule where nothing from `low` to `high` fulfils a comparison."""
    op, value = data.get("op"), data.get("value")
    least = most = None
    if op == "between" and isinstance(value, list):
        least, most = value
    elif op in ("lt", "lte"):
        most = value
    elif op in ("gt", "gte", "crosses"):
        least = value
    numbers = [one for one in (least, most, *_values(data)) if one is not None]
    if not all(isinstance(one, int | float) for one in numbers):
        return
    too_low = most is not None and (most < low or (op == "lt" and most == low))
    too_high = high is not None and least is not None and (least > high or (op == "gt" and least == high))
    equal = _values(data) if op in ("eq", "in") else []
    outside = bool(equal) and all(one < low or (high is not None and one > high) for one in equal)
    if too_low or too_high or outside:
        if high is None:
            raise refuse(f"{what} is never below {low}: this can never be.", path)
        raise refuse(f"{what} is from {low} to {high}: this can never be.", path)
