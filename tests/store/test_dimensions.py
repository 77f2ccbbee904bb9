"""Dimensions: the SQL and arithmetic over all persons and over one, against the evaluator over a list of events."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from siyu.dimensions import records as dimension_records
from siyu.dimensions.actions import of_person
from siyu.dimensions.catalogue import DIMENSIONS, GROUPS, PREFIX, catalogue
from siyu.dimensions.dimension import Aggregate, Band, Dimension, Ratio, Ref, walk
from siyu.dimensions.evaluate import aggregate_of, value_of
from siyu.dimensions.expressions import base, count, figure, next_after, regularity
from siyu.dimensions.instants import aggregates_at
from siyu.dimensions.records import Reading, aggregates_of, columns, passes
from siyu.identity.spans import touched_by
from siyu.profile.actions import spans_of
from siyu.profile.attributes import Column
from siyu.rules.condition import parse_condition
from siyu.rules.pieces import Look
from siyu.rules.window import Window
from siyu.segments.words import WORDS
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from tests.reference.world import Happening, uid_of
from tests.rule_world import DAY_MS, HANDED_MS, MERGED, NOW_MS, SHARED, ZONES, World, setting, settle

PERSONS = 60
EXAMPLES = int(os.environ.get("RULE_EXAMPLES", "12"))
NAMES = sorted({name for one in WORDS.events.values() for name in one.spellings[:2]})
PROPERTIES = {
    "sku": ("milk", "tea", "a “q”\\ ", None, 3), "category": ("cat", "dog", ""), "brand": ("x", 7),
    "quantity": (1, 2, "3", 2.5),
    "discount": (0, 1.5, "x"), "discount_fen": (0, 120), "list_fen": (2000, 3000), "coupon": ("c1", None),
    "stars": (3, 5),
    "order_id": ("o1", "o2", "o3", "o4"), "points": (1, 10, "y"), "query": ("茶", "milk"), "inviter": ("u1",),
    "product": ("奶", "茶", "茶 2"), "payment_method": ("wechat", "alipay"), "to": ("gold",), "channel": ("sms", ""),
    "products": (
        [{"sku": "milk", "quantity": 2, "category": "cat"}, {"product_id": "p[1]", "category": "dog", "brand": "x"}],
        [{"sku": "tea", "name": "茶", "quantity": "3"}, {"sku": "tea", "quantity": 2.5, "category": "cat"}],
        [{"quantity": "two"}, 7], [], "[x]",
    ),
    "lines": ([{"sku": "cup", "qty": 4, "brand": "y"}], None),
    "items": ([{"item_id": "tea", "item_name": "茶", "item_category": "cat", "quantity": 2}],),
    "commodity_name": ("奶",), "commodity_quantity": ("2",),
}  # fmt: skip


def busy_world(seed: int) -> World:
    """Persons who do everything the catalogue knows, some rarely, some every day."""
    chance = random.Random(seed)
    anchors = [*range(1, PERSONS + 1), *MERGED, SHARED]
    often = ["order.paid", "product.viewed", "message.sent", "checkin.done", "cart.added", "order.refunded", "page"]
    happenings = []
    for _ in range(PERSONS * 25):
        anchor = chance.choice(anchors)
        name = chance.choice(often if chance.random() < 0.6 else NAMES)
        far = chance.choice((4, 12, 40, 400)) * DAY_MS
        at = NOW_MS - chance.randrange(0, far) if chance.random() < 0.9 else NOW_MS + chance.choice((-1, 0, 1, DAY_MS))
        money = name in ("order.paid", "Order Completed") and chance.choice((0, 990, 1980, 45_000))
        fen = -500 if name == "order.refunded" else money or 0
        properties = {key: chance.choice(some) for key, some in PROPERTIES.items() if chance.random() < 0.3}
        owner = (4 if at >= HANDED_MS else 3) if anchor == SHARED else MERGED.get(anchor, anchor)
        end = chance.choice(("app", "web", "mini_program", ""))
        happenings.append(Happening(owner, name, at, properties, fen, end, anchor))
    return World(happenings, [], sorted({one.person for one in happenings}))


class House(NamedTuple):
    db: Database
    events: EventStore
    world: World

    def reading(self, zone: str) -> Reading:
        return Reading(self.events, WORDS, setting(zone), 60)

    def expected(self, one: Dimension, person: int, zone: str) -> Any:
        return value_of(one, self.world.events_of(person), setting(zone), WORDS)

    def __repr__(self) -> str:
        return "house"


@pytest.fixture(params=[1, 2])
async def house(request: pytest.FixtureRequest, db: Database, events: EventStore) -> AsyncIterator[House]:
    made = busy_world(request.param)
    await settle(db, events, made)
    yield House(db, events, made)


def by_person(column: Column) -> dict[int, Any]:
    """A column as a table."""
    return {
        person: column.values[code] for person, code in zip(column.persons.tolist(), column.codes.tolist(), strict=True)
    }


@pytest.mark.parametrize("zone", ZONES)
async def test_every_dimension_of_all_persons_is_what_their_events_say(house: House, zone: str) -> None:
    made = await columns(house.reading(zone), list(DIMENSIONS))
    defaults = {kind.name: kind.default for kind in DIMENSIONS.kinds}
    wrong, told = [], 0
    for one, column in zip(DIMENSIONS, made, strict=True):
        found = by_person(column)
        for person in house.world.persons:
            expected = house.expected(one, person, zone)
            if found.get(person, defaults[PREFIX + one.key]) != expected:
                wrong.append((one.key, person, found.get(person), expected))
            told += expected not in (None, 0)
    assert wrong[:5] == []
    assert told > PERSONS * len(DIMENSIONS.entries) // 4, "the world says something about most dimensions"


async def test_persons_in_many_passes_have_the_same(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    few = list(DIMENSIONS)[::9]
    at_once = [by_person(column) for column in await columns(house.reading(ZONES[0]), few)]
    monkeypatch.setattr(dimension_records, "FIGURES_PER_PASS", 4 * len(aggregates_of(few)))
    sizes = [[len(column.persons) for column in made] async for made in passes(house.reading(ZONES[0]), few)]
    assert len(sizes) > 2
    assert [sum(one) for one in zip(*sizes, strict=True)] == [len(one) for one in at_once]
    assert [by_person(column) for column in await columns(house.reading(ZONES[0]), few)] == at_once


@pytest.mark.parametrize("fetched", [0, 2_000])
async def test_one_person_and_some_persons_have_the_same(
    house: House, fetched: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a person's events are few enough to be fetched or not."""
    monkeypatch.setattr("siyu.dimensions.records.EVENTS_FETCHED_MAX", fetched)
    reading = house.reading(ZONES[0])
    async with house.db.driver() as connection:
        touched = await touched_by(connection, [1, 3, 7])
    some = await columns(reading, list(DIMENSIONS), touched.anchors)
    for person in (1, 3, 4, 7):
        found = await of_person(house.db, reading, uid_of(person))
        expected = {one.key: house.expected(one, person, ZONES[0]) for one in DIMENSIONS}
        assert found == expected
        if person in touched.persons:
            for one, column in zip(DIMENSIONS, some, strict=True):
                assert by_person(column).get(person, found[one.key]) == found[one.key]


