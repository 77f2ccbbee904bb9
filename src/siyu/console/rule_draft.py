"""A rule while it is being built: what stands in the fields of the builder, complete or not. Pure.

A draft is JSON of texts, as a form has them: `{"kind": "group", "word", "n", "parts"}`, `{"kind": "person", "name",
"op", "value" …}`, `{"kind": "metric" …}`, `{"kind": "trigger" …}`, and `{"kind": "kept", "rule"}` for what the builder
has no fields for. `rule_of` makes the rule, `draft_of` leads back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from siyu.rules.money import MONEY_FIELDS, fen_of, yuan_text
from siyu.rules.rule import DAY, MONEY, InvalidRule
from siyu.rules.vocabulary import AttributeKind, Vocabulary

Draft = dict[str, Any]
EMPTY: Final[Draft] = {"kind": "group", "word": "all", "n": "1", "parts": []}
MEASURES: Final = ("count", "money", "days", "distinct", "sum", "first", "last", "streak")
WINDOWS: Final = ("ever", "last", "this", "ago", "days", "between", "campaign")
LIST_OPS: Final = ("in", "not_in")
PRESENCE: Final = ("exists", "is_null")
DEPTH_MAX: Final = 12
PARTS_MAX: Final = 200
_PARTED: Final = re.compile(r"[,，、\n]")
_NUMBER: Final = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?\Z", re.ASCII)


class Made(NamedTuple):
    """The rule of a draft; None of an empty one."""

    rule: dict[str, Any] | None
    places: dict[str, str]
    """Path of a node in the rule → where it stands in the draft: `0.1` is the second part of the first part."""

    def place(self, path: str) -> tuple[str, str]:
        """Where the node is that an error names, and the rest of the path: the wrong field."""
        while path not in self.places and path:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.places.get(path, ""), path


def rule_of(draft: object, words: Vocabulary) -> Made:
    """The rule that the fields say; what is wrong in it `parse_rule` finds. Raises InvalidRule for what is no draft."""
    making = _Making(words, {})
    return Made(_node(draft, _At("rule", ""), making, DEPTH_MAX), making.places)


def checked(given: object, depth: int, *, kept: bool = False) -> Draft:
    """A draft of which at least the shape is right; `kept`: parts that the fields cannot say may be in it.

    Raises InvalidRule."""
    kinds = ("group", "person", "metric", "trigger")
    if isinstance(given, dict) and kept and given.get("kind") == "kept" and isinstance(given.get("rule"), dict):
        return {"kind": "kept", "rule": given["rule"]}
    if not isinstance(given, dict) or depth < 0 or given.get("kind") not in kinds:
        raise InvalidRule("This is no rule of the builder.", path="rule")
    lists = {key: given.get(key) for key in ("events", "filters", "parts")}
    shaped = {key: value if isinstance(value, list) else [] for key, value in lists.items()}
    texts = {key: value for key, value in given.items() if isinstance(key, str) and key not in shaped}
    filters = [one for one in shaped["filters"] if isinstance(one, dict)]
    parts = [checked(part, depth - 1, kept=kept) for part in shaped["parts"]]
    events = [one for one in shaped["events"] if isinstance(one, str)]
    return texts | {"events": events, "filters": filters, "parts": parts}


class _At(NamedTuple):
    """Where a node stands: in the rule, and in the draft."""

    path: str
    place: str


class _Making(NamedTuple):
    words: Vocabulary
    places: dict[str, str]


def _node(draft: object, at: _At, making: _Making, depth: int) -> dict[str, Any] | None:
    path, place = at
    if not isinstance(draft, Mapping) or depth < 0:
        raise InvalidRule("This is no rule of the builder.", path=path)
    kind = draft.get("kind")
    if kind != "group":
        making.places[path] = place
        return _leaf(draft, path, making.words)
    parts = draft.get("parts")
    if not isinstance(parts, list) or len(parts) > PARTS_MAX:
        raise InvalidRule("This is no rule of the builder.", path=path)
    word = draft.get("word")
    filled = [(n, part) for n, part in enumerate(parts) if not _is_empty(part, depth)]
    own, single = _group_path(str(word), path, len(filled))
    made: list[dict[str, Any]] = []
    making.places[path] = place
    for n, part in filled:
        inner = f"{place}.{n}" if place else str(n)
        found = _node(part, _At(own if single else f"{own}[{len(made)}]", inner), making, depth - 1)
        if found is not None:
            made.append(found)
    return _group(str(word), draft, made)


def _is_empty(draft: object, depth: int) -> bool:
    """Whether it is a group with nothing in it."""
    if depth < 0 or not isinstance(draft, Mapping) or draft.get("kind") != "group":
        return False
    parts = draft.get("parts")
    return isinstance(parts, list) and all(_is_empty(part, depth - 1) for part in parts)


def _group_path(word: str, path: str, parts: int) -> tuple[str, bool]:
    """The path of a group's parts, and whether the only part stands there itself. A group of one is its part."""
    if word == "not":
        return (f"{path}.not", True) if parts == 1 else (f"{path}.not.all", False)
    if word == "n_of_m":
        return f"{path}.n_of_m.of", False
    return (path, True) if parts == 1 else (f"{path}.{word}", False)


