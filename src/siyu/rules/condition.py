"""A property condition as a tree, and its JSON.

    {"channel": "wechat", "price": 3}                              every property equals its value
    {"property": "price", "op": "gte", "value": 100}
    {"all": [C, ...]}   {"any": [C, ...]}   {"not": C}

A property is compared by its *text*: a string is itself, a number its shortest decimal form (3.0 is "3"), true and
false are those words, a list or an object is its JSON; missing and null are absent. So `"3"` and `3` are equal,
from whatever SDK they came. Order is of numbers where the condition names a number (numbers sent
as text count), else of texts by code point.

`@line.X` is X of a line of the event: an object of the first of `commerce.LINE_LISTS` that is a list with objects;
where there is none and the event names a product, its properties are its only line. A condition that reads a line is of
one line at a time, and true of an event that has such a line. Two figures are worked out of a line, in whatever words
it says them: `quantity`, 1 where it says none, and `value_fen`, price times quantity in fen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from siyu.errors import MalformedRequest

DEPTH_MAX: Final = 8
NODES_MAX: Final = 200
VALUES_MAX: Final = 1_000
TEXT_MAX: Final = 8_192
KEYS_MAX: Final = 8
LINE: Final = "@line."

COLUMNS: Final = {"@end": "end", "@source": "source", "@name": "name", "@value_fen": "value_fen"}
"""Fields of the event itself; `@context.a.b` reads the context."""

EQUALITIES: Final = frozenset({"eq", "ne"})
ORDERS: Final = frozenset({"gt", "gte", "lt", "lte"})
LISTS: Final = frozenset({"in", "not_in"})
TEXTS: Final = frozenset({"contains", "not_contains", "starts_with", "ends_with"})
PRESENCE: Final = frozenset({"exists", "is_null"})
OPERATORS: Final = EQUALITIES | ORDERS | LISTS | TEXTS | PRESENCE | {"between", "is_multiple_of"}
MULTIPLE_MAX: Final = 10**9

Scalar: TypeAlias = str | int | float | bool


class InvalidCondition(MalformedRequest):
    """A condition that cannot be understood; `details["path"]` names the place."""

    code = "INVALID_CONDITION"
    status = 422


class Field(NamedTuple):
    """Where a value stands: a column of the event, or keys inside its properties or context."""

    name: str
    root: str
    """`properties`, `context`, `line`, or the name of a column."""
    keys: tuple[str, ...]
    """Keys from the outermost in; a name with dots is tried literally first. Empty for a column."""


class Compare(NamedTuple):
    """One field against one value. `in` and `not_in` carry a tuple, `between` a pair, both ends included, `exists` and
    `is_null` nothing."""

    field: Field
    op: str
    value: Scalar | tuple[Scalar, ...] | None


class All(NamedTuple):
    """Every one holds; none at all holds too."""

    parts: tuple[Condition, ...]


class AnyOf(NamedTuple):
    """At least one holds."""

    parts: tuple[Condition, ...]


class Not(NamedTuple):
    """The opposite."""

    part: Condition


class OfALine(NamedTuple):
    """There is a line of the event of which it holds. Stands outermost only."""

    part: Condition


Condition: TypeAlias = Compare | All | AnyOf | Not | OfALine
LINE_FIGURES: Final = {"@line.quantity": "line_quantity", "@line.value_fen": "line_value_fen"}
"""What is worked out of a line, and under which name it stands beside it."""


def parse_field(name: object, path: str = "property", *, line: bool = False) -> Field:
    """The field a name means; `line`: it may be one of a line. Raises InvalidCondition."""
    if not isinstance(name, str) or not name or len(name) > 512:
        raise InvalidCondition("A property name is a text of 1 to 512 characters.", path=path)
    if name in COLUMNS:
        return Field(name, COLUMNS[name], ())
    root, inner = "properties", name
    if name.startswith("@context."):
        root, inner = "context", name.removeprefix("@context.")
    elif name.startswith(LINE):
        if not line or name == LINE:
            raise InvalidCondition(
                "A field of a line stands in conditions, and in sum and distinct of rules.", path=path
            )
        if name in LINE_FIGURES:
            return Field(name, LINE_FIGURES[name], ())
        root, inner = "line", name.removeprefix(LINE)
    keys = tuple(inner.split("."))
    if len(keys) > KEYS_MAX:
        raise InvalidCondition(f"A property path has at most {KEYS_MAX} parts.", path=path)
    return Field(name, root, keys)


def line_field(name: str) -> Field:
    """A property of a line as it stands there: nothing is worked out."""
    return Field(LINE + name, "line", tuple(name.split(".")))


def fields_of(condition: Condition) -> Iterator[Field]:
    """Every field that a condition reads."""
    if isinstance(condition, Compare):
        yield condition.field
    elif isinstance(condition, Not | OfALine):
        yield from fields_of(condition.part)
    else:
        for part in condition.parts:
            yield from fields_of(part)


def parse_condition(data: object, path: str = "where") -> Condition:
    """The tree of a condition's JSON. Raises InvalidCondition with the path of the wrong place."""
    budget = [NODES_MAX]
    return of_a_line(_parse(data, path, DEPTH_MAX, budget))


