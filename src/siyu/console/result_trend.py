"""Trends as pages show them: lines and their table. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from siyu.analytics.formula import money_degree, parse_formula
from siyu.analytics.trend import Line, TrendGroups, TrendLines
from siyu.console.i18n import mark as _
from siyu.console.labels import Labels
from siyu.console.result_words import GROUPS_DRAWN_MAX, TONES, group_name, in_fen, step_name
from siyu.console.visit import Face

MATHS: Final = {
    "count": _("times"),
    "persons": _("persons"),
    "per_person": _("per person"),
    "sum": _("sum"),
    "avg": _("average"),
    "min": _("smallest"),
    "max": _("largest"),
    "percentile": _("percentile"),
}


def _series_name(series: Mapping[str, Any], face: Face) -> str:
    math = str(series.get("math", "count"))
    word = face.text(MATHS.get(math, math))
    of = f" {Labels(face.locale).property(str(series['property']))}" if series.get("property") else ""
    return f"{step_name(series, face)} · {word}{of}"


def _formula_is_money(text: str, letters: str, money: set[str]) -> bool:
    return money_degree(parse_formula(text, letters), letters, money) == 1


def trend(question: Mapping[str, Any], result: TrendLines | TrendGroups, face: Face) -> dict[str, Any]:
    """Lines for the chart, in yuan where they are money, and the table below it."""
    names = {
        letter: _series_name(series, face) for letter, series in zip("ABCDEFGHIJ", question["series"], strict=False)
    }
    formula = str(question.get("formula") or "")
    names["formula"] = formula
    money = {letter for letter, one in zip(names, question["series"], strict=False) if in_fen(one.get("property"))}
    if formula and _formula_is_money(formula, "".join(names).removesuffix("formula"), money):
        money.add("formula")
    lines: list[tuple[str | None, Line]]
    if isinstance(result, TrendGroups):
        shown = list(result.groups.items())
        lines = [(group, line) for group, its in shown for line in its]
    else:
        lines = [(None, line) for line in result.series]
    several = len({line.name for _group, line in lines}) > 1
    drawn, table = [], []
    for n, (group, line) in enumerate(lines):
        name = names[line.name]
        if called := group_name(question, group, face):
            name = f"{called} · {name}" if several else called
        cell = None if line.name == "formula" else {"series": line.name} | ({} if group is None else {"group": group})
        amounts = line.name in money
        table.append({"name": name, "values": line.values, "total": line.total, "cell": cell, "money": amounts})
        if n < GROUPS_DRAWN_MAX * (2 if several else 1):
            values = [value / 100 if amounts and value is not None else value for value in line.values]
            drawn.append({"name": name, "values": values, "tone": TONES[n % len(TONES)], "cell": cell})
    labels = [text[:16].replace("T", " ") for text in result.labels]
    return {"chart": {"kind": "lines", "labels": labels, "series": drawn}, "table": table, "labels": labels,
            "totals": True, "index": "interval"}  # fmt: skip
