"""Between a question (docs/questions.md), its form and its address. Pure."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from siyu.errors import InvalidQuestion
from siyu.rules.condition import OPERATORS, PRESENCE

Fields = Mapping[str, Sequence[str]]
"""A form: every name with its values, in order."""
QuestionJson = dict[str, Any]

KINDS: Final = (
    *("funnel", "retention", "trend", "paths", "attribution"),
    *("lifecycle", "stickiness", "rfm", "clv", "segment_size"),
)
RANGE_DAYS: Final = (7, 14, 30, 60, 90, 180, 365)
ADDRESS_CHARS_MAX: Final = 12_000
FIRST_MODELS: Final = ("first", "last", "linear", "markov")
"""What attribution compares at first: both ends of a journey, all of it alike, and what its removal would cost."""


def encode_question(question: QuestionJson) -> str:
    """The question as it stands in an address."""
    return urlsafe_b64encode(msgspec.json.encode(question)).decode().rstrip("=")


def decode_question(text: str, kind: str) -> QuestionJson:
    """Inverse of `encode_question`. Raises InvalidQuestion."""
    try:
        if len(text) > ADDRESS_CHARS_MAX:
            raise ValueError("too long")
        question = msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(question, dict) or question.get("kind") != kind:
            raise ValueError("another kind")
    except (NotBase64, ValueError, msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidQuestion("The address does not hold a question: was it cut off?", path="q") from error
    return question


def question_of(kind: str, form: Fields) -> QuestionJson:
    """The question a filled-in form asks. What a form cannot say wrong is left to the parser of questions."""
    question: QuestionJson = {"kind": kind} | _BUILDERS[kind](form)
    if kind not in ("rfm", "clv", "segment_size", "retention"):
        question["range"] = _range(form)
    return question


def _one(form: Fields, name: str, default: str = "") -> str:
    values = form.get(name) or (default,)
    return values[0].strip() or default


def _number(text: str, default: int) -> int:
    return int(text) if text.lstrip("-").isdecimal() and len(text) < 10 else default


def _range(form: Fields) -> dict[str, Any]:
    start, end = _one(form, "from"), _one(form, "to")
    if _one(form, "days") == "custom" and start:
        return {"from": start} | ({"to": end} if end else {})
    return {"days": _number(_one(form, "days", "30"), 30)}


def _window(form: Fields, n: int, unit: str) -> dict[str, Any]:
    return {"n": _number(_one(form, "window_n"), n), "unit": _one(form, "window_unit", unit)}


def _scalar(text: str) -> str | float | int:
    """A number where the text is one: order comparisons are of numbers then."""
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        return text


def _wheres(form: Fields, prefix: str = "") -> list[dict[str, Any] | None]:
    """The condition of each row of the form; None where it has none."""
    columns = [form.get(f"{prefix}where_{name}", ()) for name in ("prop", "op", "value", "json")]
    rows = max((len(column) for column in columns), default=0)
    padded = [[*column, *[""] * (rows - len(column))] for column in columns]
    return [_where(prop.strip(), op, value, kept) for prop, op, value, kept in zip(*padded, strict=True)]


def _where(prop: str, op: str, value: str, kept: str) -> dict[str, Any] | None:
    if prop:
        op = op if op in OPERATORS else "eq"
        if op in PRESENCE:
            return {"property": prop, "op": op}
        if op in ("in", "not_in"):
            parts = value.replace("，", ",").split(",")
            return {"property": prop, "op": op, "value": [part.strip() for part in parts if part.strip()]}
        ordered = op in ("gt", "gte", "lt", "lte")
        return {"property": prop, "op": op, "value": _scalar(value.strip()) if ordered else value.strip()}
    if kept:
        try:
            condition = msgspec.json.decode(kept)
        except msgspec.DecodeError:
            return None
        return condition if isinstance(condition, dict) else None
    return None


def _steps(form: Fields, prefix: str = "") -> list[dict[str, Any]]:
    names = [name.strip() for name in form.get(f"{prefix}event", ())]
    wheres = [*_wheres(form, prefix), *[None] * len(names)]
    steps = []
    for name, where in zip(names, wheres, strict=False):
        step: dict[str, Any] = {"event": name} if name else {}
        if where:
            step["where"] = where
        steps.append(step)
    return steps


def _breakdown(form: Fields) -> dict[str, Any]:
    prop = _one(form, "breakdown")
    if not prop:
        return {}
    broken: dict[str, Any] = {"person_prop" if _one(form, "breakdown_of") == "person" else "event_prop": prop}
    if attribution := _one(form, "attribution"):
        broken["attribution"] = attribution
    return {"breakdown": broken}


def _funnel(form: Fields) -> QuestionJson:
    steps = [step for step in _steps(form) if step]
    question: QuestionJson = {
        "order": _one(form, "order", "ordered"),
        "steps": steps,
        "window": _window(form, 14, "day"),
    }
    ends = list(zip(form.get("excl_from", ()), form.get("excl_to", ()), strict=False))
    exclusions = [
        {**step, "from": max(0, _number(start, 1) - 1), "to": max(0, _number(end, len(steps)) - 1)}
        for step, (start, end) in zip(_steps(form, "excl_"), ends, strict=False)
        if step.get("event")
    ]
    return question | ({"exclusions": exclusions} if exclusions else {}) | _breakdown(form)


def _retention(form: Fields) -> QuestionJson:
    question: QuestionJson = {
        "period": _one(form, "period", "week"),
        "type": _one(form, "type", "recurring"),
        "target": _one(form, "target") or None,
        "returning": _one(form, "returning") or None,
        "intervals": min(60, max(2, _number(_one(form, "intervals", "8"), 8))),
    }
    return question | _breakdown(form)


def _trend(form: Fields) -> QuestionJson:
    series = []
    maths, props = form.get("math", ()), form.get("property", ())
    for n, step in enumerate(_steps(form)):
        math = maths[n] if n < len(maths) else "count"
        line = {**step, "math": math.rstrip("0123456789")}
        if math.startswith("percentile"):
            line["percentile"] = _number(math.removeprefix("percentile"), 50)
        if math not in ("count", "persons") and n < len(props) and props[n].strip():
            line["property"] = props[n].strip()
        series.append(line)
    question: QuestionJson = {"series": series, "interval": _one(form, "interval", "day")}
    formula = _one(form, "formula")
    return question | ({"formula": formula} if formula else {}) | _breakdown(form)


def _paths(form: Fields) -> QuestionJson:
    question: QuestionJson = {"steps_max": _number(_one(form, "steps_max", "5"), 5)}
    question |= {"nodes_max": _number(_one(form, "nodes_max", "8"), 8)}
    question |= {name: value for name in ("start", "end") if (value := _one(form, name))}
    question["session_gap"] = {"n": _number(_one(form, "gap", "30"), 30), "unit": "minute"}
    without = [name.strip() for name in form.get("without", ()) if name.strip()]
    return question | ({"without": without} if without else {})


def _attribution(form: Fields) -> QuestionJson:
    touches, direct, value = _steps(form, "touch_"), _one(form, "direct"), _one(form, "value")
    question: QuestionJson = {
        "conversion": next(iter(_steps(form)), {}),
        "touch": touches[0] if touches else {},
        "channel": _one(form, "channel", "utm_source"),
        "models": [model for model in form.get("model", ()) if model] or list(FIRST_MODELS),
        "window": _window(form, 30, "day"),
    }
    return question | ({"value": value} if value else {}) | ({"direct": direct} if direct else {})


def _activity(form: Fields) -> QuestionJson:
    question: QuestionJson = {"interval": _one(form, "interval", "week")}
    for step in _steps(form)[:1]:
        question |= step
    return question


def _rfm(form: Fields) -> QuestionJson:
    return {"cuts": _one(form, "cuts", "value"), "split": _one(form, "split", "mean")}


def _clv(form: Fields) -> QuestionJson:
    question: QuestionJson = {"horizon": _window(form, 52, "week")}
    for step in _steps(form)[:1]:
        question |= step
    if value := _one(form, "value"):
        question["value"] = value
    return question if _one(form, "days", "all") == "all" else question | {"range": _range(form)}


def _segment(form: Fields) -> QuestionJson:
    least, days = form.get("at_least", ()), form.get("within", ())
    parts = []
    for n, step in enumerate(_steps(form)):
        did: dict[str, Any] = {**step, "at_least": _number(least[n], 1) if n < len(least) else 1}
        if n < len(days) and _number(days[n], 0) > 0:
            did["days"] = _number(days[n], 30)
        part: dict[str, Any] = {"did": did}
        if did["at_least"] == 0:
            part = {"not": {"did": did | {"at_least": 1}}}
        parts.append(part)
    return {"condition": {"any" if _one(form, "join") == "any" else "all": parts}}


_BUILDERS: Final = {
    "funnel": _funnel,
    "retention": _retention,
    "trend": _trend,
    "paths": _paths,
    "attribution": _attribution,
    "lifecycle": _activity,
    "stickiness": _activity,
    "rfm": _rfm,
    "clv": _clv,
    "segment_size": _segment,
}


def first_question(kind: str, names: Sequence[str], properties: Sequence[str] = ()) -> QuestionJson:
    """What a form shows at first: a sensible question about the events and properties that really arrived."""
    have = set(names)

    def pick(*wanted: str) -> str | None:
        return next((name for name in wanted if name in have), None)

    view = pick("product.viewed", "Product Viewed", "page", "$pageview", "page.viewed")
    cart = pick("cart.added", "Product Added", "add2cart", "order.checkout_started")
    paid = pick("order.paid", "Order Completed", "PayOrder", "purchase")
    steps = [{"event": name} for name in (view, cart, paid) if name] or [{"event": name} for name in names[:2]]
    month: QuestionJson = {"days": 30}
    series = [{"event": name, "math": "persons"} for name in (view, paid) if name] or [{"math": "persons"}]
    bought: QuestionJson = {"event": paid} if paid else {}
    # Every event has an end: attribution has an answer even where no link carries a source.
    channel = next((name for name in ("utm_source", "$utm_source", "channel") if name in properties), "@end")
    credit: QuestionJson = {
        "conversion": {"event": paid or next(iter(names), "order.paid")},
        "touch": {"event": view} if view and channel == "@end" else {},
        "channel": channel,
        "models": list(FIRST_MODELS),
        "window": {"n": 30, "unit": "day"},
        "range": {"days": 90},
    }
    questions: dict[str, QuestionJson] = {
        "funnel": {"order": "ordered", "steps": steps, "window": {"n": 14, "unit": "day"}, "range": month},
        "retention": {"period": "week", "type": "recurring", "target": None, "returning": None, "intervals": 8},
        "trend": {"series": series, "interval": "day", "range": month},
        "paths": {"steps_max": 5, "nodes_max": 8, "session_gap": {"n": 30, "unit": "minute"}, "range": {"days": 7}},
        "attribution": credit | ({"value": "@value_fen"} if paid else {}),
        "lifecycle": {"interval": "week", "range": {"days": 90}},
        "stickiness": {"interval": "day", "range": month},
        "rfm": {"cuts": "value", "split": "mean"},
        "clv": {"horizon": {"n": 52, "unit": "week"}},
        "segment_size": {"condition": {"all": [{"did": {**bought, "at_least": 2, "days": 90}}]}},
    }
    return {"kind": kind} | questions[kind]
