"""What an earn rule would have given lately, before it is saved: from the events that are stored.

Givings (an event, an order, a day, a thing, a person: what the rule gives once for) are counted exactly. Of whom a rule
is, is asked of JUDGED_MAX of them, picked by hash, as they were then; with more, the answer is scaled and says so.
Not in it: what tiers make of points, what was given before, points that ended meanwhile.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from siyu.collect.catalogue import FEN_MAX, REFUND_FIELDS, spellings
from siyu.identity.members import named_by_anchor
from siyu.identity.mirror import person_sql
from siyu.loyalty.audience import audiences_asked
from siyu.loyalty.earning import EarnRule, Once, audience_of, check_rule, condition_of
from siyu.rules import Params, condition_sql, field_text_sql, numeric_sql
from siyu.rules.clickhouse import listed_lines_sql
from siyu.rules.commerce import PRICE_FEN, PRICE_YUAN
from siyu.rules.condition import line_field, parse_field
from siyu.rules.metric_sql import during_sql
from siyu.rules.rule import Rule
from siyu.rules.window import UNIT_MS, Interval, epoch_ms
from siyu.segments.one import Question, holding
from siyu.store.clickhouse import EventStore, QueryTooExpensive
from siyu.store.postgres import Database

SECONDS_MAX: Final = 8
JUDGED_MAX: Final = 300
DAYS_MAX: Final = 90
_STORED: Final = "SELECT count() > 0 FROM person_spans"


class Estimate(msgspec.Struct, frozen=True):
    """What a rule would have given."""

    days: int
    events: int
    """That it means, of persons whom it means."""
    persons: int
    points: int
    """Before tiers, in the units of the rule's currency."""
    exact: bool
    """False: of whom the rule is was asked of some, and scaled."""
    asked: int
    """Of how many givings it was asked."""
    of: int
    """How many givings there were, whoever they are of."""


class House(NamedTuple):
    """Where it is looked."""

    db: Database
    events: EventStore
    zone: ZoneInfo


async def estimate(house: House, rule: EarnRule, days: int, now: datetime) -> Estimate:
    """What a rule would have given in the last `days` times 24 hours.

    Raises InvalidRule, InvalidCondition, QueryTooExpensive (after SECONDS_MAX), EngineUnavailable."""
    check_rule(rule)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            return await _estimate(house, rule, days, now)
    except TimeoutError:
        raise QueryTooExpensive(f"This takes longer than {SECONDS_MAX} seconds: ask about fewer days.") from None


async def _estimate(house: House, rule: EarnRule, days: int, now: datetime) -> Estimate:
    async def rows(sql: str) -> Any:
        return await house.events.rows(sql, params.values, settings={"max_execution_time": SECONDS_MAX})

    ((spans,),) = await house.events.rows(_STORED)
    params = Params()
    until = epoch_ms(now) + 1
    span = Interval(until - days * UNIT_MS["day"], until)
    givings = _givings_sql(rule, span, params, person_sql(bool(spans)), house.zone)
    totals = f"SELECT toInt64(sum(n)), toInt64(uniqExact(p)), toInt64(sum(points)), toInt64(count()) FROM ({givings})"
    ((events, persons, points, count),) = await rows(totals)
    audience = audience_of(rule)
    if audience is None or not count:
        return Estimate(days, events, persons, points, True, 0, count)
    picked = f"SELECT n, points, p, first.1, first.4 FROM ({givings}) ORDER BY cityHash64(p, k) LIMIT {JUDGED_MAX}"
    judged = [_Giving(*row) for row in await rows(picked)]
    mine = await _fitting(house, audience, judged)
    part, asked = _sums(mine), _sums(judged)
    if len(judged) == count:
        return Estimate(days, *part, True, count, count)
    shares = (_share(part.events, asked.events, events), _share(part.persons, asked.persons, persons))
    return Estimate(days, *shares, _share(part.points, asked.points, points), False, len(judged), count)


def _share(part: int, asked: int, whole: int) -> int:
    return part * whole // max(1, asked)


class _Sums(NamedTuple):
    events: int
    persons: int
    points: int


class _Giving(NamedTuple):
    events: int
    points: int
    person: int
    at_ms: int
    anchor: int

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=self.at_ms)


