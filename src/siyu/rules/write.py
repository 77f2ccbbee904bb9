"""Rule to JSON: the long form, which `parse.parse_rule` reads as the same rule."""

from __future__ import annotations

from typing import Any

from siyu.rules.condition import All as AllConditions
from siyu.rules.condition import Compare, Condition, Not, OfALine
from siyu.rules.rule import Group, Negation, Person, Rule, Trigger
from siyu.rules.window import Duration, Window


def condition_json(condition: Condition) -> dict[str, Any]:
    """A property condition as JSON."""
    if isinstance(condition, OfALine):
        return condition_json(condition.part)
    if isinstance(condition, Compare):
        data: dict[str, Any] = {"property": condition.field.name, "op": condition.op}
        return data if condition.value is None else data | {"value": _plain(condition.value)}
    if isinstance(condition, Not):
        return {"not": condition_json(condition.part)}
    word = "all" if isinstance(condition, AllConditions) else "any"
    return {word: [condition_json(part) for part in condition.parts]}


def rule_json(rule: Rule) -> dict[str, Any]:
    """A rule as JSON, in its long form."""
    if isinstance(rule, Group):
        parts = [rule_json(part) for part in rule.parts]
        return {"n_of_m": {"n": rule.n, "of": parts}} if rule.word == "n_of_m" else {rule.word: parts}
    if isinstance(rule, Negation):
        return {"not": rule_json(rule.part)}
    if isinstance(rule, Trigger):
        return {"trigger": _happening_json(rule.events, rule.where)}
    if isinstance(rule, Person):
        data: dict[str, Any] = {"person": rule.name}
    else:
        metric = rule.metric
        data = {"metric": metric.kind} | _happening_json(metric.events, metric.where)
        data |= {"of": metric.of} if metric.of else {}
        data |= {"net": True} if metric.net else {}
        data |= {"window": window_json(metric.window)} if metric.window.form != "ever" else {}
    data["op"] = rule.op
    return data if rule.value is None else data | {"value": _plain(rule.value)}


def _happening_json(events: tuple[str, ...], where: Condition | None) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if events:
        data["event"] = events[0] if len(events) == 1 else list(events)
    return data if where is None else data | {"where": condition_json(where)}


def window_json(window: Window) -> dict[str, Any]:
    """A window as JSON."""
    if window.form == "last":
        return {"last": window.n, "unit": window.unit}
    if window.form == "this":
        return {"this": window.unit} | ({"ago": window.n} if window.n else {})
    if window.form == "days":
        return {"days": window.n}
    if window.form == "campaign":
        return {"campaign": True}
    return {key: text for key, text in (("from", window.start), ("to", window.end)) if text}


def _plain(value: Any) -> Any:
    if isinstance(value, Duration):
        return {"n": value.n, "unit": value.unit}
    return list(value) if isinstance(value, tuple) else value