def _group(word: str, draft: Mapping[str, Any], made: list[dict[str, Any]]) -> dict[str, Any] | None:
    if not made:
        return None
    if word == "n_of_m":
        return {"n_of_m": {"n": _number(draft.get("n")), "of": made}}
    if word == "not":
        return {"not": made[0] if len(made) == 1 else {"all": made}}
    return made[0] if len(made) == 1 else {word: made}


def _leaf(draft: Mapping[str, Any], path: str, words: Vocabulary) -> dict[str, Any]:
    kind = draft.get("kind")
    if kind == "person":
        name = _text(draft.get("name"))
        known = words.kind_of(name)
        return {"person": name, "op": _text(draft.get("op"))} | _value(draft, _meant(draft, known))
    if kind == "metric":
        return _metric(draft)
    if kind == "trigger":
        return {"trigger": _happening(draft)}
    if kind == "kept" and isinstance(draft.get("rule"), dict):
        kept: dict[str, Any] = draft["rule"]
        return kept
    raise InvalidRule("This is no rule of the builder.", path=path)


def _meant(draft: Mapping[str, Any], kind: AttributeKind | None) -> str:
    """As what the value of an attribute is meant."""
    if kind is None:
        return _how(draft)
    known = {"time": kind.type == "time", "money": kind.money, "number": kind.number}
    return next((how for how, fits in known.items() if fits), "") or _how(draft)


def _how(draft: Mapping[str, Any]) -> str:
    """As what a value is meant: text, number or truth."""
    said = draft.get("as")
    if said in ("number", "truth"):
        return str(said)
    ordered = draft.get("op") in ("gt", "gte", "lt", "lte", "between", "is_multiple_of")
    return "either" if ordered else "text"


def _value(draft: Mapping[str, Any], how: str) -> dict[str, Any]:
    op, value = draft.get("op"), draft.get("value")
    if op in PRESENCE:
        return {}
    if op == "within":
        return {"value": {"n": _number(value), "unit": _text(draft.get("unit"))}}
    if op == "between":
        return {"value": [_typed(value, how), _typed(draft.get("value2"), how)]}
    if op in LIST_OPS:
        items = value if isinstance(value, list) else [part.strip() for part in _PARTED.split(_text(value))]
        return {"value": [_typed(item, how) for item in items if item != ""]}
    return {"value": _typed(value, how)}


def _typed(value: object, how: str) -> Any:
    text = _text(value)
    if how == "number" or (how == "either" and _NUMBER.match(text.strip())):
        return _number(text)
    if how == "money":
        return fen_of(text.strip()) if _is_number(text) else text
    return text == "true" if how == "truth" and text in ("true", "false") else text


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> Any:
    """The number a text is; a text that is none stays, and is refused where it stands."""
    text = _text(value).strip()
    if not _is_number(text):
        return text
    return int(text) if text.lstrip("-+").isdigit() else float(text)


def _is_number(text: str) -> bool:
    return len(text) <= 40 and _NUMBER.match(text.strip()) is not None


def _metric(draft: Mapping[str, Any]) -> dict[str, Any]:
    measure = _text(draft.get("measure"))
    kind = {"money": "sum", "days": "distinct"}.get(measure, measure)
    data: dict[str, Any] = {"metric": kind} | _happening(draft)
    if measure in ("money", "days"):
        data["of"] = MONEY if measure == "money" else DAY
    elif measure in ("sum", "distinct"):
        data["of"] = _text(draft.get("of"))
    if draft.get("net") and measure in ("count", "money"):
        data["net"] = True
    if window := _window(draft):
        data["window"] = window
    money = kind == "sum" and data["of"] in MONEY_FIELDS
    how = "time" if kind in ("first", "last") else "money" if money else "number"
    return data | {"op": _text(draft.get("op"))} | _value(draft, how)


def _window(draft: Mapping[str, Any]) -> dict[str, Any]:
    form, n = draft.get("window"), draft.get("window_n")
    if form == "last":
        return {"last": _number(n), "unit": _text(draft.get("window_unit"))}
    if form in ("this", "ago"):
        return {"this": _text(draft.get("window_period"))} | ({"ago": _number(n)} if form == "ago" else {})
    if form == "days":
        return {"days": _number(n)}
    if form == "campaign":
        return {"campaign": True}
    if form == "between":
        ends = {"from": draft.get("window_from"), "to": draft.get("window_to")}
        return {key: text for key, text in ends.items() if isinstance(text, str) and text} or {"from": ""}
    return {}


