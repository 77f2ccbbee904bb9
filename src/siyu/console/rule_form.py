"""The rule builder's words, and what a form with a builder says. Any page may include the builder:

    {% import "rule_builder.html" as rules with context %}   {{ rules.builder("rule", editor) }}

`editor_of` makes `editor`; when the form comes back `rule_from` reads the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from siyu.console.i18n import mark as _
from siyu.console.rule_draft import (
    DEPTH_MAX,
    LIST_OPS,
    MEASURES,
    PRESENCE,
    WINDOWS,
    Draft,
    Made,
    checked,
    draft_of,
    rule_of,
)
from siyu.coupons.template import COUPON_WORDS, FIRST_PAID_ORDER
from siyu.errors import MalformedRequest
from siyu.rules.condition import OPERATORS
from siyu.rules.moments import WORKDAY
from siyu.rules.money import MONEY_FIELDS
from siyu.rules.parse import parse_rule
from siyu.rules.phrases import PHRASES
from siyu.rules.possible import asked_rule, asked_sentence
from siyu.rules.rule import LIST_OPERATORS, NUMBER_OPERATORS, TIME_OPERATORS, InvalidRule
from siyu.rules.sentence import say
from siyu.rules.vocabulary import AttributeKind, Lang, Vocabulary
from siyu.rules.window import PERIODS, UNIT_MS
from siyu.rules.write import rule_json
from siyu.segments.words import WORDS

DRAFT_BYTES_MAX: Final = 200_000
_NUMBER_OPS: Final = ("gte", "lte", "eq", "ne", "gt", "lt", "between", "in", "not_in", "is_multiple_of", *PRESENCE)
_TEXT_OPS: Final = (
    *("eq", "ne", "in", "not_in", "contains", "not_contains", "starts_with", "ends_with"),
    *("gte", "lte", "gt", "lt", "between", "is_multiple_of", *PRESENCE),
)
_CHOICE_OPS: Final = ("eq", "ne", "in", "not_in", *PRESENCE)
_NO_TAG_OPS: Final = tuple(op for op in LIST_OPERATORS if op != "has_tag")
_TAG_OPS: Final = ("has_tag", *_NO_TAG_OPS)
CHOICES_SHOWN_MAX: Final = 30
"""With more of them the value is typed; the sentence says what it is called."""
_SLOT: Final = re.compile(r"(\{\w+\} ?)+")
PROFILE: Final = _("Profile")
VOCABULARIES: Final[dict[str, Vocabulary]] = {"": WORDS, "coupons": COUPON_WORDS}
"""What a builder may speak of, by the name its form sends along."""
assert set(_TEXT_OPS) == OPERATORS


class Editor(NamedTuple):
    """What the templates of the builder need."""

    draft: Draft
    text: str
    lang: Lang
    trigger: bool
    """Whether there is a triggering event."""
    vocabulary: str = ""

    @property
    def words(self) -> Vocabulary:
        """What may be spoken of."""
        return VOCABULARIES[self.vocabulary]

    def kind(self, name: str) -> AttributeKind | None:
        """What an attribute is."""
        return self.words.kind_of(name) if name else None

    def label(self, name: str) -> str:
        """What people read for an attribute."""
        kind = self.kind(name)
        if kind is None:
            return name
        label = kind.zh if self.lang == "zh" else kind.en
        if kind.open:
            return f"{label}: {name.removeprefix(kind.name)}"
        return label + PHRASES[self.lang].of_yuan if kind.money else label

    def note(self, name: str) -> str:
        """What an attribute tells."""
        kind = self.kind(name)
        return "" if kind is None else kind.note[0 if self.lang == "zh" else 1]

    def field(self, name: str) -> str:
        """What people read for a property."""
        return PHRASES[self.lang].fields.get(name, name)

    def event(self, name: str) -> str:
        """What people read for an event."""
        return self.words.label(name, self.lang)

    def choices(self, name: str) -> list[tuple[str, str]]:
        """(value, label) of an attribute or property with few values; of too many to look through, none."""
        known = self.words.choices_of(name)
        few = known if len(known) <= CHOICES_SHOWN_MAX else ()
        return [(str(one.value), one.zh if self.lang == "zh" else one.en) for one in few]

    def operators(self, node: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(operator, words) that a node may have; the one it has is always among them."""
        own = [op] if (op := str(node.get("op") or "")) else []
        return [(op, self.operator(op)) for op in dict.fromkeys([*self._operators(node), *own])]

    def settled(self, node: Draft) -> Draft:
        """A node after something in it was chosen: with an operator and a value that fit."""
        if node["kind"] == "group":
            return node
        known = self._operators(node)
        name = str(node.get("name", ""))
        if not node.get("op") and (name.startswith("consent.") or name in (FIRST_PAID_ORDER, WORKDAY)):
            node = node | {"as": "truth", "value": "true"}
        if node.get("op") not in known:
            node = node | {"op": known[0], "value2": ""}
        value, kind = node.get("value") or "", self.value_kind(node)
        if kind == "choices" and isinstance(value, str):
            value = [value] if value else []
        elif kind != "choices" and isinstance(value, list):
            value = "，".join(map(str, value))
        filters = [self._settled_filter(one) for one in node.get("filters") or []]
        return node | {"value": value, "filters": filters}

    def _settled_filter(self, one: Draft) -> Draft:
        made = self.settled({"kind": "filter"} | one)
        return {key: value for key, value in made.items() if key not in ("kind", "filters")}

    def _operators(self, node: Mapping[str, Any]) -> tuple[str, ...]:
        if node.get("kind") == "metric":
            if node.get("measure") in ("first", "last"):
                return ("within", *(op for op in TIME_OPERATORS if op != "within"))
            numbers = ("gte", *(op for op in NUMBER_OPERATORS if op not in ("gte", "crosses")))
            return (*numbers, "crosses") if self.trigger else numbers
        kind = self.kind(str(node.get("name", "")))
        if kind is None:
            return _TEXT_OPS if "property" in node else ("eq",)
        if kind.type == "time":
            return ("within", *(op for op in TIME_OPERATORS if op != "within"))
        if kind.type == "list":
            return _TAG_OPS if kind.name == "tags" else _NO_TAG_OPS
        if self.choices(str(node["name"])):
            return (*_CHOICE_OPS, *("gte", "lte")) if kind.number else _CHOICE_OPS
        return _NUMBER_OPS if kind.number else _TEXT_OPS

    def operator(self, op: str) -> str:
        """An operator's words."""
        return PHRASES[self.lang].operators[op].partition("{")[0].strip() if op in PHRASES[self.lang].operators else op

    def measures(self) -> list[tuple[str, str]]:
        """(measure, words)."""
        said = PHRASES[self.lang].measures
        return [(key, said[key].format(of="…")) for key in MEASURES]

    def windows(self) -> list[tuple[str, str]]:
        """(form of a window, words)."""
        said = PHRASES[self.lang].windows
        shown = [form for form in WINDOWS if form != "campaign" or self.trigger]
        return [(form, _SLOT.sub("…", said[form])) for form in shown]

    def units(self) -> list[tuple[str, str]]:
        """(unit, words)."""
        return [(unit, PHRASES[self.lang].units[unit]) for unit in UNIT_MS]

    def periods(self) -> list[tuple[str, str]]:
        """(period, words)."""
        return [(period, PHRASES[self.lang].periods[period]) for period in PERIODS]

    def kept(self, rule: Mapping[str, Any]) -> str:
        """The sentence of what the builder has no fields for."""
        return say(parse_rule(rule, self.words, trigger=self.trigger), self.words, self.lang)

    def value_kind(self, node: Mapping[str, Any]) -> str:
        """How a value is asked for: none, duration, time, choice, choices, tag, segment, number, text."""
        op, kind = node.get("op"), self.kind(str(node.get("name", "")))
        if op in PRESENCE:
            return "none"
        if op == "within":
            return "duration"
        if node.get("kind") == "metric":
            return "time" if node.get("measure") in ("first", "last") else "number"
        if kind is not None and kind.type == "time":
            return "time"
        if kind is not None and kind.name in ("tags", "segments", "listed"):
            return "tag" if kind.name == "tags" else "segment"
        if node.get("property") in MONEY_FIELDS:
            return "number"
        if self.choices(str(node.get("name") or node.get("property") or "")):
            if op in LIST_OPS:
                return "choices"
            return "choice" if op in ("eq", "ne", "contains", "not_contains", "gte", "lte") else "text"
        return "number" if kind is not None and kind.number else "text"


