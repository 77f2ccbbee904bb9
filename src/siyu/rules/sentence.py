"""A rule as a sentence for people, in Chinese or English: `say` writes it, `read.read_sentence` reads it back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from siyu.rules.condition import All as AllConditions
from siyu.rules.condition import AnyOf, Compare, Condition, OfALine
from siyu.rules.money import MONEY_FIELDS, yuan_text
from siyu.rules.phrases import PHRASES, Phrases
from siyu.rules.rule import DAY, MONEY, Group, Measured, Metric, Negation, Person, Rule, Trigger
from siyu.rules.vocabulary import AttributeKind, Choice, Lang, Vocabulary, choice_label
from siyu.rules.window import Duration, Window

NAMED_OPERATORS: Final = frozenset({"eq", "ne", "in", "not_in", "contains", "not_contains"})
"""Where a value stands for itself, so that its name may stand for it."""


def say(rule: Rule, words: Vocabulary, lang: Lang = "zh") -> str:
    """The sentence of a rule."""
    return _Writer(words, lang).rule(rule)


def say_metric(metric: Metric, words: Vocabulary, lang: Lang, measure: str | None = None) -> str:
    """What a metric is, without a test; `measure`: in place of its own, of the same events."""
    return _Writer(words, lang).metric(metric, "", measure).strip()


def quoted(text: str) -> str:
    """A text in quotation marks."""
    return "“" + text.replace("\\", "\\\\").replace("”", "\\”") + "”"


class _Writer:
    def __init__(self, words: Vocabulary, lang: Lang) -> None:
        self._words = words
        self._lang: Lang = lang
        self._phrases: Phrases = PHRASES[lang]

    def rule(self, rule: Rule) -> str:
        if isinstance(rule, Group):
            parts = [self._inner(part) for part in rule.parts]
            if rule.word == "n_of_m":
                said = self._phrases.between_parts.join(self.rule(part) for part in rule.parts)
                return self._phrases.n_of_m.format(n=rule.n, parts=said)
            return self._joined(rule.word, parts, [self.rule(part) for part in rule.parts])
        if isinstance(rule, Negation):
            return self._phrases.negation.format(part=self.rule(rule.part))
        if isinstance(rule, Person):
            kind = self._words.kind_of(rule.name)
            assert kind is not None, rule.name
            test = self._test(rule.op, rule.value, self._words.choices_of(rule.name), money=kind.money)
            return f"{self._attribute(rule.name, kind)} {test}"
        if isinstance(rule, Measured):
            return self._measured(rule)
        return self._trigger(rule)

    def _inner(self, rule: Rule) -> str:
        said = self.rule(rule)
        bare = not isinstance(rule, Group) or rule.word == "n_of_m" or len(rule.parts) < 2
        return said if bare else f"{self._phrases.open}{said}{self._phrases.close}"

    def _joined(self, word: str, wrapped: Sequence[str], bare: Sequence[str]) -> str:
        if len(wrapped) < 2:
            return (self._phrases.all if word == "all" else self._phrases.any).format(parts="".join(bare))
        return f" {self._phrases.both if word == 'all' else self._phrases.either} ".join(wrapped)

    def _attribute(self, name: str, kind: AttributeKind) -> str:
        label = kind.zh if self._lang == "zh" else kind.en
        if kind.open:
            return f"{label} {quoted(name.removeprefix(kind.name))}"
        return label + self._phrases.of_yuan if kind.money else label

    def _measured(self, rule: Measured) -> str:
        return self.metric(rule.metric, self._test(rule.op, rule.value, money=rule.metric.is_money))

    def metric(self, metric: Metric, test: str, measure: str | None = None) -> str:
        return self._phrases.metric.format(
            window=self._window(metric.window),
            events=self._events(metric.events),
            where=self._where(metric.where),
            net=self._phrases.net if metric.net else "",
            measure=measure or self._measure(metric),
            test=test,
        )

    def _trigger(self, rule: Trigger) -> str:
        named = self._phrases.trigger_is.format(events=self._events(rule.events)) if rule.events else ""
        return self._phrases.trigger.format(is_event=named, where=self._where(rule.where))

    def _events(self, names: Sequence[str]) -> str:
        said = [quoted(self._words.label(name, self._lang)) for name in names]
        return self._phrases.between_names.join(said) if said else self._phrases.any_event

    def _measure(self, metric: Metric) -> str:
        key: str = metric.kind
        if key == "sum" and metric.of == MONEY:
            key = "money"
        elif key == "distinct" and metric.of == DAY:
            key = "days"
        return self._phrases.measures[key].format(of=self._field(metric.of))

    def _window(self, window: Window) -> str:
        form: str = window.form
        if form == "this" and window.n:
            form = "ago"
        elif form == "between" and not (window.start and window.end):
            form = "since" if window.start else "until"
        return self._phrases.windows[form].format(
            n=window.n,
            unit=self._unit(window.unit, window.n),
            period=self._phrases.periods.get(window.unit, ""),
            start=quoted(window.start),
            end=quoted(window.end),
        )

    def _unit(self, unit: str, many: float) -> str:
        return (self._phrases.one_unit if many == 1 else self._phrases.units).get(unit, "")

    def _where(self, condition: Condition | None) -> str:
        return "" if condition is None else self._phrases.where.format(condition=self._condition(condition))

    def _condition(self, condition: Condition) -> str:
        if isinstance(condition, OfALine):
            return self._condition(condition.part)
        if isinstance(condition, Compare):
            name = condition.field.name
            choices, money = self._words.choices_of(name), name in MONEY_FIELDS
            return f"{self._field(name)} {self._test(condition.op, condition.value, choices, money=money)}"
        if isinstance(condition, AllConditions | AnyOf):
            bare = [self._condition(part) for part in condition.parts]
            wrapped = [
                f"{self._phrases.open}{said}{self._phrases.close}"
                if isinstance(part, AllConditions | AnyOf) and len(part.parts) > 1
                else said
                for said, part in zip(bare, condition.parts, strict=True)
            ]
            return self._joined("all" if isinstance(condition, AllConditions) else "any", wrapped, bare)
        return self._phrases.negation.format(part=self._condition(condition.part))

    def _field(self, name: str) -> str:
        return self._phrases.fields.get(name) or quoted(name)

    def _test(self, op: str, value: Any, choices: Sequence[Choice] = (), *, money: bool = False) -> str:
        template = self._phrases.operators[op]
        if choices and op in NAMED_OPERATORS:
            value = (
                tuple(self._named(one, choices) for one in value)
                if isinstance(value, tuple)
                else self._named(value, choices)
            )
        if isinstance(value, Duration):
            return template.format(n=value.n, unit=self._unit(value.unit, value.n))
        if op == "between":
            return template.format(value=self._value(value[0], money), value2=self._value(value[1], money))
        if isinstance(value, tuple):
            return template.format(values=f"[{', '.join(self._value(item, money) for item in value)}]")
        return template.format(value=self._value(value, money))

    def _named(self, value: Any, choices: Sequence[Choice]) -> Any:
        label = choice_label(value, choices, self._lang)
        return value if label is None else label

    def _value(self, value: Any, money: bool) -> str:
        if isinstance(value, bool):
            return self._phrases.true if value else self._phrases.false
        if isinstance(value, str):
            return quoted(value)
        return yuan_text(value) if money and value is not None else json.dumps(value)
