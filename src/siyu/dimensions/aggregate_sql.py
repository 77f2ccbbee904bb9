"""An aggregate of all persons: ClickHouse SQL over `events`, one expression, to be grouped by person.

A number is Int64, NULL where it is absent; a text is a String, '' where it is absent. `evaluate` is the reference.
"""

from __future__ import annotations

from typing import Final

from siyu.dimensions.dimension import HOUR, WEEKDAY, Aggregate
from siyu.rules.clickhouse import first_text_sql, listed_lines_sql, numeric_sql
from siyu.rules.condition import line_field, parse_field
from siyu.rules.metric_sql import Compiling, counts_sql, day_sql, figure_sql, matches_sql
from siyu.rules.metric_sql import piece_sql as metric_piece_sql
from siyu.rules.rule import MONEY, SUM_SCALE, SUMMAND_MAX

_TEXTS: Final = ("commonest", "different", "earliest", "latest")
_NUMBERS: Final = ("largest", "smallest", "sum", "said")


def value_sql(aggregate: Aggregate, compiling: Compiling) -> str:
    """What an aggregate reads of an event: a text ('': none), with `lines` an array of them, or a figure (NULL: none).
    '' where its condition is all it reads, or `figure_sql` reads."""
    if aggregate.kind in _NUMBERS:
        return _figure_sql(aggregate, compiling)
    if aggregate.kind not in _TEXTS:
        return ""
    if local := {HOUR: _hour, WEEKDAY: _weekday}.get(aggregate.fields[0]):
        return f"toInt64({local(compiling)})"
    return _texts(aggregate, compiling) if aggregate.lines else _own_text(aggregate, compiling)


def aggregate_sql(aggregate: Aggregate, compiling: Compiling, value: str) -> str:
    """The expression of an aggregate. `value`: the column in which its `value_sql` stands, since it is named often."""
    if aggregate.kind == "metric" and not (aggregate.hours or aggregate.weekdays):
        return figure_sql(aggregate.base, compiling)
    condition = _condition(aggregate, compiling)
    if aggregate.kind == "metric":
        return f"toInt64(countIf({condition}))"
    if aggregate.kind in _TEXTS:
        return _text_sql(aggregate, condition, value)
    if aggregate.kind not in _NUMBERS:
        return _days_sql(aggregate, condition, compiling)
    if aggregate.kind == "said":
        return f"toInt64(countIf({condition} AND isNotNull({value})))"
    if aggregate.kind == "sum":
        return f"toInt64(sumIf(ifNull({value}, 0), {condition}))"
    return f"{'max' if aggregate.kind == 'largest' else 'min'}OrNullIf({value}, {condition})"


def _figure_sql(aggregate: Aggregate, compiling: Compiling) -> str:
    """The figure of an event (`evaluate._figure`), NULL when it has none."""
    if aggregate.fields == (MONEY,):
        return "value_fen"
    # A text is bound to a name: it is long, and its number is named often.
    own = f"arrayMap(text -> {_scaled('NULL', compiling)}, [{_own_text(aggregate, compiling)}])[1]"
    if not aggregate.lines:
        return own
    lines = listed_lines_sql(compiling.params)
    of_lines = f"arrayMap(line -> {_line_text(aggregate, compiling)}, {lines})"
    together = f"arraySum(text -> assumeNotNull({_scaled(str(SUM_SCALE), compiling)}), {of_lines})"
    return f"if(notEmpty({lines}), {together}, {own})"


def _scaled(otherwise: str, compiling: Compiling) -> str:
    """The number that `text` is, in ten-thousandths."""
    number = numeric_sql("text")
    summable = f"ifNull(abs({number}) <= {compiling.params.add(SUMMAND_MAX, 'Float64')}, 0)"
    return f"if({summable}, toInt64(roundBankers(ifNull({number}, 0) * {SUM_SCALE})), {otherwise})"


def _line_text(aggregate: Aggregate, compiling: Compiling) -> str:
    return first_text_sql([line_field(name) for name in aggregate.fields], compiling.params)


def _own_text(aggregate: Aggregate, compiling: Compiling) -> str:
    return first_text_sql([parse_field(name) for name in aggregate.fields], compiling.params)


def _texts(aggregate: Aggregate, compiling: Compiling) -> str:
    """What an event says (`evaluate._texts`): an array of different texts."""
    texts = f"[{_own_text(aggregate, compiling)}]"
    if aggregate.lines:
        found = f"arrayMap(line -> {_line_text(aggregate, compiling)}, {listed_lines_sql(compiling.params)})"
        texts = f"arrayFirst(texts -> arrayExists(text -> text != '', texts), [{found}, {texts}])"
    return f"arrayDistinct(arrayFilter(text -> text != '', {texts}))"


def piece_sql(aggregate: Aggregate, compiling: Compiling) -> tuple[str, str]:
    """Whether an event counts, whenever it was, and what is read of it (`rules.pieces`)."""
    counted = _at_hours(counts_sql(aggregate.base, compiling), aggregate, compiling)
    if aggregate.kind == "metric":
        return counted, metric_piece_sql(aggregate.base, compiling)
    if aggregate.kind in _NUMBERS:
        return counted, _figure_sql(aggregate, compiling)
    if aggregate.kind not in _TEXTS:
        return counted, day_sql(compiling)
    if local := {HOUR: _hour, WEEKDAY: _weekday}.get(aggregate.fields[0]):
        return counted, local(compiling)
    texts = _texts(aggregate, compiling)
    return counted, f"arraySlice({texts}, 1, 1)" if aggregate.kind in ("earliest", "latest") else texts


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


def _text_sql(aggregate: Aggregate, condition: str, value: str) -> str:
    local = aggregate.fields[0] in (HOUR, WEEKDAY)
    counted = condition if local else f"{condition} AND notEmpty({value})"
    if aggregate.kind == "commonest":
        once = f"mapFromArrays({value}, arrayWithConstant(length({value}), toUInt64(1)))"
        # Keys come sorted, so the first of the most frequent is the smallest.
        table = f"sumMapIf({once if aggregate.lines else f'map({value}, toUInt64(1))'}, {counted})"
        place = f"indexOf(mapValues({table}), arrayMax(mapValues({table})))"
        none = "CAST(NULL AS Nullable(Int64))" if local else "''"
        return f"if(empty({table}), {none}, mapKeys({table})[{place}])"
    if aggregate.kind == "different":
        return f"toInt64(uniqExact{'Array' if aggregate.lines else ''}If({value}, {counted}))"
    text = f"{value}[1]" if aggregate.lines else value
    return f"{'argMin' if aggregate.kind == 'earliest' else 'argMax'}If({text}, (occurred_at, {text}), {counted})"


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
