"""Why an event gave a person nothing under an earn rule, or what it gave: each condition, held or not, with what was
seen. Reads only; judged by the newest version of the rule, as of the event.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from siyu.collect.catalogue import spellings
from siyu.errors import NotFound
from siyu.identity.members import Named
from siyu.identity.spans import Span
from siyu.loyalty import records
from siyu.loyalty.audience import audiences_asked
from siyu.loyalty.earning import EarnRule, Occurrence, Once, audience_of, cause_of, condition_of, gives, keys_of, takes
from siyu.loyalty.react import all_rules
from siyu.profile.event_records import members_sql
from siyu.rules.explain import Seen
from siyu.rules.rule import Trigger
from siyu.rules.sentence import say
from siyu.segments.explain import judged
from siyu.segments.one import Question
from siyu.segments.words import WORDS
from siyu.store.clickhouse import EventStore

What = Literal["active", "event", "where", "age", "audience", "once", "amount"]


class Condition(msgspec.Struct, frozen=True):
    """One thing that a rule asks."""

    what: What
    held: bool
    zh: str
    en: str
    seen: Seen = None
    """Money in fen, times as ISO texts; null where nothing is there."""
    depth: int = 0
    """Parts of a group stand one deeper, after it."""
    seen_zh: str | None = None
    """What people call the value that was seen, where it is one of a few."""
    seen_en: str | None = None


class Explained(msgspec.Struct, frozen=True):
    """Why, or why not."""

    rule: str
    version: int
    at: datetime
    """Of the event; without one, now."""
    event_id: str | None
    """Null: nothing of this name happened to this person."""
    event: str
    given: int
    """What the rule gave for it, less what was taken back; in the units of its currency."""
    conditions: list[Condition]


class House(NamedTuple):
    """Where it is looked."""

    connection: Any
    """Raw asyncpg."""
    events: EventStore
    zone: ZoneInfo


class _Event(NamedTuple):
    happened: Occurrence
    received: datetime


_NEWEST: Final = """
SELECT name, anchor, toUnixTimestamp64Milli(occurred_at), event_id, source, value_fen, properties, end,
       toUnixTimestamp64Milli(received_at)
FROM events WHERE {members} AND {which} ORDER BY occurred_at DESC, event_id DESC LIMIT 1
"""


async def explain(house: House, rule_id: str, named: Named, event_id: str | None, now: datetime) -> Explained:
    """What became of an event of a person under a rule; `event_id` None: of the newest that the rule means by name.

    Raises NotFound for a rule or an event that is not there, EngineUnavailable, QueryTooExpensive."""
    rule = next((one for one in await all_rules(house.connection) if one.id == rule_id), None)
    if rule is None:
        raise NotFound(f"There is no earn rule {rule_id[:60]!r}.")
    found = await _event(house, rule, named, event_id)
    if found is None and event_id is not None:
        raise NotFound("This person has no event of this id.")
    at = found.happened.at if found is not None else now
    conditions = [Condition("active", rule.active, "规则正在生效", "The rule is running")]
    conditions += _of_event(rule, found)
    conditions += await _audience(house, rule, named, at)
    given = 0
    if found is not None:
        once, given = await _given(house, rule, named, found.happened)
        conditions += once
    happened = None if found is None else found.happened
    return Explained(
        rule.id, rule.version, at, None if happened is None else happened.event_id,
        rule.event if happened is None else happened.name, given, conditions,
    )  # fmt: skip


async def _event(house: House, rule: EarnRule, named: Named, event_id: str | None) -> _Event | None:
    spans = [Span(named.person, one.anchor, one.since_ms, one.until_ms) for one in named.members]
    members, params = members_sql(spans)
    which = "has({names:Array(String)}, name)" if event_id is None else "event_id = {event_id:String}"
    params |= {"names": list(spellings(rule.event)), "event_id": event_id or ""}
    rows = await house.events.rows(_NEWEST.format(members=members, which=which), params)
    if not rows:
        return None
    name, anchor, at_ms, number, source, fen, properties, end, received_ms = rows[0]
    happened = Occurrence(
        name, anchor, _instant(at_ms), number, source, fen, msgspec.json.decode(properties), end
    )  # fmt: skip
    return _Event(happened, _instant(received_ms))


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)


def _of_event(rule: EarnRule, found: _Event | None) -> Iterator[Condition]:
    """What a rule asks of its event."""
    there = found is not None and gives(rule, found.happened)
    name = Trigger((rule.event,), None)
    seen = None if found is None else found.happened.name
    yield Condition("event", there, say(name, WORDS, "zh"), say(name, WORDS, "en"), seen)
    if found is None or not there:
        return
    if (condition := condition_of(rule)) is not None:
        asked = Trigger((rule.event,), condition)
        yield Condition(
            "where", takes(rule, condition, found.happened), say(asked, WORDS, "zh"), say(asked, WORDS, "en")
        )
    if rule.within_days is not None:
        young = found.happened.at >= found.received - timedelta(days=rule.within_days)
        zh = f"到达时发生不超过 {rule.within_days} 天"
        en = f"Came within {rule.within_days} days after it happened"
        yield Condition("age", young, zh, en, found.received.isoformat())
    if rule.points_per_yuan:
        fen = found.happened.value_fen
        enough = fen * rule.points_per_yuan >= 100
        yield Condition("amount", enough, "金额至少值 1 个单位", "The money is worth at least one", fen)


async def _audience(house: House, rule: EarnRule, named: Named, at: datetime) -> list[Condition]:
    if (audience := audience_of(rule)) is None:
        return []
    asking = audiences_asked(house.connection, house.events, house.zone)
    return [
        Condition("audience", one.held, one.zh, one.en, one.seen, one.depth, one.seen_zh, one.seen_en)
        for one in await judged(asking, Question(named, at, {"": audience}))
    ]


_ONCE: Final = {
    Once.DAY: ("每人每天一次：当天没有因别的事件得过", "Once a day: another event of this day did not earn it before"),
    Once.PERSON: ("每人一次：没有因别的事件得过", "Once a person: another event did not earn it before"),
    Once.SUBJECT: ("每个对象一次：没有因别的事件得过", "Once a subject: another event did not earn it before"),
}


async def _given(house: House, rule: EarnRule, named: Named, one: Occurrence) -> tuple[list[Condition], int]:
    """Whether it was given for something else before, and what was given for this."""
    cause, by = cause_of(rule, one), f"rule/{rule.id}"
    members = [member.anchor for member in named.members]
    given = 0
    holders = {str(anchor) for anchor in members}
    for row in await records.earned_for(house.connection, [cause], by):
        if row.holder.partition("@")[0] in holders:
            given += row.points
    if rule.points_per_yuan or rule.once_per is Once.EVENT:
        return [], given
    key, others = keys_of(rule, one, one.anchor, members, house.zone)
    causes = await records.causes_under(house.connection, [key, *others])
    elsewhere = sorted(causes - {cause})
    return [Condition("once", not elsewhere, *_ONCE[rule.once_per], elsewhere[0] if elsewhere else None)], given
