"""Why a rule holds of a person or does not: each of its parts with what was seen. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

import msgspec

from siyu.rules.judge import Facts, compile_rule, value_of
from siyu.rules.money import yuan_text
from siyu.rules.phrases import PHRASES
from siyu.rules.rule import Group, Measured, Negation, Person, Rule
from siyu.rules.sentence import say
from siyu.rules.vocabulary import Lang, Vocabulary, choice_label
from siyu.rules.window import Setting

Seen: TypeAlias = str | int | float | bool | list[str] | None


class Reason(msgspec.Struct, frozen=True):
    """A condition as sentences. It says nothing of the person but that it does not hold."""

    zh: str
    en: str


class Part(NamedTuple):
    """A part of a rule, and whether it held."""

    rule: Rule
    depth: int
    """In how many groups it stands; a group comes before its parts."""
    held: bool
    seen: Seen
    """The value looked at: times as ISO texts, money in fen; None for a group, and for what is absent."""

    def called(self, words: Vocabulary, lang: Lang) -> str | None:
        """What people call the value that was seen, where it is one of a few or money."""
        leaf = self.rule
        while isinstance(leaf, Negation):
            leaf = leaf.part
        if isinstance(self.seen, int | float) and _is_money(leaf, words):
            return PHRASES[lang].yuan.format(amount=yuan_text(self.seen))
        return choice_label(self.seen, words.choices_of(leaf.name), lang) if isinstance(leaf, Person) else None


def _is_money(leaf: Rule, words: Vocabulary) -> bool:
    kind = words.kind_of(leaf.name) if isinstance(leaf, Person) else None
    return leaf.metric.is_money if isinstance(leaf, Measured) else kind is not None and kind.money


def parts_held(rule: Rule, facts: Facts, setting: Setting, words: Vocabulary, depth: int = 0) -> Iterator[Part]:
    """The parts of a rule in their order. A group of all that stands outermost is its parts; a negation of one
    condition is one part."""
    if isinstance(rule, Group) and not (depth == 0 and rule.word == "all"):
        yield Part(rule, depth, compile_rule(rule, words)(facts, setting), None)
    if isinstance(rule, Group):
        inner = depth if depth == 0 and rule.word == "all" else depth + 1
        for part in rule.parts:
            yield from parts_held(part, facts, setting, words, inner)
        return
    leaf: Rule = rule
    while isinstance(leaf, Negation):
        leaf = leaf.part
    held = compile_rule(rule, words)(facts, setting)
    yield Part(rule, depth, held, None if isinstance(leaf, Group) else seen_by(leaf, facts, setting, words))
    if isinstance(leaf, Group):
        yield from parts_held(leaf, facts, setting, words, depth + 1)


def unmet(rule: Rule, facts: Facts, setting: Setting, words: Vocabulary) -> tuple[Reason, ...]:
    """The outermost parts that do not hold; none: the rule holds."""
    parts = parts_held(rule, facts, setting, words)
    return tuple(
        Reason(say(one.rule, words, "zh"), say(one.rule, words, "en"))
        for one in parts
        if one.depth == 0 and not one.held
    )


def seen_by(leaf: Rule, facts: Facts, setting: Setting, words: Vocabulary) -> Seen:
    """The value that a condition looks at."""
    if isinstance(leaf, Person):
        kind = words.kind_of(leaf.name)
        value = value_of(leaf.name, kind, facts, setting)
        return _time(value) if kind is not None and kind.type == "time" else _plain(value)
    if isinstance(leaf, Measured):
        figure = facts.figures.get(leaf.metric)
        if leaf.metric.is_time:
            return _time(figure)
        return figure if figure is None or leaf.metric.scale == 1 else figure / leaf.metric.scale
    return None


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)).isoformat()


def _plain(value: Any) -> Seen:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    return msgspec.json.encode(value).decode()