def editor_of(rule: Mapping[str, Any] | None, lang: Lang, *, trigger: bool = False, vocabulary: str = "") -> Editor:
    """A builder filled with a rule; None: with nothing. Raises InvalidRule."""
    words = VOCABULARIES[vocabulary]
    if rule is None:
        return Editor(draft_of(None, words), "", lang, trigger, vocabulary)
    parsed = parse_rule(rule, words, trigger=trigger)
    return Editor(draft_of(rule_json(parsed), words), say(parsed, words, lang), lang, trigger, vocabulary)


def read_draft(text: str, words: Vocabulary = WORDS) -> Made:
    """The rule of the builder's field. Raises InvalidRule."""
    if len(text) > DRAFT_BYTES_MAX:
        raise InvalidRule("The rule is too large.", path="rule")
    try:
        return rule_of(msgspec.json.decode(text), words)
    except msgspec.DecodeError:
        raise InvalidRule("This is no rule of the builder.", path="rule") from None


def rule_from(
    form: Mapping[str, Any], field: str, lang: Lang, *, trigger: bool = False, vocabulary: str = ""
) -> dict[str, Any] | None:
    """The rule of a form with a builder, in its long form; None: nothing was said. What was touched last
    counts, the fields or the sentence; a form with a sentence only (`text`) is one too. Raises InvalidRule."""
    words = VOCABULARIES[vocabulary]
    draft = str(form.get(field, ""))
    text = str(form.get(f"{field}_text", form.get("text", ""))).strip()
    if draft and form.get(f"{field}_by") != "text":
        made = read_draft(draft, words).rule
        return None if made is None else rule_json(asked_rule(made, words, trigger=trigger))
    return rule_json(asked_sentence(text, words, lang, trigger=trigger)) if text else None


