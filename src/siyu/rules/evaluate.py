"""A condition for one event: the closure form. Agrees with `clickhouse.condition_sql` on every event and condition."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, Final

import msgspec

from siyu.rules.commerce import LINE_LISTS, LINES_MAX, PRICE_FEN, PRICE_YUAN, PRODUCT, QUANTITY
from siyu.rules.condition import (
    LINE_FIGURES,
    All,
    AnyOf,
    Compare,
    Condition,
    Field,
    OfALine,
    Scalar,
)

NUMBER: Final = r"^-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$"
"""Texts that count as numbers, here and in ClickHouse (RE2)."""
EXACT_MAX: Final = 2**53
"""Whole numbers beyond it are compared by their digits: a float would mix up neighbours."""
DIVISIBLE_MAX: Final = float(2**50)
"""Numbers beyond it are no multiple of anything: their division would not be exact."""

_number = re.compile(NUMBER.removesuffix("$") + r"\Z", re.ASCII)


def number_text(value: float) -> str:
    """The shortest decimal form, as ClickHouse writes it: 3, 0.1, 1e21, 1e-7."""
    if isinstance(value, int):
        return str(value)
    mantissa, _, exponent = repr(value).partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.removeprefix("-").partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0") or "0"
    point = len(whole) - (len(whole + fraction) - len(digits)) + int(exponent or 0)
    digits = digits.rstrip("0") or "0"
    if digits == "0":
        return sign + "0"
    if 0 < point <= 21:
        text = digits.ljust(point, "0") if len(digits) <= point else f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        text = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "") + f"e{point - 1}"
    return sign + text


def text_of(value: Any) -> str:
    """The text a property is compared and grouped by; absent is the empty text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    return msgspec.json.encode(value).decode()


def numeric(text: str) -> float | None:
    """The number a text is; None when it is none."""
    return float(text) if _number.match(text) else None


def read_field(field: Field, event: Mapping[str, Any]) -> Any:
    """The value of `field` in an event, None when it is missing. The event maps its columns to values, `properties`
    and `context` decoded."""
    if not field.keys:
        return event.get(field.root)
    root = event.get(field.root) or {}
    literal = ".".join(field.keys)
    if len(field.keys) > 1 and literal in root:
        return root[literal]
    value: Any = root
    for key in field.keys:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def first_text(fields: Iterable[Field], event: Mapping[str, Any]) -> str:
    """The text of the first field that has one, else ''."""
    return next((text for field in fields if (text := text_of(read_field(field, event)))), "")


def lines_of(event: Mapping[str, Any], condition: Condition | None = None) -> Iterator[Mapping[str, Any]]:
    """The event with each of its lines beside it, of which `condition` holds: what fields of a line are read from."""
    part = condition.part if isinstance(condition, OfALine) else condition
    for line in _lines(event.get("properties") or {}):
        one = {**event, "line": line, **_line_figures(line)}
        if part is None or holds(part, one):
            yield one


def listed_lines(properties: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The lines that an event lists."""
    for name in LINE_LISTS:
        found = properties.get(name)
        if isinstance(found, list) and (lines := [one for one in found[:LINES_MAX] if isinstance(one, Mapping)]):
            return lines
    return []


def _lines(properties: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    if lines := listed_lines(properties):
        return lines
    return [properties] if any(text_of(properties.get(name)) for name in PRODUCT) else []


def _line_figures(line: Mapping[str, Any]) -> dict[str, float | None]:
    quantity, fen = _said(line, QUANTITY), _said(line, PRICE_FEN)
    quantity = 1.0 if quantity is None else quantity
    if fen is None and (yuan := _said(line, PRICE_YUAN)) is not None:
        fen = yuan * 100
    money = None if fen is None or not isfinite(fen * quantity) else fen * quantity
    return dict(zip(LINE_FIGURES.values(), (quantity, money), strict=True))


def _said(line: Mapping[str, Any], names: Iterable[str]) -> float | None:
    """The number of the first of these properties that is one."""
    numbers = (numeric(text_of(line.get(name))) for name in names)
    return next((number for number in numbers if number is not None and isfinite(number)), None)


def _equals(value: Any, wanted: Scalar) -> bool:
    text = text_of(value)
    if isinstance(wanted, bool):
        return text == ("true" if wanted else "false")
    if isinstance(wanted, str):
        return text == wanted and value is not None
    if isinstance(wanted, int) and abs(wanted) > EXACT_MAX:
        return text == str(wanted)
    number = numeric(text)
    return number is not None and number == float(wanted)


_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}


def _ordered(value: Any, op: str, wanted: str | float) -> bool:
    text = text_of(value)
    if isinstance(wanted, str):
        return value is not None and _ORDER[op](text, wanted)
    number = numeric(text)
    return number is not None and _ORDER[op](number, float(wanted))


def _contains(value: Any, wanted: str) -> bool:
    if isinstance(value, list):
        return any(item is not None and text_of(item) == wanted for item in value)
    return not isinstance(value, Mapping) and wanted in text_of(value)


def _multiple(value: Any, of: int) -> bool:
    number = numeric(text_of(value))
    return number is not None and abs(number) <= DIVISIBLE_MAX and number % of == 0


def compare(condition: Compare, value: Any) -> bool:
    """Whether `value` is what `condition` asks of its field."""
    op, wanted = condition.op, condition.value
    if op in ("exists", "is_null"):
        return (value is not None) == (op == "exists")
    if op == "between":
        low, high = wanted  # type: ignore[misc, str-unpack]  # a pair, by parsing
        return _ordered(value, "gte", low) and _ordered(value, "lte", high)
    if isinstance(wanted, tuple):
        return any(_equals(value, item) for item in wanted) == (op == "in")
    assert wanted is not None
    if op in ("eq", "ne"):
        return _equals(value, wanted) == (op == "eq")
    if op in _ORDER:
        return _ordered(value, op, wanted)
    if op == "is_multiple_of":
        return _multiple(value, int(wanted))
    text = str(wanted)
    if op in ("contains", "not_contains"):
        return _contains(value, text) == (op == "contains")
    return text_of(value).startswith(text) if op == "starts_with" else text_of(value).endswith(text)


def holds(condition: Condition, event: Mapping[str, Any]) -> bool:
    """Whether `condition` is true of an event (shape: see `read_field`)."""
    if isinstance(condition, Compare):
        return compare(condition, read_field(condition.field, event))
    if isinstance(condition, All):
        return all(holds(part, event) for part in condition.parts)
    if isinstance(condition, AnyOf):
        return any(holds(part, event) for part in condition.parts)
    if isinstance(condition, OfALine):
        return any(True for _ in lines_of(event, condition.part))
    return not holds(condition.part, event)
