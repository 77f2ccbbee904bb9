"""The JSON Schema (2020-12) of rules, made from the tables the parser itself uses."""

from __future__ import annotations

from typing import Any, Final

from siyu.rules import parse
from siyu.rules.condition import LISTS, MULTIPLE_MAX, OPERATORS, ORDERS, PRESENCE, TEXT_MAX, TEXTS, VALUES_MAX
from siyu.rules.rule import LIST_OPERATORS, METRICS, NUMBER_OPERATORS, THRESHOLD_MAX, TIME_OPERATORS
from siyu.rules.vocabulary import Vocabulary
from siyu.rules.window import DAYS_MAX, PERIODS, UNIT_MS

_RULE: Final = {"$ref": "#/$defs/rule"}
_WHERE: Final = {"$ref": "#/$defs/where"}
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": parse.NAME_CHARS_MAX}
_TIME: Final = {"type": "string", "description": "ISO 8601; without an offset: the brand's zone"}


def rule_schema(words: Vocabulary) -> dict[str, Any]:
    """The schema of a rule's JSON. What it cannot say (levels, parts in all, event names) the parser refuses."""
    forms = [
        _object({"all": _list_of_rules()}, ["all"]),
        _object({"any": _list_of_rules()}, ["any"]),
        _object({"not": _RULE}, ["not"]),
        _object(
            {"n_of_m": _object({"n": {"type": "integer", "minimum": 1}, "of": _list_of_rules()}, ["n", "of"])},
            ["n_of_m"],
        ),
        *_persons(words),
        *_metrics(),
        _object({"trigger": _object(_happening(), [])}, ["trigger"]),
        _object({"did": _did()}, ["did"]),
        *(
            _object({word: _object(_happening() | _duration(), ["n", "unit"])}, [word])
            for word in ("within", "not_happened")
        ),
        _object({"has_tag": _TEXT}, ["has_tag"]),
        _object({"segment": _TEXT}, ["segment"]),
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rule",
        "$defs": {
            "rule": {"oneOf": forms},
            "where": _where(),
            "window": _window(),
            "scalar": {"type": ["string", "number", "boolean"], "maxLength": TEXT_MAX},
        },
        **_RULE,
    }


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _list_of_rules() -> dict[str, Any]:
    return {"type": "array", "items": _RULE, "minItems": 1, "maxItems": parse.NODES_MAX}


def _one_or_list(item: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1, "maxItems": parse.NAMES_MAX}]}


def _happening() -> dict[str, Any]:
    return {
        "event": _one_or_list(_TEXT),
        "where": _WHERE,
        "end": _one_or_list(_TEXT),
        "product": _TEXT,
    }


def _duration() -> dict[str, Any]:
    return {"n": {"type": "integer", "minimum": 1}, "unit": {"enum": list(UNIT_MS)}}


def _did() -> dict[str, Any]:
    often = {"type": "integer", "minimum": 0, "maximum": 10**9}
    days = {"type": "integer", "minimum": 1, "maximum": DAYS_MAX}
    span = {"oneOf": [_object({"days": days}, ["days"]), _object({"from": _TIME, "to": _TIME}, [])]}
    return _object(_happening() | {"at_least": often, "at_most": often, "days": days, "range": span}, [])


def _tests(
    subject: dict[str, Any], operators: tuple[str, ...], value: Any, rest: dict[str, Any]
) -> list[dict[str, Any]]:
    """The forms of `subject` with each group of operators that take the same kind of value."""
    groups: list[tuple[list[str], Any]] = []
    for op in operators:
        wanted = value(op)
        if groups and groups[-1][1] == wanted:
            groups[-1][0].append(op)
        else:
            groups.append(([op], wanted))
    return [
        _object(
            subject | rest | {"op": {"enum": ops}} | ({} if wanted is None else {"value": wanted}),
            [*subject, "op"] + ([] if wanted is None else ["value"]),
        )
        for ops, wanted in groups
    ]


