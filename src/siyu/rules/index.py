"""Which of many rules an event can concern: an index by what a rule cannot do without. Pure.

Of each rule is kept what must be true of the event and the person for it to hold: names that the triggering event has,
and values that attributes or properties of the event have. `candidates` finds the rules whose needs are met by looking
up what is there; the rules left out do not hold, the others are to be judged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from siyu.rules.condition import All, AnyOf, Compare, Condition, Field
from siyu.rules.evaluate import EXACT_MAX, numeric, read_field, text_of
from siyu.rules.rule import Group, Person, Rule, Trigger
from siyu.rules.vocabulary import Vocabulary

Key = TypeVar("Key")
VALUES_MAX: Final = 50
"""A need with more values tells too little to be worth a look-up each."""


class Place(NamedTuple):
    """Where a value stands: an attribute of the person, or a field of the triggering event."""

    attribute: str = ""
    field: Field | None = None


Values = frozenset[Hashable]
_NAME: Final = Place("", None)
"""The name of the triggering event."""
Needs = Mapping[Place, Values]
"""What has to stand at places: at each one of the values."""


def needs_of(rule: Rule, words: Vocabulary) -> dict[Place, Values]:
    """What must be there for a rule to hold; where nothing is named anything may be."""
    if isinstance(rule, Trigger):
        names = frozenset(spelling for name in rule.events for spelling in words.spellings(name))
        needs: dict[Place, Values] = {_NAME: names} if names else {}
        return needs if rule.where is None else _both(needs, _of_condition(rule.where))
    if isinstance(rule, Person):
        kind = words.kind_of(rule.name)
        if kind is None or kind.type != "any" or kind.default is not None:
            return {}
        return _equal(Place(rule.name), rule.op, rule.value)
    if isinstance(rule, Group):
        return _joined([needs_of(part, words) for part in rule.parts], rule.needed)
    return {}


def _joined(parts: Sequence[Needs], needed: int) -> dict[Place, Values]:
    """The needs of a rule of which `needed` parts hold."""
    if needed == len(parts):
        found: dict[Place, Values] = {}
        for part in parts:
            found = _both(found, part)
        return found
    # One of any `len - needed + 1` parts holds: what all of them ask of one place is a need of the whole.
    common = set.intersection(*(set(part) for part in parts))
    return {place: frozenset().union(*(part[place] for part in parts)) for place in common}


def _both(a: Needs, b: Needs) -> dict[Place, Values]:
    return {**a, **{place: a[place] & values if place in a else values for place, values in b.items()}}


def _of_condition(condition: Condition) -> dict[Place, Values]:
    if isinstance(condition, Compare):
        return _equal(Place("", condition.field), condition.op, condition.value)
    if isinstance(condition, All):
        found: dict[Place, Values] = {}
        for part in condition.parts:
            found = _both(found, _of_condition(part))
        return found
    if isinstance(condition, AnyOf) and condition.parts:
        return _joined([_of_condition(part) for part in condition.parts], 1)
    return {}


def _equal(place: Place, op: str, value: Any) -> dict[Place, Values]:
    if op == "eq":
        return {place: frozenset([_wanted(value)])}
    return {place: frozenset(map(_wanted, value))} if op == "in" else {}


def _wanted(value: Any) -> Hashable:
    """What is looked up for a value of a rule, as `evaluate.compare` equates them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and abs(value) > EXACT_MAX else float(value)


def _there(value: Any) -> Iterator[Hashable]:
    """Everything a value of the person or the event is looked up as."""
    if value is None:
        return
    text = text_of(value)
    yield text
    if (number := numeric(text)) is not None:
        yield number


class RuleIndex(Generic[Key]):
    """Rules under keys, found by what an event and a person have."""

    def __init__(self, rules: Mapping[Key, Rule], words: Vocabulary) -> None:
        self._anyway: list[Key] = []
        """Rules that name nothing they need."""
        self._needs: dict[Key, Needs] = {}
        self._by_place: dict[Place, dict[Hashable, list[Key]]] = defaultdict(dict)
        for key, rule in rules.items():
            needs = {place: values for place, values in needs_of(rule, words).items() if len(values) <= VALUES_MAX}
            if not needs:
                self._anyway.append(key)
                continue
            self._needs[key] = needs
            # The place with the fewest values is looked up; names of events, which many rules share, come last.
            first = min(needs, key=lambda place: (len(needs[place]) if place != _NAME else VALUES_MAX + 1, repr(place)))
            for value in needs[first]:
                self._by_place[first].setdefault(value, []).append(key)

    def candidates(self, event: Mapping[str, Any] | None, attributes: Mapping[str, Any]) -> list[Key]:
        """The rules that may hold of a person with these attributes (missing: absent), `event` having happened."""
        seen: dict[Place, set[Hashable]] = {}

        def there(place: Place) -> set[Hashable]:
            if place not in seen:
                seen[place] = set(_there(_value(place, event, attributes)))
            return seen[place]

        found = list(self._anyway)
        for place, by_value in self._by_place.items():
            for value in there(place):
                for key in by_value.get(value, ()):
                    if all(not values.isdisjoint(there(other)) for other, values in self._needs[key].items()):
                        found.append(key)
        return list(dict.fromkeys(found))


def _value(place: Place, event: Mapping[str, Any] | None, attributes: Mapping[str, Any]) -> Any:
    if place.attribute:
        return attributes.get(place.attribute)
    if event is None:
        return None
    return event["name"] if place.field is None else read_field(place.field, event)