def _happening(draft: Mapping[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    events = [name for name in draft.get("events") or [] if isinstance(name, str) and name]
    if events:
        data["event"] = events[0] if len(events) == 1 else events
    if isinstance(kept := draft.get("where"), dict):
        return data | {"where": kept}
    compared = []
    for item in draft.get("filters") or []:
        if isinstance(item, Mapping) and _text(item.get("property")):
            test = {"property": item["property"], "op": _text(item.get("op"))}
            how = "money" if item["property"] in MONEY_FIELDS else _how(item)
            compared.append(test | _value(item, how))
    if compared:
        joined = "any" if draft.get("join") == "any" else "all"
        data["where"] = compared[0] if len(compared) == 1 else {joined: compared}
    return data


def draft_of(rule: Mapping[str, Any] | None, words: Vocabulary) -> Draft:
    """The fields of a rule in its long form; the outermost is always a group."""
    if rule is None:
        return dict(EMPTY)
    made = _draft(rule, words)
    return made if made["kind"] == "group" else EMPTY | {"parts": [made]}


def _draft(rule: Mapping[str, Any], words: Vocabulary) -> Draft:
    for word in ("all", "any"):
        if word in rule:
            return EMPTY | {"word": word, "parts": [_draft(part, words) for part in rule[word]]}
    if "n_of_m" in rule:
        inner = rule["n_of_m"]
        parts = [_draft(part, words) for part in inner["of"]]
        return EMPTY | {"word": "n_of_m", "n": str(inner["n"]), "parts": parts}
    if "not" in rule:
        part = rule["not"]
        inside = part["all"] if "all" in part and len(part["all"]) > 1 else [part]
        return EMPTY | {"word": "not", "parts": [_draft(one, words) for one in inside]}
    made = _leaf_draft(rule, words)
    # What does not come back as it was has more to it than the fields can say: it is kept as it is.
    return made if made is not None and _leaf(made, "", words) == rule else {"kind": "kept", "rule": dict(rule)}


def _leaf_draft(rule: Mapping[str, Any], words: Vocabulary) -> Draft | None:
    if "person" in rule:
        kind_of = words.kind_of(rule["person"])
        money = kind_of is not None and kind_of.money
        return {"kind": "person", "name": rule["person"]} | _test_draft(rule, money)
    if "trigger" in rule:
        return {"kind": "trigger"} | _happening_draft(rule["trigger"])
    kind, of = rule["metric"], rule.get("of", "")
    measure = "money" if (kind, of) == ("sum", MONEY) else "days" if (kind, of) == ("distinct", DAY) else kind
    draft = {"kind": "metric", "measure": measure, "of": of if measure in ("sum", "distinct") else ""}
    draft |= {"net": bool(rule.get("net"))}
    money = kind == "sum" and of in MONEY_FIELDS
    return draft | _happening_draft(rule) | _window_draft(rule.get("window") or {}) | _test_draft(rule, money)


def _window_draft(window: Mapping[str, Any]) -> Draft:
    fields = {"window_n": "30", "window_unit": "day", "window_period": "month", "window_from": "", "window_to": ""}
    if "last" in window:
        return fields | {"window": "last", "window_n": str(window["last"]), "window_unit": window["unit"]}
    if "this" in window:
        ago = {"window": "ago", "window_n": str(window["ago"])} if window.get("ago") else {"window": "this"}
        return fields | ago | {"window_period": window["this"]}
    if "days" in window:
        return fields | {"window": "days", "window_n": str(window["days"])}
    if "campaign" in window:
        return fields | {"window": "campaign"}
    if window:
        return fields | {
            "window": "between", "window_from": window.get("from", ""), "window_to": window.get("to", "")
        }  # fmt: skip
    return fields | {"window": "ever"}


def _happening_draft(rule: Mapping[str, Any]) -> Draft:
    event = rule.get("event", [])
    draft: Draft = {"events": [event] if isinstance(event, str) else list(event), "join": "all", "filters": []}
    where = rule.get("where")
    if where is None:
        return draft
    word = next((word for word in ("all", "any") if word in where and len(where[word]) > 1), None)
    parts: Sequence[Any] = [where] if word is None else where[word]
    if not all("property" in part for part in parts):
        return draft | {"where": where}
    filters = [{"property": part["property"]} | _test_draft(part, part["property"] in MONEY_FIELDS) for part in parts]
    return draft | {"join": word or "all", "filters": filters}


def _test_draft(rule: Mapping[str, Any], money: bool) -> Draft:
    op, value = rule["op"], rule.get("value")

    def shown(one: object) -> str:
        return yuan_text(one) if money and isinstance(one, int | float) and not isinstance(one, bool) else _shown(one)

    draft: Draft = {"op": op, "value": "", "value2": "", "unit": "day", "as": "text"}
    if isinstance(value, Mapping):
        return draft | {"value": str(value["n"]), "unit": value["unit"]}
    if isinstance(value, list):
        first: Any = value[0] if value else ""
        if op == "between":
            return draft | {"value": shown(value[0]), "value2": shown(value[1]), "as": _as(first)}
        return draft | {"value": [shown(item) for item in value], "as": _as(first)}
    return draft if value is None else draft | {"value": shown(value), "as": _as(value)}


def _as(value: object) -> str:
    return "truth" if isinstance(value, bool) else "number" if isinstance(value, int | float) else "text"


def _shown(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
