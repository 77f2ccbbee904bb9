"""Rules asked of many persons, each at instants of their own: the answers of the closures over the list of events, and
those of asking one by one; always the same few statements.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.collect.event import Effects, Event
from siyu.collect.frame import Arrival, frames_of
from siyu.dimensions.catalogue import DIMENSIONS
from siyu.dimensions.evaluate import value_of
from siyu.identity.members import Named, named_by_anchor
from siyu.ids import identifier_key
from siyu.loyalty import react
from siyu.loyalty.audience import audiences_asked
from siyu.loyalty.earning import EarnRule
from siyu.profile.many import portraits_of
from siyu.profile.portrait import Moment
from siyu.rules.judge import Facts, compile_rule
from siyu.rules.measure import measure
from siyu.rules.parse import parse_rule
from siyu.rules.rule import Rule, metrics_of
from siyu.rules.window import Setting
from siyu.segments.one import Asking, Question, holding
from siyu.segments.words import WORDS
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of
from tests.rule_world import DAY_MS, DIMENSION_TIMES, DIMENSIONS_ASKED, NOW, World, cycle_day, rules, settle, world
from tests.store.membership_house import House
from tests.store.test_rules_agree import attributes, by_hypothesis

BERLIN = ZoneInfo("Europe/Berlin")
LOOKS = 40
BEFORE = timedelta(milliseconds=1)


class Then(NamedTuple):
    """A person then, and what was known of them."""

    named: Named
    setting: Setting
    facts: Facts


class Past(NamedTuple):
    """A world in the engines, and persons at many instants."""

    db: Database
    events: EventStore
    world: World
    looks: list[Then]

    def __repr__(self) -> str:
        return "past"


@pytest.fixture
async def past(db: Database, events: EventStore) -> Past:
    """Persons when something happened to them, at the very millisecond, and at other times."""
    made = world(3, 12)
    await settle(db, events, made)
    chance = random.Random(3)
    looks = []
    for _ in range(LOOKS):
        one = chance.choice(made.happenings)
        at_ms = one.at_ms + chance.choice((0, 0, 1, DAY_MS, chance.randrange(40 * DAY_MS)))
        here = Setting(NOW + timedelta(milliseconds=at_ms - int(NOW.timestamp() * 1000)), BERLIN)
        async with db.driver() as connection:
            (named,) = await named_by_anchor(connection, [(one.anchor, here.now)])
        assert named is not None
        known = (await portraits_of(db, [named.person], Moment(here.now, here.zone)))[named.person]
        # The closures see what came before only.
        mine = [event for event in made.events_of(named.person) if event["at_ms"] < here.now_ms]
        before = Setting(here.now - BEFORE, BERLIN)
        dimensions = {
            f"dim.{key}": value_of(DIMENSIONS.entries[key], mine, before, WORDS)
            for key in (*DIMENSIONS_ASKED, *DIMENSION_TIMES)
        }
        dimensions["checkin.cycle_day"] = cycle_day(made, named.person, here)
        looks.append(Then(named, here, Facts(attributes(known, here) | dimensions, mine)))
    return Past(db, events, made, looks)


@by_hypothesis
@given(asked=st.lists(rules, min_size=4, max_size=4))
async def test_at_every_instant_the_answer_is_that_of_the_closure(past: Past, asked: list[Any]) -> None:
    trees = {str(n): parse_rule(one, WORDS) for n, one in enumerate(asked)}
    questions = [Question(one.named, one.setting.now, trees) for one in past.looks]
    async with past.db.driver() as connection:
        asking = audiences_asked(connection, past.events, BERLIN)
        found = await holding(asking, questions)
    for then, said in zip(past.looks, found, strict=True):
        # What a metric counts ends a millisecond earlier than the day and the age of what is compared with it.
        judged = {key for key, tree in trees.items() if compile_rule(tree, WORDS)(_counted(then, tree), then.setting)}
        assert said == judged, (then.named.person, then.setting.now)


def _counted(then: Then, tree: Rule) -> Facts:
    before = Setting(then.setting.now - BEFORE, BERLIN)
    figures = {metric: measure(metric, then.facts.events, before, WORDS) for metric in metrics_of(tree)}
    return Facts(then.facts.attributes, (), figures)


async def test_persons_taken_in_parts_are_the_same(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """More events than are fetched at once: half of the persons, and half of these; the answers stay."""
    tree = parse_rule(
        {"metric": "sum", "event": "order.paid", "window": {"days": 30}, "op": "gte", "value": 990}, WORDS
    )
    questions = [Question(one.named, one.setting.now, {"": tree}) for one in past.looks]
    async with past.db.driver() as connection:
        asking = audiences_asked(connection, past.events, BERLIN)
        at_once = await holding(asking, questions)
        assert {bool(one) for one in at_once} == {True, False}
        monkeypatch.setattr("siyu.dimensions.instants.ROWS_MAX", 3)
        assert await holding(asking, questions) == at_once
        monkeypatch.undo()
        assert [(await holding(asking, [one]))[0] for one in questions] == at_once


class Counter(NamedTuple):
    """Statements since it was made."""

    postgres: list[str]
    clickhouse: list[str]


@contextmanager
def counted(connection: Any, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    """Both engines, each statement once."""
    found = Counter([], [])

    def note(record: Any) -> None:
        found.postgres.append(record.query)

    def noting(ask: Callable[..., Any]) -> Callable[..., Any]:
        def asked(sql: str, *args: Any, **more: Any) -> Any:
            found.clickhouse.append(sql)
            return ask(sql, *args, **more)

        return asked

    connection.add_query_logger(note)
    with monkeypatch.context() as patch:
        patch.setattr(store, "rows", noting(store.rows))
        patch.setattr(store, "arrow", noting(store.arrow))
        try:
            yield found
        finally:
            connection.remove_query_logger(note)


AUDIENCES: list[dict[str, Any]] = [
    {"person": "growth", "op": "gte", "value": 0},
    {"metric": "count", "event": "tea.drunk", "op": "gte", "value": 2},
    {
        "metric": "sum",
        "event": "order.paid",
        "net": True,
        "window": {"last": 30, "unit": "day"},
        "op": "lt",
        "value": 9,
    },
    {"metric": "distinct", "of": "@day", "event": "tea.drunk", "op": "eq", "value": 1},
    {"person": "dim.orders", "op": "is_null"},
    {"person": "dim.preferred_end", "op": "eq", "value": "web"},
    {"person": "tier", "op": "eq", "value": "黄金"},
    {"has_tag": "猫"},
    {"segment": "vip"},
    {"person": "listed", "op": "contains", "value": "vip"},
    {"person": "lifecycle", "op": "eq", "value": "new"},
    {"person": "rfm.recency_days", "op": "lt", "value": 9},
    {"person": "identities", "op": "contains", "value": "user_id"},
    {"person": "birthday_in_days", "op": "eq", "value": 0},
    {"person": "time.holiday", "op": "eq", "value": "春节"},
    {"person": "time.workday", "op": "eq", "value": True},
    {"person": "checkin.cycle_day", "op": "eq", "value": 1},
]


async def test_a_batch_takes_the_same_few_statements_however_large(
    db: Database, events: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await House.build(db, events)
    rules = [
        EarnRule(
            id=f"r{n}",
            event="tea.drunk",
            label_zh="茶",
            label_en="tea",
            points=1,
            # Of nobody but in the first: thousands of postings would take their time.
            audience={"all": [audience, {"not": audience}]} if n else audience,
        )
        for n, audience in enumerate(AUDIENCES)
    ]
    async with db.begin() as conn:
        driver = await driver_of(conn)
        for one in rules:
            await react.store_rule(driver, house.ledger, one, house.now)
    numbers = []

    async def watched(asking: Asking, questions: Sequence[Question]) -> list[set[str]]:
        with counted(asking.connection, asking.events, monkeypatch) as found:
            held = await holding(asking, questions)
        numbers.append((len(questions), len(found.postgres), len(found.clickhouse)))
        return held

    monkeypatch.setattr("siyu.loyalty.react.holding", watched)
    for size in (1, 100, 1_000):
        await drink(house, size)
    await house.stream.close()
    assert [number[0] for number in numbers] == [1, 100, 1_000]
    assert len({number[1:] for number in numbers}) == 1, numbers
    assert numbers[0][1] <= 16 and numbers[0][2] == 1, numbers
    async with db.driver() as connection:
        assert await connection.fetchval("SELECT count(*) FROM ledger_transfers WHERE kind = 'earn'") == 1_101


async def drink(house: House, size: int) -> None:
    """A batch of so many events; every third person did one before."""
    drunk = []
    for n in range(size):
        house.sent += 1
        at_ms = int((house.now + timedelta(seconds=n % 3)).timestamp() * 1000)
        effects = Effects(set={"birthday": "1990-06-02"}, tags_add=["猫"] if n % 2 else [])
        key = identifier_key("user_id", f"u{n // 3}")
        drunk.append(Event(f"t{house.sent}", "tea.drunk", at_ms, key, end="web", effects=effects))
    house.now += timedelta(hours=1)
    at_ms = int(house.now.timestamp() * 1000)
    await house.stream.append(frames_of([Arrival(drunk, [], "key1", "web", at_ms)], 1, 10**7))
    await house.worker.step(1)