def of_a_line(condition: Condition) -> Condition:
    """The condition as one of an event: where it reads a line, of some line."""
    return OfALine(condition) if any(field.name.startswith(LINE) for field in fields_of(condition)) else condition


def _parse(data: object, path: str, depth: int, budget: list[int]) -> Condition:
    budget[0] -= 1
    if depth < 0 or budget[0] < 0:
        raise InvalidCondition(f"A condition has at most {DEPTH_MAX} levels and {NODES_MAX} parts.", path=path)
    if not isinstance(data, Mapping):
        raise InvalidCondition("A condition is a JSON object.", path=path)
    keys = set(data)
    for word, node in (("all", All), ("any", AnyOf)):
        if keys == {word} and isinstance(data[word], list):
            return node(tuple(_parse(p, f"{path}.{word}[{i}]", depth - 1, budget) for i, p in enumerate(data[word])))
    if keys == {"not"} and isinstance(data["not"], Mapping):
        return Not(_parse(data["not"], f"{path}.not", depth - 1, budget))
    if "op" in keys and keys <= {"property", "op", "value"}:
        return _compare(data, path)
    budget[0] -= len(keys)
    if budget[0] < 0:
        raise InvalidCondition(f"A condition has at most {NODES_MAX} parts.", path=path)
    return All(tuple(_equality(name, value, path) for name, value in data.items()))


def _equality(name: object, value: object, path: str) -> Condition:
    where = f"{path}.{name}"
    field = parse_field(name, where, line=True)
    if value is None:
        return Compare(field, "is_null", None)
    if isinstance(value, list):
        return Compare(field, "in", _scalars(value, where))
    return Compare(field, "eq", _scalar(value, where))


def _compare(data: Mapping[str, Any], path: str) -> Condition:
    return compare_of(parse_field(data.get("property"), f"{path}.property", line=True), data, path)


def compare_of(field: Field, data: Mapping[str, Any], path: str) -> Compare:
    """`field` against the `op` and `value` of `data`. Raises InvalidCondition."""
    op = data.get("op")
    value = data.get("value")
    where = f"{path}.value"
    if not isinstance(op, str) or op not in OPERATORS:
        raise InvalidCondition(f"The operator is one of: {', '.join(sorted(OPERATORS))}.", path=f"{path}.op")
    if op in PRESENCE:
        if "value" in data:
            raise InvalidCondition(f"{op} takes no value.", path=where)
        return Compare(field, op, None)
    if op in LISTS:
        return Compare(field, op, _scalars(value, where))
    if op == "between":
        return Compare(field, op, _pair(value, where))
    scalar = _scalar(value, where)
    if op == "is_multiple_of" and (type(scalar) is not int or not 1 <= scalar <= MULTIPLE_MAX):
        raise InvalidCondition(f"{op} takes a whole number from 1 to {MULTIPLE_MAX}.", path=where)
    if op in TEXTS and (not isinstance(scalar, str) or not scalar):
        raise InvalidCondition(f"{op} takes a text of at least one character.", path=where)
    if op in ORDERS and isinstance(scalar, bool):
        raise InvalidCondition(f"{op} takes a number or a text.", path=where)
    return Compare(field, op, scalar)


def _pair(value: object, path: str) -> tuple[Scalar, Scalar]:
    pair = _scalars(value, path)
    if len(pair) != 2 or any(isinstance(item, bool) for item in pair):
        raise InvalidCondition("between takes a list of two numbers or two texts.", path=path)
    low, high = pair
    if isinstance(low, str) != isinstance(high, str):
        raise InvalidCondition("between takes two numbers or two texts, not one of each.", path=path)
    return low, high


def _scalars(value: object, path: str) -> tuple[Scalar, ...]:
    if not isinstance(value, list) or len(value) > VALUES_MAX:
        raise InvalidCondition(f"A list of at most {VALUES_MAX} values is needed.", path=path)
    return tuple(_scalar(item, f"{path}[{i}]") for i, item in enumerate(value))


def _scalar(value: object, path: str) -> Scalar:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) > TEXT_MAX:
            raise InvalidCondition(f"A text has at most {TEXT_MAX} characters.", path=path)
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidCondition("A text must be valid Unicode.", path=path) from None
        return value
    if isinstance(value, int | float):
        if not (math.isfinite(value) if isinstance(value, float) else abs(value) < 2**64):
            raise InvalidCondition("A number must be finite, a whole number smaller than 2^64.", path=path)
        return value
    raise InvalidCondition("A value is a text, a number, true or false.", path=path)
