"""An aggregate of all persons: ClickHouse SQL over `events`, one expression, to be grouped by person.

A number is Int64, NULL where it is absent; a text is a String, '' where it is absent. `evaluate` is the reference.
"""

from __future__ import annotations

from typing import Final

from siyu.dimensions.dimension import HOUR, WEEKDAY, Aggregate
from siyu.rules.clickhouse import field_text_sql, numeric_sql
from siyu.rules.condition import parse_field
from siyu.rules.metric_sql import Compiling, counts_sql, day_sql, figure_sql, matches_sql
from siyu.rules.metric_sql import piece_sql as metric_piece_sql
from siyu.rules.rule import MONEY, SUM_SCALE, SUMMAND_MAX

_TEXTS: Final = ("commonest", "earliest", "latest")


def aggregate_sql(aggregate: Aggregate, compiling: Compiling) -> str:
    """The expression of an aggregate."""
    if aggregate.kind == "metric" and not (aggregate.hours or aggregate.weekdays):
        return figure_sql(aggregate.base, compiling)
    condition = _condition(aggregate, compiling)
    if aggregate.kind == "metric":
        return f"toInt64(countIf({condition}))"
    if aggregate.kind in _TEXTS:
        return _text_sql(aggregate, condition, compiling)
    if aggregate.kind in ("largest", "smallest"):
        function = "max" if aggregate.kind == "largest" else "min"
        if aggregate.fields == (MONEY,):
            return f"{function}OrNullIf(value_fen, {condition})"
        number = numeric_sql(_first_text(aggregate.fields, compiling))
        return f"{function}OrNullIf({_scaled(number)}, {condition} AND {_summable(number, compiling)})"
    return _days_sql(aggregate, condition, compiling)


def _summable(number: str, compiling: Compiling) -> str:
    return f"ifNull(abs({number}) <= {compiling.params.add(SUMMAND_MAX, 'Float64')}, 0)"


def _scaled(number: str) -> str:
    return f"toInt64(roundBankers(ifNull({number}, 0) * {SUM_SCALE}))"


def piece_sql(aggregate: Aggregate, compiling: Compiling) -> tuple[str, str]:
    """Whether an event counts, whenever it was, and what is read of it (`rules.pieces`)."""
    counted = _at_hours(counts_sql(aggregate.base, compiling), aggregate, compiling)
    if aggregate.kind == "metric":
        return counted, metric_piece_sql(aggregate.base, compiling)
    if aggregate.kind in ("largest", "smallest"):
        if aggregate.fields == (MONEY,):
            return counted, "value_fen"
        number = numeric_sql(_first_text(aggregate.fields, compiling))
        return counted, f"if({_summable(number, compiling)}, {_scaled(number)}, NULL)"
    if aggregate.kind not in _TEXTS:
        return counted, day_sql(compiling)
    if local := {HOUR: _hour, WEEKDAY: _weekday}.get(aggregate.fields[0]):
        return counted, local(compiling)
    return counted, f"arrayFilter(text -> text != '', [{_first_text(aggregate.fields, compiling)}])"


def _condition(aggregate: Aggregate, compiling: Compiling) -> str:
    return _at_hours(matches_sql(aggregate.base, compiling), aggregate, compiling)


def _at_hours(condition: str, aggregate: Aggregate, compiling: Compiling) -> str:
    parts = [condition]
    if aggregate.hours:
        parts.append(f"{_hour(compiling)} IN {compiling.params.add(list(aggregate.hours), 'Array(UInt8)')}")
    if aggregate.weekdays:
        parts.append(f"{_weekday(compiling)} IN {compiling.params.add(list(aggregate.weekdays), 'Array(UInt8)')}")
    return f"({' AND '.join(parts)})"


def _hour(compiling: Compiling) -> str:
    return f"toHour(occurred_at, {compiling.params.add(compiling.setting.zone.key)})"


def _weekday(compiling: Compiling) -> str:
    return f"toDayOfWeek(occurred_at, 0, {compiling.params.add(compiling.setting.zone.key)})"


def _first_text(fields: tuple[str, ...], compiling: Compiling) -> str:
    """The text of the first field that has one."""
    texts = [field_text_sql(parse_field(name), compiling.params) for name in fields]
    if len(texts) == 1:
        return texts[0]
    tests = ", ".join(f"{text} != '', {text}" for text in texts[:-1])
    return f"multiIf({tests}, {texts[-1]})"


def _text_sql(aggregate: Aggregate, condition: str, compiling: Compiling) -> str:
    local = {HOUR: _hour, WEEKDAY: _weekday}.get(aggregate.fields[0])
    if aggregate.kind == "commonest":
        value = f"toInt64({local(compiling)})" if local else _first_text(aggregate.fields, compiling)
        counted = condition if local else f"{condition} AND {value} != ''"
        # Keys come sorted, so the first of the most frequent is the smallest.
        table = f"sumMapIf(map({value}, toUInt64(1)), {counted})"
        place = f"indexOf(mapValues({table}), arrayMax(mapValues({table})))"
        none = "CAST(NULL AS Nullable(Int64))" if local else "''"
        return f"if(empty({table}), {none}, mapKeys({table})[{place}])"
    text = _first_text(aggregate.fields, compiling)
    function = "argMin" if aggregate.kind == "earliest" else "argMax"
    return f"{function}If({text}, (occurred_at, {text}), {condition} AND {text} != '')"


def _days_sql(aggregate: Aggregate, condition: str, compiling: Compiling) -> str:
    day = f"toInt64({day_sql(compiling)})"
    if aggregate.kind in ("first_day", "last_day"):
        return f"{'min' if aggregate.kind == 'first_day' else 'max'}OrNullIf({day}, {condition})"
    days = f"arraySort(groupUniqArrayIf({day}, {condition}))"
    if aggregate.kind == "run":
        # Days in a row less their places are one number: the most often a number comes is the longest row.
        numbered = f"arrayMap((d, i) -> d - toInt64(i), {days}, arrayEnumerate({days}))"
        return f"if(empty({days}), 0, toInt64(arrayMax(arrayEnumerateUniq({numbered}))))"
    gaps = f"arrayMap((a, b) -> b - a, arrayPopBack({days}), arrayPopFront({days}))"
    if aggregate.kind == "gap_squares":
        return f"toInt64(arraySum(g -> g * g, {gaps}))"
    if aggregate.kind == "gap_median":
        ordered, count = f"arraySort({gaps})", f"toInt64(length({gaps}))"
        middle = f"{ordered}[intDiv({count} + 1, 2)] + {ordered}[intDiv({count}, 2) + 1]"
        return f"if(empty({gaps}), NULL, toInt64({middle}))"
    function = "arrayMin" if aggregate.kind == "gap_shortest" else "arrayMax"
    return f"if(empty({gaps}), NULL, toInt64({function}({gaps})))"