def _any_value(op: str) -> dict[str, Any] | None:
    if op in PRESENCE:
        return None
    if op in LISTS:
        return {"type": "array", "items": {"$ref": "#/$defs/scalar"}, "maxItems": VALUES_MAX}
    if op == "between":
        pair = {"minItems": 2, "maxItems": 2, "type": "array"}
        return {"anyOf": [pair | {"items": {"type": kind}} for kind in ("number", "string")]}
    if op == "is_multiple_of":
        return {"type": "integer", "minimum": 1, "maximum": MULTIPLE_MAX}
    if op in TEXTS or op == "has_tag":
        return {"type": "string", "minLength": 1, "maxLength": TEXT_MAX}
    return {"type": ["number", "string"]} if op in ORDERS else {"$ref": "#/$defs/scalar"}


def _time_value(op: str) -> dict[str, Any] | None:
    if op in PRESENCE:
        return None
    if op == "within":
        return _object(_duration(), ["n", "unit"])
    return {"type": "array", "items": _TIME, "minItems": 2, "maxItems": 2} if op == "between" else _TIME


def _number_value(op: str) -> dict[str, Any]:
    number = {"type": "number", "minimum": -THRESHOLD_MAX, "maximum": THRESHOLD_MAX}
    if op in ("in", "not_in"):
        return {"type": "array", "items": number, "maxItems": VALUES_MAX}
    if op == "between":
        return {"type": "array", "items": number, "minItems": 2, "maxItems": 2}
    return {"type": "integer", "minimum": 1, "maximum": MULTIPLE_MAX} if op == "is_multiple_of" else number


def _persons(words: Vocabulary) -> list[dict[str, Any]]:
    forms = []
    for type_, operators, value in (
        ("any", tuple(sorted(OPERATORS)), _any_value),
        ("list", LIST_OPERATORS, _any_value),
        ("time", TIME_OPERATORS, _time_value),
    ):
        kinds = [kind for kind in words.attributes.values() if kind.type == type_]
        if not kinds:
            continue
        names: list[dict[str, Any]] = [{"enum": [kind.name for kind in kinds if not kind.open]}]
        names += [{"type": "string", "pattern": f"^{kind.name.replace('.', '[.]')}."} for kind in kinds if kind.open]
        forms += _tests({"person": {"anyOf": names}}, operators, value, {})
    return forms


def _metrics() -> list[dict[str, Any]]:
    rest = _happening() | {"window": {"$ref": "#/$defs/window"}}
    of = {"type": "string", "minLength": 1, "maxLength": parse.NAME_CHARS_MAX}
    net = {"type": "boolean"}
    forms = []
    for kind in METRICS:
        own: dict[str, dict[str, Any]] = {"sum": {"of": of, "net": net}, "distinct": {"of": of}, "count": {"net": net}}
        more = own.get(kind, {})
        if kind in ("first", "last"):
            forms += _tests({"metric": {"const": kind}}, TIME_OPERATORS, _time_value, rest | more)
        else:
            forms += _tests({"metric": {"const": kind}}, NUMBER_OPERATORS, _number_value, rest | more)
    return forms


def _window() -> dict[str, Any]:
    whole = {"type": "integer", "minimum": 0, "maximum": 1_000}
    return {
        "oneOf": [
            _object({"last": {"type": "integer", "minimum": 1}, "unit": {"enum": list(UNIT_MS)}}, ["last", "unit"]),
            _object({"this": {"enum": list(PERIODS)}, "ago": whole}, ["this"]),
            _object({"days": {"type": "integer", "minimum": 1, "maximum": DAYS_MAX}}, ["days"]),
            _object({"from": _TIME, "to": _TIME}, []) | {"minProperties": 1},
            _object({"campaign": {"const": True}}, ["campaign"]),
        ]
    }


def _where() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "{PROPERTY: VALUE}, or property/op/value, all, any, not (docs/questions.md, where)",
    }
