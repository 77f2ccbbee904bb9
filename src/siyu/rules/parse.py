"""JSON to rule. `rule_json` writes the JSON that is read as the same rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from siyu.rules.commerce import PRODUCT
from siyu.rules.condition import (
    LINE,
    MULTIPLE_MAX,
    VALUES_MAX,
    AnyOf,
    Compare,
    Condition,
    Field,
    OfALine,
    Scalar,
    compare_of,
    of_a_line,
    parse_condition,
    parse_field,
)
from siyu.rules.condition import All as AllConditions
from siyu.rules.rule import (
    DAY,
    LIST_OPERATORS,
    METRICS,
    MONEY,
    NUMBER_OPERATORS,
    THRESHOLD_MAX,
    TIME_OPERATORS,
    Group,
    InvalidRule,
    Measured,
    Metric,
    Negation,
    Person,
    Rule,
    Trigger,
    Value,
)
from siyu.rules.vocabulary import Vocabulary
from siyu.rules.window import DAYS_MAX, PERIODS, UNIT_MS, Duration, Window, instant_ms

DEPTH_MAX: Final = 8
NODES_MAX: Final = 100
NAMES_MAX: Final = 50
NAME_CHARS_MAX: Final = 512
DURATION_MAX_MS: Final = DAYS_MAX * UNIT_MS["day"]
TAGS: Final = "tags"
SEGMENTS: Final = "segments"
_UTC: Final = ZoneInfo("UTC")


class Reading(NamedTuple):
    """What parsing needs to know."""

    words: Vocabulary
    trigger: bool
    """Whether there is a triggering event: in a segment there is none."""
    budget: list[int]


def parse_rule(data: object, words: Vocabulary, *, trigger: bool = False, path: str = "rule") -> Rule:
    """The tree of a rule's JSON. `trigger`: rules about the triggering event are allowed.

    Raises InvalidRule (in a `where` InvalidCondition); `details["path"]` is the wrong place."""
    return _parse(data, path, DEPTH_MAX, Reading(words, trigger, [NODES_MAX]))


def refuse(message: str, path: str) -> InvalidRule:
    """The error for a wrong place."""
    return InvalidRule(message, path=path)


def _parse(data: object, path: str, depth: int, reading: Reading) -> Rule:
    reading.budget[0] -= 1
    if depth < 0 or reading.budget[0] < 0:
        raise refuse(f"A rule has at most {DEPTH_MAX} levels and {NODES_MAX} parts.", path)
    if not isinstance(data, Mapping) or not data:
        raise refuse("A rule is a JSON object.", path)
    word = next((word for word in _FORMS if word in data), None)
    if word is None:
        raise refuse(f"A rule has one of: {', '.join(_FORMS)}.", path)
    fields, parse = _FORMS[word]
    if more := [key for key in data if key != word and key not in fields]:
        raise refuse(f"{word} has no field {str(more[0])[:80]!r}.", f"{path}.{str(more[0])[:80]}")
    return parse(data, path, depth, reading)


def _parts(items: object, path: str, depth: int, reading: Reading) -> tuple[Rule, ...]:
    if not isinstance(items, list) or not items:
        raise refuse("A list of at least one rule is needed.", path)
    return tuple(_parse(item, f"{path}[{i}]", depth - 1, reading) for i, item in enumerate(items))


def _all(data: Mapping[str, Any], path: str, depth: int, reading: Reading) -> Rule:
    return Group("all", _parts(data["all"], f"{path}.all", depth, reading))


def _any(data: Mapping[str, Any], path: str, depth: int, reading: Reading) -> Rule:
    return Group("any", _parts(data["any"], f"{path}.any", depth, reading))


def _not(data: Mapping[str, Any], path: str, depth: int, reading: Reading) -> Rule:
    return Negation(_parse(data["not"], f"{path}.not", depth - 1, reading))


def _n_of_m(data: Mapping[str, Any], path: str, depth: int, reading: Reading) -> Rule:
    inner = _object(data["n_of_m"], f"{path}.n_of_m", ("n", "of"))
    parts = _parts(inner.get("of"), f"{path}.n_of_m.of", depth, reading)
    return Group("n_of_m", parts, _whole(inner.get("n"), f"{path}.n_of_m.n", 1, len(parts)))


def _person(data: Mapping[str, Any], path: str, depth: int, reading: Reading) -> Rule:
    name = data["person"]
    kind = reading.words.kind_of(name) if isinstance(name, str) and len(name) <= NAME_CHARS_MAX else None
    if kind is None:
        raise refuse(f"Nothing of persons is called {str(name)[:80]!r}.", f"{path}.person")
    op = data.get("op")
    if kind.type == "time":
        return Person(name, _operator(op, TIME_OPERATORS, path), _time_value(data, path))
    if kind.type == "list":
        _operator(op, LIST_OPERATORS, path)
    if op == "has_tag":
        return Person(name, op, _text(data.get("value"), f"{path}.value"))
    compared = compare_of(Field(name, "person", ()), data, path)
    return Person(name, compared.op, compared.value)


def _has_tag(data: Mapping[str, Any], path: str, depth: int, reading: Reading) -> Rule:
    return _known(TAGS, "has_tag", _text(data["has_tag"], f"{path}.has_tag"), f"{path}.has_tag", reading)


def _segment(data: Mapping[str, Any], path: str, depth: int, reading: Reading) -> Rule:
    return _known(SEGMENTS, "contains", _text(data["segment"], f"{path}.segment"), f"{path}.segment", reading)


def _known(name: str, op: str, value: str, path: str, reading: Reading) -> Rule:
    if reading.words.kind_of(name) is None:
        raise refuse(f"Nothing of persons is called {name!r}.", path)
    return Person(name, op, value)


def _trigger(data: Mapping[str, Any], path: str, depth: int, reading: Reading) -> Rule:
    if not reading.trigger:
        raise refuse("There is no triggering event here.", path)
    inner = _object(data["trigger"], f"{path}.trigger", ("event", *_FILTERS))
    return Trigger(_names(inner.get("event"), f"{path}.trigger.event"), _where(inner, f"{path}.trigger"))


def _metric(data: Mapping[str, Any], path: str, depth: int, reading: Reading) -> Rule:
    kind = data["metric"]
    if kind not in METRICS:
        raise refuse(f"A metric is one of: {', '.join(METRICS)}.", f"{path}.metric")
    of = data.get("of", MONEY if kind == "sum" else "")
    if (kind in ("sum", "distinct")) != bool(of) or not isinstance(of, str):
        raise refuse("sum and distinct take a property in `of`, no other metric does.", f"{path}.of")
    if of not in ("", DAY):
        parse_field(of, f"{path}.of", line=True)
    elif of == DAY and kind == "sum":
        raise refuse("Days cannot be summed up.", f"{path}.of")
    net = data.get("net", False)
    if not isinstance(net, bool) or (net and not (kind == "count" or (kind == "sum" and of == MONEY))):
        raise refuse("net is true for a count of orders or a sum of @value_fen.", f"{path}.net")
    events = _names(data.get("event"), f"{path}.event")
    if net and not events:
        raise refuse("net needs the event that is the purchase.", f"{path}.event")
    window = _window(data.get("window"), f"{path}.window", reading)
    metric = Metric(kind, events, _where(data, path), of, window, net)
    op, value = data.get("op"), _metric_value(metric, data, path)
    if op == "crosses" and not reading.trigger:
        raise refuse("crosses needs a triggering event: it is true at one moment only.", f"{path}.op")
    return Measured(metric, str(op), value)


def _metric_value(metric: Metric, data: Mapping[str, Any], path: str) -> Value:
    op, value, where = data.get("op"), data.get("value"), f"{path}.value"
    if metric.is_time:
        _operator(op, TIME_OPERATORS, path)
        return _time_value(data, path)
    _operator(op, NUMBER_OPERATORS, path)
    if op in ("in", "not_in", "between"):
        if not isinstance(value, list) or len(value) > VALUES_MAX or (op == "between" and len(value) != 2):
            raise refuse("A list of numbers is needed, for between of two.", where)
        return tuple(_number(item, f"{where}[{i}]", metric.scale > 1) for i, item in enumerate(value))
    if op == "is_multiple_of":
        return _whole(value, where, 1, MULTIPLE_MAX)
    return _number(value, where, metric.scale > 1)


def _within(data: Mapping[str, Any], path: str, depth: int, reading: Reading) -> Rule:
    return Measured(_often(data["within"], f"{path}.within", reading), "gte", 1)


def _not_happened(data: Mapping[str, Any], path: str, depth: int, reading: Reading) -> Rule:
    return Measured(_often(data["not_happened"], f"{path}.not_happened", reading), "eq", 0)


def _often(inner: Mapping[str, Any], place: str, reading: Reading) -> Metric:
    _object(inner, place, ("n", "unit", "event", *_FILTERS))
    window = Window("last", *_duration(inner.get("n"), inner.get("unit"), place, "n"))
    return Metric("count", _names(inner.get("event"), f"{place}.event"), _where(inner, place), "", window)


def _did(data: Mapping[str, Any], path: str, depth: int, reading: Reading) -> Rule:
    place = f"{path}.did"
    inner = _object(data["did"], place, ("event", "at_least", "at_most", "days", "range", *_FILTERS))
    least = _whole(inner.get("at_least", 1), f"{place}.at_least", 0, 10**9)
    window = Window()
    if inner.get("days") is not None:
        if inner.get("range") is not None:
            raise refuse("Either days, or range.", f"{place}.days")
        window = Window("last", _whole(inner["days"], f"{place}.days", 1, DAYS_MAX), "day")
    elif inner.get("range") is not None:
        window = _window(_object(inner["range"], f"{place}.range", ("from", "to", "days")), f"{place}.range", reading)
    metric = Metric("count", _names(inner.get("event"), f"{place}.event"), _where(inner, place), "", window)
    if inner.get("at_most") is None:
        return Measured(metric, "gte", least)
    most = _whole(inner["at_most"], f"{place}.at_most", 0, 10**9)
    if most < least:
        raise refuse("at_most is less than at_least.", f"{place}.at_most")
    return Measured(metric, "between", (least, most))


_FILTERS: Final = ("where", "end", "product")
_Form = Callable[[Mapping[str, Any], str, int, Reading], Rule]
_FORMS: Final[Mapping[str, tuple[tuple[str, ...], _Form]]] = {
    "all": ((), _all),
    "any": ((), _any),
    "not": ((), _not),
    "n_of_m": ((), _n_of_m),
    "person": (("op", "value"), _person),
    "metric": (("event", *_FILTERS, "of", "window", "net", "op", "value"), _metric),
    "trigger": ((), _trigger),
    "did": ((), _did),
    "within": ((), _within),
    "not_happened": ((), _not_happened),
    "has_tag": ((), _has_tag),
    "segment": ((), _segment),
}


def _object(value: object, path: str, fields: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise refuse("A JSON object is needed.", path)
    for key in value:
        if key not in fields:
            raise refuse(f"There is no field {str(key)[:80]!r} here.", f"{path}.{str(key)[:80]}")
    return value


def _operator(op: object, known: tuple[str, ...], path: str) -> str:
    if not isinstance(op, str) or op not in known:
        raise refuse(f"The operator is one of: {', '.join(known)}.", f"{path}.op")
    return op


def _text(value: object, path: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= NAME_CHARS_MAX or not _is_unicode(value):
        raise refuse(f"A text of 1 to {NAME_CHARS_MAX} characters is needed.", path)
    return value


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _whole(value: object, path: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise refuse(f"A whole number from {low} to {high} is needed.", path)
    return value


def _number(value: object, path: str, fractions: bool) -> int | float:
    wanted = int | float if fractions else int
    if isinstance(value, bool) or not isinstance(value, wanted) or not abs(value) <= THRESHOLD_MAX:
        raise refuse(f"A{'' if fractions else ' whole'} number of at most {THRESHOLD_MAX} is needed.", path)
    return value


def _names(value: object, path: str, what: str = "event names") -> tuple[str, ...]:
    if value is None:
        return ()
    names = value if isinstance(value, list) else [value]
    if not 1 <= len(names) <= NAMES_MAX:
        raise refuse(f"1 to {NAMES_MAX} {what} are needed.", path)
    return tuple(dict.fromkeys(_text(name, path) for name in names))


def _where(data: Mapping[str, Any], path: str) -> Condition | None:
    """`where`, `end` and `product` as one condition; what it asks of lines it asks of the same one."""
    parts: list[Condition] = []
    if (where := data.get("where")) is not None:
        condition = parse_condition(where, f"{path}.where")
        condition = condition.part if isinstance(condition, OfALine) else condition
        if not _is_empty(condition):
            parts.append(condition)
    if ends := _names(data.get("end"), f"{path}.end", "ends"):
        parts.append(Compare(parse_field("@end"), "in", ends) if len(ends) != 1 else _equals("@end", ends[0]))
    if (product := data.get("product")) is not None:
        wanted = _text(product, f"{path}.product")
        parts.append(AnyOf(tuple(_equals(LINE + name, wanted) for name in PRODUCT)))
    if not parts:
        return None
    return of_a_line(parts[0] if len(parts) == 1 else AllConditions(tuple(parts)))


def _equals(name: str, value: Scalar) -> Compare:
    return Compare(parse_field(name, line=True), "eq", value)


def _is_empty(condition: Condition) -> bool:
    return isinstance(condition, AllConditions) and not condition.parts


def _window(value: object, path: str, reading: Reading) -> Window:
    if value is None:
        return Window()
    data = _object(value, path, ("last", "unit", "this", "ago", "days", "from", "to", "campaign"))
    keys = set(data)
    if keys == {"last", "unit"}:
        return Window("last", *_duration(data["last"], data["unit"], path, "last"))
    if "this" in keys and keys <= {"this", "ago"}:
        if data["this"] not in PERIODS:
            raise refuse(f"A calendar period is one of: {', '.join(PERIODS)}.", f"{path}.this")
        return Window("this", _whole(data.get("ago", 0), f"{path}.ago", 0, 1_000), data["this"])
    if keys == {"days"}:
        return Window("days", _whole(data["days"], f"{path}.days", 1, DAYS_MAX))
    if keys == {"campaign"} and data["campaign"] is True:
        if not reading.trigger:
            raise refuse("There is no campaign here.", f"{path}.campaign")
        return Window("campaign")
    if keys and keys <= {"from", "to"}:
        start, end = (_iso(data[key], f"{path}.{key}") if key in data else "" for key in ("from", "to"))
        if start and end and instant_ms(start, _UTC) >= instant_ms(end, _UTC):
            raise refuse("The window ends before it begins.", f"{path}.to")
        return Window("between", 0, "", start, end)
    raise refuse("A window is last and unit, this (and ago), days, from and to, or campaign.", path)


def _duration(n: object, unit: object, path: str, field: str) -> Duration:
    if not isinstance(unit, str) or unit not in UNIT_MS:
        raise refuse(f"The unit is one of: {', '.join(UNIT_MS)}.", f"{path}.unit")
    return Duration(_whole(n, f"{path}.{field}", 1, DURATION_MAX_MS // UNIT_MS[unit]), unit)


def _iso(value: object, path: str) -> str:
    try:
        text = _text(value, path)
        if not "0001-01-02" < text < "9999-12-31":
            raise ValueError
        instant_ms(text, _UTC)
    except (ValueError, OverflowError):
        raise refuse("A time is ISO 8601, such as 2026-06-01T00:00:00+08:00.", path) from None
    return text


def _time_value(data: Mapping[str, Any], path: str) -> Value:
    op, value, where = data.get("op"), data.get("value"), f"{path}.value"
    if op in ("exists", "is_null"):
        if "value" in data:
            raise refuse(f"{op} takes no value.", where)
        return None
    if op == "within":
        duration = _object(value, where, ("n", "unit"))
        return _duration(duration.get("n"), duration.get("unit"), where, "n")
    if op == "between":
        if not isinstance(value, list) or len(value) != 2:
            raise refuse("between takes a list of two times.", where)
        return tuple(_iso(item, f"{where}[{i}]") for i, item in enumerate(value))
    return _iso(value, where)
