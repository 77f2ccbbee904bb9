"""A condition for all events: ClickHouse SQL over the columns of `events`. Everything a user wrote travels as a
parameter, property names too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

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
from siyu.rules.evaluate import DIVISIBLE_MAX, EXACT_MAX, NUMBER

_ORDER: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Params:
    """Server-side parameters of one statement."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._known: dict[tuple[str, Any], str] = {}

    def add(self, value: Any, type_: str = "String") -> str:
        """The placeholder for `value`; the same value gets the same one."""
        key = (type_, tuple(value) if isinstance(value, list) else (type(value), value))
        if key not in self._known:
            name = f"p{len(self.values)}"
            self.values[name] = value
            self._known[key] = f"{{{name}:{type_}}}"
        return self._known[key]


def _call(function: str, field: Field, params: Params, *more: str) -> str:
    """`function` of the field's place in its JSON column; a name with dots is tried literally first."""
    nested = ", ".join([field.root, *(params.add(key) for key in field.keys), *more])
    if len(field.keys) == 1:
        return f"{function}({nested})"
    literal = params.add(".".join(field.keys))
    flat = ", ".join([field.root, literal, *more])
    return f"if(JSONHas({field.root}, {literal}), {function}({flat}), {function}({nested}))"


def field_text_sql(field: Field, params: Params) -> str:
    """The text of a field (`evaluate.text_of`), '' when it is absent. One of a line is read from `line`, JSON text."""
    if field.root in LINE_FIGURES.values():
        return _line_figure(field.name)
    if not field.keys:
        return f"toString({field.root})"
    return _call("JSONExtractString", field, params)


def first_text_sql(fields: Sequence[Field], params: Params) -> str:
    """The text of the first field that has one (`evaluate.first_text`)."""
    texts = [field_text_sql(field, params) for field in fields]
    if len(texts) == 1:
        return texts[0]
    tests = ", ".join(f"{text} != '', {text}" for text in texts[:-1])
    return f"multiIf({tests}, {texts[-1]})"


def numeric_sql(text: str) -> str:
    """The number a text expression is, else NULL (`evaluate.numeric`)."""
    return f"if(match({text}, '{NUMBER.replace(chr(92), chr(92) * 2)}'), toFloat64OrNull({text}), NULL)"


def _line_figure(name: str) -> str:
    """The text of a figure of a line (`evaluate.lines_of`)."""

    def finite(key: str) -> str:
        number = numeric_sql(f"JSONExtractString(line, '{key}')")
        return f"if(isFinite({number}), {number}, NULL)"

    def said(keys: tuple[str, ...]) -> str:
        return f"coalesce({', '.join(map(finite, keys))})"

    quantity = f"ifNull({said(QUANTITY)}, 1.)"
    if name == "@line.quantity":
        return f"toString({quantity})"
    money = f"(coalesce({said(PRICE_FEN)}, {said(PRICE_YUAN)} * 100) * {quantity})"
    return f"ifNull(if(isFinite({money}), toString({money}), ''), '')"


def listed_lines_sql(params: Params) -> str:
    """The lines that an event lists (`evaluate.listed_lines`): an array of JSON texts."""
    lists = ", ".join(
        f"arrayFilter(l -> startsWith(l, '{{'), arraySlice(JSONExtractArrayRaw(properties, {params.add(name)}), 1,"
        f" {LINES_MAX}))"
        for name in LINE_LISTS
    )
    # Most events have no list at all: looking for a bracket is far cheaper than reading JSON four times.
    listed = f"arrayFirst(lines -> notEmpty(lines), [{lists}])"
    return f"if(position(properties, '[') = 0, emptyArrayString(), {listed})"


def lines_sql(params: Params) -> str:
    """The lines of an event (`evaluate.lines_of`): an array of JSON texts."""
    listed = listed_lines_sql(params)
    named = " OR ".join(f"JSONExtractString(properties, {params.add(name)}) != ''" for name in PRODUCT)
    return f"multiIf(notEmpty({listed}), {listed}, {named}, [properties], emptyArrayString())"


