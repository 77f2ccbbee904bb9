"""Metrics of all persons: ClickHouse SQL over `events`, one expression each, to be grouped by person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from siyu.rules.clickhouse import Params, condition_sql, field_text_sql, first_text_sql, lines_sql, numeric_sql
from siyu.rules.condition import LINE, OfALine, parse_field
from siyu.rules.measure import ORDER_FIELDS, names_of, refunds_follow
from siyu.rules.pieces import reads_days
from siyu.rules.rule import DAY, MONEY, SUM_SCALE, SUMMAND_MAX, Metric
from siyu.rules.vocabulary import Vocabulary
from siyu.rules.window import BEGINNING_MS, Interval, Setting, interval_of, local_day

MILLIS: Final = "toUnixTimestamp64Milli(occurred_at)"


class Compiling(NamedTuple):
    """What every expression of a statement shares."""

    params: Params
    setting: Setting
    words: Vocabulary
    starts: str | None = None
    """Expression of the instant (epoch milliseconds) from which a `campaign` window counts, where each person has one
    of their own."""


def matches_sql(metric: Metric, compiling: Compiling) -> str:
    """Whether a metric counts an event."""
    parts = [during_sql(_span(metric, compiling), compiling.params), counts_sql(metric, compiling)]
    if own := _own_start(metric, compiling):
        parts.append(own)
    return f"({' AND '.join(parts)})"


def counts_sql(metric: Metric, compiling: Compiling) -> str:
    """Whether an event is one that a metric counts, whenever it was."""
    named = named_sql(names_of(metric, compiling.words), compiling)
    if metric.where is None:
        return named
    where = condition_sql(metric.where, compiling.params)
    return f"{named} AND {f'({_refund(compiling)} OR {where})' if refunds_follow(metric) else where}"


def piece_sql(metric: Metric, compiling: Compiling) -> str:
    """What a metric reads of an event that it counts (`pieces.pieces_of`); '': its instant is all."""
    params = compiling.params
    if reads_days(metric):
        return day_sql(compiling)
    if metric.of.startswith(LINE):
        if metric.kind == "sum":
            return _lines_sum_sql(metric, params)
        return f"arrayFilter(text -> text != '', {_lines_texts_sql(metric, params)})"
    if refunds_follow(metric) or (metric.net and metric.kind == "count"):
        return f"({_order_sql(params)}, value_fen, toInt64({_refund(compiling)}))"
    if metric.kind == "sum":
        return _summand_sql(metric.of, params)
    if metric.kind == "distinct":
        return f"arrayFilter(text -> text != '', [{field_text_sql(parse_field(metric.of), params)}])"
    return ""


def _own_start(metric: Metric, compiling: Compiling) -> str | None:
    if metric.window.form != "campaign" or compiling.starts is None:
        return None
    return f"{MILLIS} >= {compiling.starts}"


def _span(metric: Metric, compiling: Compiling) -> Interval:
    if metric.window.form == "campaign" and compiling.starts is not None:
        return Interval(BEGINNING_MS, compiling.setting.now_ms + 1)
    return interval_of(metric.window, compiling.setting)


def named_sql(names: Sequence[str], compiling: Compiling) -> str:
    """Whether an event has one of these names; any behaviour for none."""
    if names:
        return f"name IN {compiling.params.add(list(names), 'Array(String)')}"
    return f"name NOT IN {compiling.params.add(list(compiling.words.not_behaviour), 'Array(String)')}"


def during_sql(span: Interval, params: Params) -> str:
    """occurred_at within [start, end)."""
    until = f"occurred_at < fromUnixTimestamp64Milli({params.add(span.end, 'Int64')}, 'UTC')"
    if span.start == BEGINNING_MS:
        return until
    return f"occurred_at >= fromUnixTimestamp64Milli({params.add(span.start, 'Int64')}, 'UTC') AND {until}"


def figure_sql(metric: Metric, compiling: Compiling) -> str:
    """The figure, as `measure.measure` counts it: Int64, NULL for an instant that never was."""
    condition, params, day = matches_sql(metric, compiling), compiling.params, day_sql(compiling)
    if metric.of.startswith(LINE):
        return _lines_figure(metric, compiling)
    if metric.kind == "count":
        return f"toInt64({_orders_sql(condition, compiling) if metric.net else f'countIf({condition})'})"
    if metric.kind == "sum" and refunds_follow(metric):
        fen, paid, _ = _by_order(condition, compiling)
        return f"toInt64(arraySum((fen, paid) -> if(paid > 0, fen, 0), {fen}, {paid}))"
    if metric.kind == "sum":
        return f"sumIf({_summand_sql(metric.of, params)}, {condition})"
    if metric.kind == "distinct":
        if metric.of == DAY:
            return f"toInt64(uniqExactIf({day}, {condition}))"
        text = field_text_sql(parse_field(metric.of), params)
        return f"toInt64(uniqExactIf({text}, {condition} AND {text} != ''))"
    if metric.kind == "streak":
        days = f"arrayReverseSort(groupUniqArrayIf({day}, {condition}))"
        today = params.add(local_day(compiling.setting.now_ms, compiling.setting.zone), "Int32")
        # Different days in falling order: day i is in the run as long as it is i - 1 before the last.
        run = f"arrayCount((d, i) -> {days}[1] - d = i - 1, {days}, arrayEnumerate({days}))"
        return f"toInt64(if(empty({days}) OR {days}[1] < {today} - 1, 0, {run}))"
    return f"{'min' if metric.kind == 'first' else 'max'}OrNullIf({MILLIS}, {condition})"


def _lines_figure(metric: Metric, compiling: Compiling) -> str:
    """A sum or the different values of a field of lines: of the lines of which the condition holds."""
    counted = matches_sql(metric._replace(where=None) if isinstance(metric.where, OfALine) else metric, compiling)
    if metric.kind == "sum":
        return f"sumIf({_lines_sum_sql(metric, compiling.params)}, {counted})"
    texts = _lines_texts_sql(metric, compiling.params)
    return f"toInt64(uniqExactArrayIf(arrayFilter(text -> text != '', {texts}), {counted}))"


def _of_line_sql(metric: Metric, params: Params) -> str:
    return condition_sql(metric.where.part, params) if isinstance(metric.where, OfALine) else "1"


def _lines_sum_sql(metric: Metric, params: Params) -> str:
    summand = f"if({_of_line_sql(metric, params)}, {_summand_sql(metric.of, params)}, 0)"
    return f"arraySum(arrayMap(line -> {summand}, {lines_sql(params)}))"


def _lines_texts_sql(metric: Metric, params: Params) -> str:
    """The texts of the lines that count, '' for the others."""
    text = field_text_sql(parse_field(metric.of, line=True), params)
    return f"arrayMap(line -> if({_of_line_sql(metric, params)}, {text}, ''), {lines_sql(params)})"


def _summand_sql(name: str, params: Params) -> str:
    if name == MONEY:
        return "value_fen"
    number = numeric_sql(field_text_sql(parse_field(name, line=True), params))
    counted = f"abs({number}) <= {params.add(SUMMAND_MAX, 'Float64')}"
    return f"ifNull(if({counted}, toInt64(roundBankers({number} * {SUM_SCALE})), 0), 0)"


def _refund(compiling: Compiling) -> str:
    return named_sql(compiling.words.refunds, compiling) if compiling.words.refunds else "0"


def _orders_sql(condition: str, compiling: Compiling) -> str:
    fen, paid, back = _by_order(condition, compiling)
    return f"arrayCount((fen, paid, back) -> paid > 0 AND (fen > 0 OR back = 0), {fen}, {paid}, {back})"


def _order_sql(params: Params) -> str:
    text = first_text_sql(ORDER_FIELDS, params)
    return f"if({text} = '', event_id, {text})"


def day_sql(compiling: Compiling) -> str:
    """The local day of an event, days since 1970."""
    return f"toInt32(toDate32(occurred_at, {compiling.params.add(compiling.setting.zone.key)}))"


def _by_order(condition: str, compiling: Compiling) -> tuple[str, ...]:
    """Of every order its money in fen, how often it was paid, and refunded: arrays that go together."""
    order = _order_sql(compiling.params)
    refund = f"toInt64({_refund(compiling)})"
    return tuple(
        f"mapValues(sumMapIf(map({order}, {figure}), {condition}))" for figure in ("value_fen", f"1 - {refund}", refund)
    )


def prefilter_sql(metrics: Sequence[Metric], compiling: Compiling) -> str:
    """A condition that every event of these metrics fulfils, on columns that are cheap to read."""
    start = min(_span(metric, compiling).start for metric in metrics)
    during = during_sql(Interval(start, compiling.setting.now_ms + 1), compiling.params)
    names = [names_of(metric, compiling.words) for metric in metrics]
    if not all(names):
        return during
    return f"{during} AND {named_sql(sorted({name for some in names for name in some}), compiling)}"