def _sums(givings: list[_Giving]) -> _Sums:
    persons = {one.person for one in givings}
    return _Sums(sum(one.events for one in givings), len(persons), sum(one.points for one in givings))


async def _fitting(house: House, audience: Rule, judged: list[_Giving]) -> list[_Giving]:
    """Those of persons whom the rule means."""
    async with house.db.driver() as connection:
        owners = await named_by_anchor(connection, [(one.anchor, one.at) for one in judged])
        known = [(one, named) for one, named in zip(judged, owners, strict=True) if named is not None]
        questions = [Question(named, one.at, {"": audience}) for one, named in known]
        held = await holding(audiences_asked(connection, house.events, house.zone), questions)
    return [one for (one, _), found in zip(known, held, strict=True) if found]


def _nothing_sql(params: Params) -> str:
    """Whether an event is a refund that names an amount of 0 (`catalogue.named_fen`)."""
    texts = [field_text_sql(parse_field(name), params) for name in REFUND_FIELDS]
    amounts = ", ".join(numeric_sql(f"replaceRegexpAll({text}, '[¥￥,元 ]', '')") for text in texts)
    fields = [field_text_sql(line_field(name), params) for name in (*PRICE_FEN, *PRICE_YUAN)]
    price = f"coalesce({', '.join(map(numeric_sql, fields))})"
    lines = listed_lines_sql(params)
    free = f"notEmpty({lines}) AND arrayAll(line -> ifNull({price} = 0, 0), {lines})"
    amount = f"arrayFirst(amount -> isNotNull(amount), [{amounts}])"
    refund = f"name IN {params.add(sorted(spellings('order.refunded')), 'Array(String)')}"
    return f"({refund} AND ifNull({amount} = 0, {free}))"


def _givings_sql(rule: EarnRule, span: Interval, params: Params, person: str, zone: ZoneInfo) -> str:
    """Rows (p, k, n, points, first): what the rule gives once for, with its events and the first of them."""
    paid = f"name IN {params.add(sorted(spellings(rule.event)), 'Array(String)')}"
    if (condition := condition_of(rule)) is not None:
        paid = f"({paid} AND {condition_sql(condition, params)})"
    back = sorted({name for event in rule.take_back_on for name in spellings(event)})
    taken = f"name IN {params.add(back, 'Array(String)')}" if back and rule.points_per_yuan else "0"
    event = "concat(source, '\\n', event_id)"
    subject = event
    for name in reversed(rule.subject):
        text = f"trimBoth(JSONExtractString(properties, {params.add(name)}))"
        subject = f"if({text} != '', {text}, {subject})"
    key = {
        Once.EVENT: event,
        Once.DAY: f"toString(toDate(occurred_at, {params.add(zone.key)}))",
        Once.PERSON: "''",
        Once.SUBJECT: subject,
    }[rule.once_per]
    refund = "JSONExtractString(properties, 'refund_id')"
    token = f"if(gives, JSONExtractString(properties, 'payment_id'), if({refund} != '', {refund}, {event}))"
    rows = (
        f"SELECT {person} AS p, {paid} AS gives, {subject if rule.points_per_yuan else key} AS k, {token} AS token,"
        f" if(gives OR value_fen != 0 OR {_nothing_sql(params)}, value_fen, -{FEN_MAX}) AS fen,"
        " (toUnixTimestamp64Milli(occurred_at), event_id, source, anchor) AS place"
        f" FROM events WHERE {during_sql(span, params)} AND ({paid} OR {taken})"
    )
    if not rule.points_per_yuan:
        made = f"SELECT p, k, toInt64(count()) AS n, toInt64({rule.points}) AS points, min(place) AS first"
        return f"{made} FROM ({rows}) GROUP BY p, k"
    once = f"SELECT p, k, gives, token, any(fen) AS fen, count() AS n, min(place) AS place FROM ({rows})"
    once += " GROUP BY p, k, gives, token"
    points = f"intDiv(greatest(sum(fen), 0) * {rule.points_per_yuan}, 100)"
    made = f"SELECT p, k, toInt64(sumIf(n, gives)) AS n, toInt64({points}) AS points, minIf(place, gives) AS first"
    return f"{made} FROM ({once}) GROUP BY p, k HAVING n > 0"
