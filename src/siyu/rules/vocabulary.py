"""What a rule may speak of: kinds of person attributes and names of events, as data.

The language knows no attribute by itself. Every room declares its own as `AttributeKind`s; together with the event
names they make the Vocabulary that rules are parsed, shown and compiled with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from siyu.rules.window import Setting

AttributeType: TypeAlias = Literal["any", "list", "time"]
"""any: a text, a number, true or false, compared like a property of an event. list: several texts. time: epoch
milliseconds."""
Lang: TypeAlias = Literal["zh", "en"]


class Choice(NamedTuple):
    """One of the few values something can have, and what people call it."""

    value: str | int
    zh: str
    en: str


class AttributeKind(NamedTuple):
    """One thing known about persons, or, with `open`, a family of them: `trait.` stands for `trait.city` and all."""

    name: str
    zh: str
    en: str
    type: AttributeType = "any"
    open: bool = False
    ages: bool = False
    """Whether its value may change by the passing of time alone."""
    default: int | float | str | None = None
    """What it is of who has none."""
    choices: tuple[Choice, ...] = ()
    """What its values are called, where they are few; other values are welcome."""
    closed: bool = False
    """Whether there is no value but the choices."""
    limits: tuple[int, int] | None = None
    """The least and the greatest of its numbers, where there are such."""
    group: tuple[str, str] = ("", "")
    """Under which heading it is offered, Chinese and English."""
    number: bool = False
    """Whether its values are numbers, where the type leaves it open."""
    money: bool = False
    """Whether they are fen: people read and write yuan."""
    note: tuple[str, str] = ("", "")
    """What it tells, and in which unit, Chinese and English."""
    moment: Callable[[Setting], int] | None = None
    """How it follows from when a rule is looked at: then it is the same for everybody, and nothing is read."""


class EventName(NamedTuple):
    """What an event is called in the catalogue, and by the SDKs."""

    name: str
    zh: str
    en: str
    spellings: tuple[str, ...]
    """Every stored name that means it, itself among them."""


class Vocabulary(NamedTuple):
    """All words a rule may use."""

    attributes: Mapping[str, AttributeKind]
    events: Mapping[str, EventName]
    """By name. Other names are welcome and mean themselves."""
    not_behaviour: tuple[str, ...] = ()
    """Stored names of messages that are nothing a person did."""
    refunds: tuple[str, ...] = ()
    """Stored names of refunds."""
    values: Mapping[str, tuple[Choice, ...]] = {}
    """What the values of some properties and attributes are called, by their full name."""

    def choices_of(self, name: str) -> tuple[Choice, ...]:
        """What the values of an attribute or property are called; other values are welcome."""
        kind = self.attributes.get(name)
        return self.values.get(name, ()) if kind is None or not kind.choices else kind.choices

    def kind_of(self, name: str) -> AttributeKind | None:
        """The kind of an attribute's full name; None where nobody declared it."""
        if (kind := self.attributes.get(name)) is not None:
            return None if kind.open else kind
        # The longest family wins; a name stands for itself only after the family's dot.
        head = name
        while "." in head:
            head = head.rpartition(".")[0]
            if (kind := self.attributes.get(head + ".")) is not None:
                return kind if len(name) > len(head) + 1 else None
        return None

    def spellings(self, name: str) -> tuple[str, ...]:
        """The stored names that `name` stands for."""
        known = self.events.get(name)
        return (name,) if known is None else known.spellings

    def label(self, name: str, lang: Lang) -> str:
        """What people read for an event's name. `named` leads back; a label that would not is not used."""
        known = self.events.get(name)
        label = name if known is None else (known.zh if lang == "zh" else known.en)
        if self.named(label, lang) == name:
            return label
        return name if self.named(name, lang) == name else LITERAL + name

    def named(self, label: str, lang: Lang) -> str:
        """The event name that a label, or the name itself, means."""
        if label.startswith(LITERAL):
            return label.removeprefix(LITERAL)
        if label in self.events:
            return label
        return next((e.name for e in self.events.values() if (e.zh if lang == "zh" else e.en) == label), label)


LITERAL: Final = "="
"""Before a name in a sentence: the name itself, whatever else is called so."""


def choice_label(value: object, choices: Iterable[Choice], lang: Lang) -> str | None:
    """What people read for a value; None: the value as it is. `choice_value` leads back."""
    for choice in choices:
        if type(choice.value) is type(value) and choice.value == value:
            return choice.zh if lang == "zh" else choice.en
    if isinstance(value, str) and (value.startswith(LITERAL) or choice_value(value, choices, lang) != value):
        return LITERAL + value
    return None


def choice_value(label: str, choices: Iterable[Choice], lang: Lang) -> str | int:
    """The value that people mean by a text."""
    if label.startswith(LITERAL):
        return label.removeprefix(LITERAL)
    return next((choice.value for choice in choices if label == (choice.zh if lang == "zh" else choice.en)), label)


def vocabulary(
    attributes: Iterable[AttributeKind],
    events: Iterable[EventName] = (),
    not_behaviour: Iterable[str] = (),
    refunds: Iterable[str] = (),
) -> Vocabulary:
    """The words of these declarations."""
    return Vocabulary(
        {kind.name: kind for kind in attributes},
        {event.name: event for event in events},
        tuple(not_behaviour),
        tuple(refunds),
    )