def _present(field: Field, params: Params) -> str:
    if field.root in LINE_FIGURES.values():
        return f"({_line_figure(field.name)} != '')"
    return f"({_call('JSONType', field, params)} != 'Null')" if field.keys else "1"


def _equals(field: Field, wanted: Scalar, params: Params) -> str:
    text = field_text_sql(field, params)
    if isinstance(wanted, bool):
        return f"({text} = {params.add('true' if wanted else 'false')})"
    if isinstance(wanted, str):
        equal = f"({text} = {params.add(wanted)})"
        return equal if wanted else f"({equal} AND {_present(field, params)})"
    if isinstance(wanted, int) and abs(wanted) > EXACT_MAX:
        return f"({text} = {params.add(str(wanted))})"
    return f"ifNull({numeric_sql(text)} = {params.add(float(wanted), 'Float64')}, 0)"


def _in(field: Field, wanted: tuple[Scalar, ...], params: Params) -> str:
    texts = [item for item in wanted if isinstance(item, str) and item]
    parts = [_equals(field, item, params) for item in wanted if not (isinstance(item, str) and item)]
    if texts:
        parts.append(f"has({params.add(texts, 'Array(String)')}, {field_text_sql(field, params)})")
    return f"({' OR '.join(parts)})" if parts else "0"


def _ordered(field: Field, op: str, wanted: str | float, params: Params) -> str:
    text = field_text_sql(field, params)
    if isinstance(wanted, str):
        return f"({text} {_ORDER[op]} {params.add(wanted)} AND {_present(field, params)})"
    return f"ifNull({numeric_sql(text)} {_ORDER[op]} {params.add(float(wanted), 'Float64')}, 0)"


def _contains(field: Field, wanted: str, params: Params) -> str:
    text = field_text_sql(field, params)
    needle = params.add(wanted)
    plain = f"(position({text}, {needle}) > 0)"
    if not field.keys:
        return plain
    kind = _call("JSONType", field, params)
    array = _call("JSONExtractArrayRaw", field, params)
    items = f"arrayExists(i -> JSONExtractString(i) = {needle} AND i != 'null', {array})"
    return f"multiIf({kind} = 'Array', {items}, {kind} = 'Object', 0, {plain})"


def _compare(condition: Compare, params: Params) -> str:
    field, op, wanted = condition
    if op in ("exists", "is_null"):
        sql = _present(field, params)
    elif op == "between":
        low, high = wanted  # type: ignore[misc, str-unpack]  # a pair, by parsing
        sql = f"({_ordered(field, 'gte', low, params)} AND {_ordered(field, 'lte', high, params)})"
    elif op == "is_multiple_of":
        number = numeric_sql(field_text_sql(field, params))
        bound = params.add(DIVISIBLE_MAX, "Float64")
        sql = f"ifNull(abs({number}) <= {bound} AND modulo({number}, {params.add(wanted, 'UInt32')}) = 0, 0)"
    elif isinstance(wanted, tuple):
        sql = _in(field, wanted, params)
    elif op in ("eq", "ne"):
        assert wanted is not None
        sql = _equals(field, wanted, params)
    elif op in _ORDER:
        assert wanted is not None
        sql = _ordered(field, op, wanted, params)
    elif op in ("contains", "not_contains"):
        sql = _contains(field, str(wanted), params)
    else:
        function = "startsWith" if op == "starts_with" else "endsWith"
        sql = f"{function}({field_text_sql(field, params)}, {params.add(str(wanted))})"
    return f"(NOT {sql})" if op in ("ne", "not_in", "not_contains", "is_null") else sql


def condition_sql(condition: Condition, params: Params) -> str:
    """A 0/1 expression over `events`; values and names are added to `params`."""
    if isinstance(condition, Compare):
        return _compare(condition, params)
    if isinstance(condition, All):
        return f"({' AND '.join(condition_sql(part, params) for part in condition.parts)})" if condition.parts else "1"
    if isinstance(condition, AnyOf):
        return f"({' OR '.join(condition_sql(part, params) for part in condition.parts)})" if condition.parts else "0"
    if isinstance(condition, OfALine):
        return f"arrayExists(line -> {condition_sql(condition.part, params)}, {lines_sql(params)})"
    return f"(NOT {condition_sql(condition.part, params)})"