events_of = st.sampled_from(["order.paid", "product.viewed", ("order.paid", "cart.added"), (), "page.viewed"])
windows = st.sampled_from([Window(), Window("last", 7, "day"), Window("days", 3), Window("this", 1, "month")])
wheres = st.sampled_from([None, {"sku": "milk"}, {"@end": "app"}, {"property": "quantity", "op": "gte", "value": 2}])
fields = st.sampled_from([("sku",), ("category", "sku"), ("quantity",), ("@end",), ("@hour",), ("@weekday",)])


@st.composite
def aggregates(draw: st.DrawFn, numeric: bool = False) -> Aggregate:
    kinds = ["metric", "largest", "smallest", "first_day", "last_day", "run", "gap_squares", "gap_median"]
    kinds += ["gap_shortest", "gap_longest", "sum", "said", "different"]
    kinds += [] if numeric else ["commonest", "earliest", "latest"]
    kind: Any = draw(st.sampled_from(kinds))
    condition = draw(wheres)
    looked = base(draw(events_of), draw(windows), None if condition is None else parse_condition(condition))
    hours = draw(st.sampled_from([(), (0, 1, 2, 22, 23)]))
    weekdays = draw(st.sampled_from([(), (6, 7)]))
    of: tuple[str, ...] = ()
    if kind in ("largest", "smallest", "sum", "said"):
        of = draw(st.sampled_from([("quantity",), ("qty", "quantity"), ("@value_fen",)]))
    elif kind in ("commonest", "different", "earliest", "latest"):
        of = draw(fields if kind == "commonest" else fields.filter(lambda some: some[0] not in ("@hour", "@weekday")))
    lines = bool(of) and not of[0].startswith("@") and draw(st.booleans())
    return Aggregate(kind, looked, of, hours, weekdays, lines)


numbers = aggregates(numeric=True)
expressions = st.one_of(
    aggregates(),
    st.builds(Ratio, numbers, numbers, st.sampled_from([1, 10, 100]), st.sampled_from([None, 100])),
    st.builds(regularity, events_of),
    st.builds(next_after, events_of),
    st.builds(lambda of: Band(of, (1, 3), ("low", "medium", "high")), numbers),
)


