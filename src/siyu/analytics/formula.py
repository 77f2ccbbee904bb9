"""A formula over series: letters, numbers, + - * / and brackets. Unknown (null) in, division by zero: unknown out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Final, NoReturn, TypeAlias

from siyu.analytics.question import refuse

Number: TypeAlias = float | int | None
Formula: TypeAlias = Callable[[Mapping[str, Number]], float | None]

_TOKEN: Final = re.compile(r"\s*([A-Z](?![A-Za-z0-9_])|[0-9]+(?:\.[0-9]+)?|[-+*/()])")
_DEPTH_MAX: Final = 20
_PROBE: Final = 100.0


def money_degree(formula: Formula, letters: str, money: Collection[str]) -> int | None:
    """In which power money stands in what a formula yields, if the letters of `money` are amounts: 1 for amounts by
    persons, 0 for a share of amounts. None where it adds amounts to other things. Found by trying: amounts that are
    _PROBE times as much make the figure _PROBE to that power times as much."""
    degrees = set()
    for seed in (1, 2):
        plain = {letter: 1 + math.sqrt(seed * 7 + n) for n, letter in enumerate(letters)}
        more = {letter: value * _PROBE if letter in money else value for letter, value in plain.items()}
        before, after = formula(plain), formula(more)
        if not before or not after or not math.isfinite(after / before) or after / before <= 0:
            return None
        degrees.add(round(math.log(after / before, _PROBE), 6))
    degree = degrees.pop()
    return int(degree) if not degrees and degree.is_integer() else None


def parse_formula(text: str, letters: str) -> Formula:
    """The function a formula is. Raises InvalidQuestion for other letters than `letters` and for anything else."""
    return _Parser(text, letters).formula()


class _Parser:
    """Recursive descent: sum of products of signed atoms."""

    def __init__(self, text: str, letters: str) -> None:
        self._letters = letters
        self._tokens: list[str] = []
        self._depth = 0
        at, text = 0, text.rstrip()
        while at < len(text):
            token = _TOKEN.match(text, at)
            if token is None:
                self._refuse(f"{text[at:].strip()[:20]!r} cannot stand in a formula.")
            self._tokens.append(token[1])
            at = token.end()

    def _refuse(self, message: str) -> NoReturn:
        raise refuse(message, "formula")

    def _next(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def formula(self) -> Formula:
        """The whole text as one sum."""
        value = self._sum()
        if self._tokens:
            self._refuse(f"{self._next()!r} is not expected here.")
        return value

    def _sum(self) -> Formula:
        value = self._product()
        while self._next() in ("+", "-"):
            value = _binary(self._tokens.pop(0), value, self._product())
        return value

    def _product(self) -> Formula:
        value = self._atom()
        while self._next() in ("*", "/"):
            value = _binary(self._tokens.pop(0), value, self._atom())
        return value

    def _atom(self) -> Formula:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            self._refuse("The formula is nested too deeply.")
        value = self._inner()
        self._depth -= 1
        return value

    def _inner(self) -> Formula:
        if not self._tokens:
            self._refuse("The formula ends too early.")
        word = self._tokens.pop(0)
        if word == "-":
            return _binary("-", lambda _: 0.0, self._atom())
        if word == "(":
            value = self._sum()
            if not self._tokens or self._tokens.pop(0) != ")":
                self._refuse("A bracket is not closed.")
            return value
        if word[0].isdigit():
            number = float(word)
            return lambda _: number
        if word not in self._letters:
            self._refuse(f"There is no series {word!r}.")
        return lambda values: None if values[word] is None else float(values[word] or 0)


def _binary(sign: str, left: Formula, right: Formula) -> Formula:
    def compute(values: Mapping[str, Number]) -> float | None:
        a, b = left(values), right(values)
        if a is None or b is None or (sign == "/" and b == 0):
            return None
        result = a + b if sign == "+" else a - b if sign == "-" else a * b if sign == "*" else a / b
        return result if math.isfinite(result) else None

    return compute
