"""What a condition reads of one person at once: attributes and what was ordered from PostgreSQL, metrics from the
events. A condition without metrics does not ask the events.

Who a person is comes from PostgreSQL alone, so what was just merged counts. Events count once they are processed (about
a second after they came); an order that was locked here counts at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from siyu.coupons import lock_records
from siyu.coupons.owner import Owner
from siyu.coupons.pricing import Turn
from siyu.coupons.template import COUPON_WORDS, FIRST_PAID_ORDER
from siyu.identity.members import Member
from siyu.identity.spans import BEGINNING_MS, END_MS
from siyu.profile import attributes
from siyu.profile.attribute_records import has_bought
from siyu.profile.attributes import Column
from siyu.rules.clickhouse import Params
from siyu.rules.judge import Facts, compile_rule
from siyu.rules.metric_sql import Compiling, figure_sql, prefilter_sql
from siyu.rules.parse import SEGMENTS
from siyu.rules.rule import Metric, Rule, attributes_of, metrics_of
from siyu.rules.window import Setting
from siyu.segments import records as segment_records
from siyu.segments.segment import LISTED


async def holding(turn: Turn, owner: Owner, rules: Mapping[str, Rule]) -> set[str]:
    """Of these rules those that hold of the person. Raises EngineUnavailable, QueryTooExpensive."""
    if not rules:
        return set()
    names = {name for rule in rules.values() for name in attributes_of(rule)}
    metrics = sorted({metric for rule in rules.values() for metric in metrics_of(rule)}, key=repr)
    facts = Facts(await _attributes(turn, owner, names), (), await _figures(turn, owner, metrics) if metrics else {})
    setting = Setting(turn.now, turn.pricing.zone)
    return {key for key, rule in rules.items() if compile_rule(rule, COUPON_WORDS)(facts, setting)}


async def is_new(turn: Turn, owner: Owner) -> bool:
    """Whether the person has neither paid for an order nor has one open."""
    if await lock_records.has_ordered(turn.connection, owner.anchors, owner.holders, turn.now, turn.order_id):
        return False
    spans = [(member.anchor, _instant(member.since_ms), _instant(member.until_ms)) for member in owner.named.members]
    return not await has_bought(turn.connection, spans)


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(min(max(at_ms, BEGINNING_MS), END_MS) / 1000, UTC)


async def _attributes(turn: Turn, owner: Owner, names: Collection[str]) -> dict[str, Any]:
    connection = turn.connection
    own = {FIRST_PAID_ORDER, SEGMENTS, LISTED}
    found: dict[str, Any] = {}
    if FIRST_PAID_ORDER in names:
        found[FIRST_PAID_ORDER] = await is_new(turn, owner)
    if SEGMENTS in names:
        kept = await segment_records.kept(connection, [owner.named.person])
        found[SEGMENTS] = sorted(key for keys, _ in kept for key in keys)
    if LISTED in names:
        found[LISTED] = sorted({key for key, _ in await segment_records.listed(connection, owner.anchors)})
    if rest := set(names) - own:
        setting = Setting(turn.now, turn.pricing.zone)
        columns = await attributes.columns(connection, rest, setting, owner.anchors)
        found |= {name: value_of(column, owner.named.person) for name, column in columns.items()}
    return found


def value_of(column: Column, person: int) -> Any:
    """An attribute of one person; None for who has none."""
    places = np.flatnonzero(column.persons == person)
    return column.values[int(column.codes[places[0]])] if len(places) else None


async def _figures(turn: Turn, owner: Owner, metrics: Sequence[Metric]) -> dict[Metric, int | None]:
    """The metrics of the person: one statement."""
    compiling = Compiling(Params(), Setting(turn.now, turn.pricing.zone), COUPON_WORDS)
    columns = ", ".join(figure_sql(metric, compiling) for metric in metrics)
    theirs = " OR ".join(_span_sql(member, compiling.params) for member in owner.named.members)
    sql = f"SELECT {columns} FROM events WHERE {prefilter_sql(metrics, compiling)} AND ({theirs})"
    ((*figures,),) = await turn.pricing.events.rows(sql, compiling.params.values)
    return {metric: None if value is None else int(value) for metric, value in zip(metrics, figures, strict=True)}


def _span_sql(member: Member, params: Params) -> str:
    """Whether an event was of a member while it was theirs; the anchor is a number of ours."""
    parts = [f"anchor = {int(member.anchor)}"]
    if member.since_ms != BEGINNING_MS:
        parts.append(f"occurred_at >= fromUnixTimestamp64Milli({params.add(member.since_ms, 'Int64')}, 'UTC')")
    if member.until_ms != END_MS:
        parts.append(f"occurred_at < fromUnixTimestamp64Milli({params.add(member.until_ms, 'Int64')}, 'UTC')")
    return f"({' AND '.join(parts)})"
