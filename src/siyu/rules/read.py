"""A sentence to a rule: a parser that follows the same templates by which `sentence.say` writes.

Spaces do not matter between words. Quotation marks are “ ” or the straight ones; brackets may be of either
script.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn

from siyu.rules.money import MONEY_FIELDS, fen_of
from siyu.rules.parse import parse_rule, refuse
from siyu.rules.phrases import PHRASES, Phrases
from siyu.rules.rule import DAY, MONEY, InvalidRule, Rule
from siyu.rules.sentence import NAMED_OPERATORS
from siyu.rules.vocabulary import Choice, Lang, Vocabulary, choice_value

TEXT_MAX: Final = 20_000
DEPTH_MAX: Final = 40
WANTED_SHOWN_MAX: Final = 20
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", re.ASCII)
_SLOT: Final = re.compile(r"\{(\w+)\}")
_WIDE: Final = str.maketrans("（）；，：", "();,:")


class _Astray(Exception):
    """The text does not go on as this alternative wants."""


def read_sentence(text: str, words: Vocabulary, lang: Lang = "zh", *, trigger: bool = False) -> Rule:
    """The rule that a sentence says. Raises InvalidRule: `details["at"]` is the place in the text (in characters), or
    `details["path"]` the wrong node where the words are right but what they say is not."""
    if len(text) > TEXT_MAX:
        raise refuse(f"A sentence has at most {TEXT_MAX} characters.", "text")
    return parse_rule(_Reader(text, words, lang).whole(), words, trigger=trigger)


class _Reader:
    """Recursive descent with backtracking, to the JSON form. `_far` is how far any alternative came."""

    def __init__(self, text: str, words: Vocabulary, lang: Lang) -> None:
        self._text = text
        # Brackets and commas of both scripts are the same; the places stay the same, so texts are cut from `_text`.
        self._plain = text.translate(_WIDE)
        self._words = words
        self._lang: Lang = lang
        self._phrases: Phrases = PHRASES[lang]
        self._at = 0
        self._far = 0
        self._wanted: set[str] = set()
        self._depth = 0
        self._attributes = sorted(
            ((kind.zh if lang == "zh" else kind.en, kind) for kind in words.attributes.values()),
            key=lambda pair: -len(pair[0]),
        )

    def whole(self) -> dict[str, Any]:
        try:
            rule = self._tree(self._leaf)
            self._space()
            if self._at < len(self._text):
                self._astray("")
        except _Astray:
            wanted = "、".join(sorted(self._wanted - {""})[:WANTED_SHOWN_MAX])
            raise InvalidRule(
                f"This is not understood from character {self._far + 1} on: {self._text[self._far : self._far + 30]!r}."
                + (f" Expected: {wanted}." if wanted else ""),
                path="text",
                at=self._far,
            ) from None
        return rule

    def _astray(self, wanted: str) -> NoReturn:
        if self._at > self._far:
            self._far, self._wanted = self._at, set()
        if self._at == self._far:
            self._wanted.add(wanted)
        raise _Astray

    def _space(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def _word(self, word: str) -> None:
        """Go past `word`, whose spaces match any number of spaces."""
        for piece in word.translate(_WIDE).split():
            self._space()
            if not self._plain.startswith(piece, self._at):
                self._astray(piece)
            self._at += len(piece)
            # An English word ends where it ends: `is` is not the beginning of `island`.
            after = self._plain[self._at : self._at + 1]
            if piece[-1].isascii() and piece[-1].isalpha() and after.isascii() and after.isalnum():
                self._astray(piece)

    def _said(self, word: str) -> bool:
        """Whether `word` stands here; then it is gone past."""
        return self._try(lambda: self._word(word))[0]

    def _try(self, parse: Callable[[], Any]) -> tuple[bool, Any]:
        start, depth = self._at, self._depth
        try:
            return True, parse()
        except _Astray:
            self._at, self._depth = start, depth
            return False, None

    def _first(self, choices: Iterable[Callable[[], Any]]) -> Any:
        for choice in choices:
            worked, found = self._try(choice)
            if worked:
                return found
        raise _Astray

    def _follow(self, template: str, slots: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
        """Go along a template; what its slots held."""
        found: dict[str, Any] = {}
        for n, piece in enumerate(_SLOT.split(template)):
            if n % 2:
                found[piece] = slots[piece]()
            else:
                self._word(piece)
        return found

    def _tree(self, leaf: Callable[[], Any]) -> dict[str, Any]:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise refuse(f"A sentence has at most {DEPTH_MAX} brackets inside each other.", "text")
        parts = [self._term(leaf)]
        joined: str | None = None
        while True:
            if joined != "any" and self._said(self._phrases.both):
                joined = "all"
            elif joined != "all" and self._said(self._phrases.either):
                joined = "any"
            else:
                break
            parts.append(self._term(leaf))
        self._depth -= 1
        return {joined: parts} if joined else parts[0]

    def _term(self, leaf: Callable[[], Any]) -> dict[str, Any]:
        def several() -> list[Any]:
            parts = []
            worked, part = self._try(lambda: self._tree(leaf))
            while worked:
                parts.append(part)
                if worked := self._said(self._phrases.between_parts):
                    part = self._tree(leaf)
            return parts

        phrases, slots = self._phrases, {"parts": several, "part": lambda: self._tree(leaf), "n": self._number}

        def counted() -> dict[str, Any]:
            found = self._follow(phrases.n_of_m, slots)
            return {"n_of_m": {"n": found["n"], "of": found["parts"]}}

        def bracketed() -> dict[str, Any]:
            self._word(phrases.open)
            inner = self._tree(leaf)
            self._word(phrases.close)
            return inner

        return self._first(  # type: ignore[no-any-return]  # every choice makes an object
            (
                bracketed,
                counted,
                lambda: {"all": self._follow(phrases.all, slots)["parts"]},
                lambda: {"any": self._follow(phrases.any, slots)["parts"]},
                lambda: {"not": self._follow(phrases.negation, slots)["part"]},
                leaf,
            )
        )

    def _leaf(self) -> dict[str, Any]:
        return self._first((self._trigger, self._person, self._metric))  # type: ignore[no-any-return]  # objects

    def _trigger(self) -> dict[str, Any]:
        def named() -> Any:
            worked, found = self._try(lambda: self._follow(self._phrases.trigger_is, {"events": self._events}))
            return found["events"] if worked else {}

        found = self._follow(self._phrases.trigger, {"is_event": named, "where": self._where})
        return {"trigger": found["is_event"] | found["where"]}

    def _person(self) -> dict[str, Any]:
        for label, kind in self._attributes:
            if self._said(label):
                name = kind.name + self._quoted() if kind.open else kind.name
                if kind.money:
                    self._said(self._phrases.of_yuan)
                return {"person": name} | self._test(self._words.choices_of(name), money=kind.money)
        raise _Astray

    def _metric(self) -> dict[str, Any]:
        said: dict[str, Any] = {}

        def measure() -> dict[str, Any]:
            said.update(self._measure())
            return said

        slots = {
            "window": self._window,
            "events": self._events,
            "where": self._where,
            "net": self._net,
            "measure": measure,
            "test": lambda: self._test(money=said["metric"] == "sum" and said["of"] in MONEY_FIELDS),
        }
        found = self._follow(self._phrases.metric, slots)
        return {key: value for part in found.values() for key, value in part.items()}

    def _events(self) -> dict[str, Any]:
        if self._said(self._phrases.any_event):
            return {}
        names = [self._quoted()]
        while True:
            # A comma may also begin what comes after the names.
            worked, found = self._try(
                lambda: self._follow(self._phrases.between_names + "{name}", {"name": self._quoted})
            )
            if not worked:
                return {"event": [self._words.named(name, self._lang) for name in names]}
            names.append(found["name"])

    def _where(self) -> dict[str, Any]:
        slots = {"condition": lambda: self._tree(self._condition)}
        worked, found = self._try(lambda: self._follow(self._phrases.where, slots))
        return {"where": found["condition"]} if worked else {}

    def _condition(self) -> dict[str, Any]:
        name = self._field()
        return {"property": name} | self._test(self._words.choices_of(name), money=name in MONEY_FIELDS)

    def _net(self) -> dict[str, Any]:
        return {"net": True} if self._said(self._phrases.net) else {}

    def _measure(self) -> dict[str, Any]:
        kind, found = self._choose(self._phrases.measures, {"of": self._field})
        if kind in ("money", "days"):
            return {"metric": "sum", "of": MONEY} if kind == "money" else {"metric": "distinct", "of": DAY}
        return {"metric": kind} | found

    def _window(self) -> dict[str, Any]:
        units = {"unit": self._unit, "n": self._number}
        slots = units | {
            "period": lambda: self._named(self._phrases.periods),
            "start": self._quoted,
            "end": self._quoted,
        }
        form, found = self._choose(self._phrases.windows, slots)
        windows: dict[str, Callable[[], dict[str, Any]]] = {
            "ever": dict,
            "last": lambda: {"last": found["n"], "unit": found["unit"]},
            "this": lambda: {"this": found["period"]},
            "ago": lambda: {"this": found["period"], "ago": found["n"]},
            "days": lambda: {"days": found["n"]},
            "between": lambda: {"from": found["start"], "to": found["end"]},
            "since": lambda: {"from": found["start"]},
            "until": lambda: {"to": found["end"]},
            "campaign": lambda: {"campaign": True},
        }
        window = windows[form]()
        return {"window": window} if window else {}

    def _test(self, choices: Sequence[Choice] = (), *, money: bool = False) -> dict[str, Any]:
        found = self._tested(money)
        value = found.get("value")
        if choices and found["op"] in NAMED_OPERATORS:
            if isinstance(value, str):
                found["value"] = choice_value(value, choices, self._lang)
            elif isinstance(value, list):
                named = [choice_value(one, choices, self._lang) if isinstance(one, str) else one for one in value]
                found["value"] = named
        return found

    def _tested(self, money: bool) -> dict[str, Any]:
        slots = {
            "value": lambda: self._value(money),
            "value2": lambda: self._value(money),
            "values": lambda: self._values(money),
            "n": self._number,
            "unit": self._unit,
        }
        op, found = self._choose(self._phrases.operators, slots)
        if op == "between":
            return {"op": op, "value": [found["value"], found["value2"]]}
        if op == "within":
            return {"op": op, "value": {"n": found["n"], "unit": found["unit"]}}
        return {"op": op} | ({"value": next(iter(found.values()))} if found else {})

    def _choose(
        self, templates: Mapping[str, str], slots: Mapping[str, Callable[[], Any]]
    ) -> tuple[str, dict[str, Any]]:
        """The template that the text follows furthest, and what its slots held."""
        start, best = self._at, None
        for key, template in templates.items():
            self._at = start
            worked, found = self._try(lambda template=template: self._follow(template, slots))  # type: ignore[misc]  # now
            if worked and (best is None or self._at > best[0]):
                best = (self._at, key, found)
        if best is None:
            self._at = start
            raise _Astray
        self._at = best[0]
        return best[1], best[2]

    def _named(self, table: Mapping[str, str]) -> str:
        return self._choose(table, {})[0]

    def _unit(self) -> str:
        # “1 day” and “1 days” are the same to a reader; what is followed furthest counts.
        one = {f"{unit} 1": word for unit, word in self._phrases.one_unit.items()}
        return self._named({**self._phrases.units, **one}).removesuffix(" 1")

    def _field(self) -> str:
        worked, name = self._try(self._quoted)
        return name if worked else self._named(self._phrases.fields)

    def _quoted(self) -> str:
        self._space()
        opening = self._text[self._at : self._at + 1]
        closing = {"“": "”", '"': '"'}.get(opening)
        if closing is None:
            self._astray("“…”")
        place, text = self._at + 1, []
        while self._text[place : place + 1] != closing:
            if self._text[place : place + 1] == "\\":
                place += 1
            if place >= len(self._text):
                self._astray(closing)
            text.append(self._text[place])
            place += 1
        self._at = place + 1
        return "".join(text)

    def _number(self) -> int | float:
        text = self._digits()
        return int(text) if text.removeprefix("-").isdigit() else float(text)

    def _digits(self) -> str:
        self._space()
        match = _NUMBER.match(self._text, self._at)
        if match is None:
            self._astray("0")
        self._at = match.end()
        if len(match[0]) > 40:
            raise refuse("A number has at most 40 digits.", "text")
        return match[0]

    def _value(self, money: bool) -> Any:
        truth = {"true": self._phrases.true, "false": self._phrases.false}
        number = (lambda: fen_of(self._digits())) if money else self._number
        return self._first((self._quoted, number, lambda: self._named(truth) == "true"))

    def _values(self, money: bool) -> list[Any]:
        self._word("[")
        values: list[Any] = []
        while not self._said("]"):
            if values:
                self._word(",")
            values.append(self._value(money))
        return values