def editor_from(
    form: Mapping[str, Any], field: str, lang: Lang, *, trigger: bool = False, vocabulary: str = ""
) -> Editor:
    """The builder of a form that comes back with an error: as it was filled in, right or wrong."""
    text = str(form.get(f"{field}_text", ""))
    try:
        rule = rule_from(form, field, lang, trigger=trigger, vocabulary=vocabulary)
        return editor_of(rule, lang, trigger=trigger, vocabulary=vocabulary)
    except MalformedRequest:
        draft = draft_of(None, VOCABULARIES[vocabulary])
    try:
        if form.get(f"{field}_by") != "text":
            given = checked(msgspec.json.decode(str(form.get(field, ""))), DEPTH_MAX, kept=True)
            draft = given if given["kind"] == "group" else draft
    except (InvalidRule, msgspec.DecodeError):
        pass  # then only the sentence comes back
    return Editor(draft, text, lang, trigger, vocabulary)


class Offer(msgspec.Struct, frozen=True):
    """Something to choose: a value, what people read, what it tells, and its heading."""

    value: str
    label: str
    note: str = ""
    group: str = ""


class Offers(msgspec.Struct, frozen=True):
    """All that the builder's lists offer."""

    attributes: list[Offer]
    families: list[Offer]
    """What stands before a name of the brand's own: `trait.`."""
    events: list[Offer]
    tags: list[Offer]
    segments: list[Offer]
    properties: list[Offer]
    """Properties that events had lately, and fields of the event itself."""


def attribute_offers(words: Vocabulary, lang: Lang, profile: str) -> list[Offer]:
    """Every attribute with a name of its own."""
    place = 0 if lang == "zh" else 1
    return [
        Offer(kind.name, (kind.zh, kind.en)[place], kind.note[place], kind.group[place] or profile)
        for kind in words.attributes.values()
        if not kind.open and kind.name not in ("tags", "segments")
    ]


def family_offers(words: Vocabulary, lang: Lang) -> list[Offer]:
    """Families of attributes."""
    return [Offer(kind.name, kind.zh if lang == "zh" else kind.en) for kind in words.attributes.values() if kind.open]


def event_offers(words: Vocabulary, lang: Lang, groups: Iterable[tuple[str, str]]) -> list[Offer]:
    """Every event of the catalogue; `groups`: (event, heading)."""
    heading = dict(groups)
    return [
        Offer(one.name, one.zh if lang == "zh" else one.en, one.name, heading.get(one.name, ""))
        for one in words.events.values()
    ]
