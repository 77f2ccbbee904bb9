"""An answer to a question as tables for a terminal, told from the shape of the answer. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from siyu.cli.words import say


class AnswerTable(NamedTuple):
    """A table with a title, which may be empty."""

    title: str
    heads: list[str]
    rows: list[list[Any]]


def tables_of(answer: Mapping[str, Any], title: str = "") -> Iterator[AnswerTable]:
    """The tables of an answer's JSON form."""
    groups = answer.get("groups")
    if isinstance(groups, dict):
        for name, group in groups.items():
            yield from tables_of(_one_group(answer, group), name or say("(none)", "（无）"))
    elif "counts" in answer:
        yield _funnel(answer, title)
    elif "matrix" in answer:
        yield _retention(answer, title)
    elif "series" in answer:
        yield _trend(answer, title)
    elif "labels" in answer:
        names = [name for name, value in answer.items() if isinstance(value, list)]
        columns = [answer[name] for name in names]
        yield AnswerTable(title, names, [list(row) for row in zip(*columns, strict=True)])
    else:
        yield from _anything(answer, title)


def _one_group(answer: Mapping[str, Any], group: Any) -> Mapping[str, Any]:
    """A group of an answer, in the form of an answer without groups."""
    if isinstance(group, dict):
        return group
    if "cohorts" in answer:
        return {"cohorts": answer["cohorts"], "matrix": group}
    return {"labels": answer.get("labels", []), "series": group}


def _funnel(answer: Mapping[str, Any], title: str) -> AnswerTable:
    counts = answer["counts"]
    first = counts[0] if counts else 0
    rows = [
        [step + 1, count, _percent(count, first), _seconds(average), _seconds(median)]
        for step, (count, average, median) in enumerate(
            zip(counts, answer["avg_conversion_s"], answer["median_conversion_s"], strict=True)
        )
    ]
    heads = say("step persons of-first average median", "步骤 人数 占首步 平均耗时 中位耗时").split()
    return AnswerTable(title, heads, rows)


def _retention(answer: Mapping[str, Any], title: str) -> AnswerTable:
    matrix = answer["matrix"]
    width = max(map(len, matrix), default=0)
    rows = [[cohort, *row, *[None] * (width - len(row))] for cohort, row in zip(answer["cohorts"], matrix, strict=True)]
    return AnswerTable(title, [say("cohort", "同期群"), *map(str, range(width))], rows)


def _trend(answer: Mapping[str, Any], title: str) -> AnswerTable:
    series = answer["series"]
    rows = [[label, *(line["values"][place] for line in series)] for place, label in enumerate(answer["labels"])]
    rows.append([say("total", "合计"), *(line["total"] for line in series)])
    return AnswerTable(title, [say("time", "时间"), *(line["name"] for line in series)], rows)


def _anything(answer: Mapping[str, Any], title: str) -> Iterator[AnswerTable]:
    """Single values in one table, each list of objects in its own."""
    single = [[name, value] for name, value in answer.items() if not isinstance(value, list | dict)]
    single += [
        [f"{name}.{inner}", cell]
        for name, value in answer.items()
        if isinstance(value, dict)
        for inner, cell in value.items()
    ]
    if single:
        yield AnswerTable(title, say("name value", "名称 值").split(), single)
    for name, value in answer.items():
        if not isinstance(value, list) or not value:
            continue
        if isinstance(value[0], dict):
            heads = list(value[0])
            yield AnswerTable(name, heads, [[item.get(head) for head in heads] for item in value])
        else:
            yield AnswerTable(name, [name], [[item] for item in value])


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "–"


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    if value < 120:
        return f"{value:.1f} s"
    return (
        f"{value / 60:.1f} min"
        if value < 7200
        else f"{value / 3600:.1f} h"
        if value < 172_800
        else f"{value / 86_400:.1f} d"
    )