@settings(
    phases=[Phase.explicit, Phase.generate], max_examples=EXAMPLES, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(zone=st.sampled_from(ZONES), made=st.lists(expressions, min_size=6, max_size=6))
async def test_any_expression_agrees(house: House, zone: str, made: list[Any]) -> None:
    entries = [Dimension(f"d{n}", f"维{n}", f"d{n}", "money", "", one, "x", "x") for n, one in enumerate(made)]
    own = catalogue(entries)
    found = await columns(house.reading(zone), list(own))
    wrong = []
    for one, column, kind in zip(own, found, own.kinds, strict=True):
        table = by_person(column)
        for person in house.world.persons:
            expected = house.expected(one, person, zone)
            if table.get(person, kind.default) != expected:
                wrong.append((one.expression, person, table.get(person), expected))
    assert wrong[:3] == []


@settings(
    phases=[Phase.explicit, Phase.generate], max_examples=EXAMPLES, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(asked=st.lists(aggregates(), min_size=6, max_size=6, unique=True), ago=st.lists(st.integers(0, 40), min_size=4))
async def test_at_any_instant_an_aggregate_is_what_the_events_before_say(
    house: House, asked: list[Aggregate], ago: list[int]
) -> None:
    reading, zone = house.reading(ZONES[0]), setting(ZONES[0])
    async with house.db.driver() as connection:
        spans = {person: await spans_of(connection, uid_of(person)) for person in (1, 4)}
    looks = [Look(n % 2 * 3 + 1, zone._replace(now=zone.now - timedelta(days=days))) for n, days in enumerate(ago)]
    found = await aggregates_at(reading, asked, spans, looks)
    for look, figures in zip(looks, found, strict=True):
        mine = house.world.events_of(look.person)
        assert figures == {one: aggregate_of(one, mine, look.setting, WORDS) for one in asked}


async def test_an_order_counts_the_lines_it_lists(db: Database, events: EventStore) -> None:
    """As SDKs send them: Segment's `Order Completed` has no quantity, product or category of its own."""
    products = [
        {
            "product_id": "p-1",
            "sku": "TEA",
            "name": "龙井",
            "category": "茶",
            "brand": "茗爪",
            "quantity": 2,
            "price": 128,
        },
        {"product_id": "p-2", "sku": "CAT", "name": "猫粮", "category": "宠物", "brand": "茗爪", "price": 89},
    ]
    orders = [{"order_id": "o1", "total": 345, "products": products}, {"order_id": "o2", "products": products[1:]}]
    done = [Happening(1, "Order Completed", NOW_MS - n * DAY_MS, one, 0, "web", 1) for n, one in enumerate(orders, 1)]
    await settle(db, events, World(done, [], [1]))
    found = await of_person(db, Reading(events, WORDS, setting(ZONES[0]), 60), uid_of(1))
    assert {key: found[key] for key in BOUGHT} == BOUGHT


BOUGHT = {
    "orders": 2, "items_bought": 4, "basket_size": 2.0, "largest_basket": 3, "products_bought": 2,
    "categories_bought": 2, "favourite_product": "猫粮", "first_product": "猫粮", "last_product": "龙井",
    "bought_category": "宠物", "bought_brand": "茗爪", "preferred_category": "宠物", "preferred_product": "CAT",
}  # fmt: skip


def test_a_catalogue_that_cannot_be_is_refused() -> None:
    def entry(key: str, expression: Any, group: str = "money", decimals: int = 0) -> Dimension:
        return Dimension(key, key, key, group, "", expression, "x", "x", decimals)

    good = entry("a", count())
    for wrong in (
        [good, good],
        [entry("a", Ref("b"))],
        [entry("a", Ref("b")), entry("b", Ref("a"))],
        [entry("a", count(), "nowhere")],
        [entry("a", figure("latest", (), "sku"), decimals=1)],
    ):
        with pytest.raises(ValueError):
            catalogue(wrong)
    assert [one.key for one in catalogue([good])] == ["a"]


def test_every_event_a_dimension_names_is_in_the_catalogue() -> None:
    """An alias would count itself only."""
    aggregates = [part for one in DIMENSIONS for part in walk(one.expression) if isinstance(part, Aggregate)]
    assert {name for part in aggregates for name in part.base.events} <= WORDS.events.keys()


def test_the_catalogue_is_wide_and_documented() -> None:
    assert len(DIMENSIONS.entries) >= 128
    assert {one.group for one in DIMENSIONS} == set(GROUPS)
    for one in DIMENSIONS:
        assert one.zh and one.en and one.note.endswith(".") and one.note_zh.endswith("。"), one.key
    for lang in ("zh", "en"):
        labels = ["".join(getattr(kind, lang).lower().split()) for kind in WORDS.attributes.values()]
        assert len(set(labels)) == len(labels)
