"""Generated rules, and a small brand of persons to ask them about."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from siyu.calendar.actions import put_year
from siyu.calendar.day import Day, Kind
from siyu.calendar.published import PUBLISHED
from siyu.collect.event import Effects
from siyu.profile import ProfileChange, absorb, absorb_purchases
from siyu.profile.checkins import streak_now
from siyu.rules.window import Setting
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of
from tests.reference.world import Happening, as_event, insert_events, merge, register, share

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
"""Minutes after the clocks of Berlin went forward."""
NOW_MS = int(NOW.timestamp() * 1000)
DAY_MS = 86_400_000
NAMES = (
    "order.paid",
    "Order Completed",
    "order.refunded",
    "page",
    "checkin",
    "$identify",
    "自定义 “事件”",
    "支付订单",
)
CITIES = ("广州", "Guangzhou", "3", 3, 3.5, True, None)
TAGS = ("广州", "广州/天河", "广州/天河/体育西", "vip")
ENDS = ("app", "web", "mini_program")
ZONES = ("Asia/Shanghai", "Europe/Berlin")


def pick(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def compared(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """{"op", "value"} for each operator and the values it takes; None: it takes none."""
    return st.one_of(
        *(
            st.builds(lambda v, op=op: {"op": op} if v is None else {"op": op, "value": v}, v)
            for op, v in values.items()
        )
    )


texts = pick("广州", "Guang", "3", "a “q”\\ ", "true", "", "广州/天河")
words = texts.filter(bool)
scalars = texts | pick(0, 1, 3, 3.5, -1, True, False)
numbers = pick(0, 1, 2, 3, 5, 100, 990, 1980)
times = pick("2026-01-01", "2026-03-01T00:00:00+08:00", "2026-03-28T23:30:00+00:00", "2025-03-30T02:30:00")
durations = st.builds(
    lambda n, unit: {"n": n, "unit": unit}, pick(1, 2, 7, 30), pick("second", "minute", "hour", "day", "week")
)
pairs = st.builds(lambda a, b: sorted([a, b]), numbers, numbers)
any_value = compared(
    eq=scalars, ne=scalars, gt=scalars.filter(lambda v: not isinstance(v, bool)), gte=numbers, lt=texts, lte=numbers,
    **{"in": st.lists(scalars, max_size=3), "not_in": st.lists(scalars, max_size=3)},
    between=pairs, contains=words, not_contains=words, starts_with=words, ends_with=words,
    exists=st.none(), is_null=st.none(), is_multiple_of=pick(1, 2, 7),
)  # fmt: skip
list_value = compared(
    contains=pick("vip", "广州", "user_id"), not_contains=pick("广州/天河"), has_tag=pick(*TAGS, "天"),
    exists=st.none(), is_null=st.none(),
)  # fmt: skip
time_value = compared(
    gt=times, gte=times, lt=times, lte=times, between=st.lists(times, min_size=2, max_size=2),
    within=durations, exists=st.none(), is_null=st.none(),
)  # fmt: skip
number_value = compared(
    eq=numbers, ne=numbers, gt=numbers, gte=numbers, lt=numbers, lte=numbers,
    **{"in": st.lists(numbers, max_size=3), "not_in": st.lists(numbers, max_size=3)},
    between=pairs, is_multiple_of=pick(1, 2, 3),
)  # fmt: skip
calendar_value = compared(
    eq=pick("春节", True, False), ne=pick("春节", "国庆节", True), contains=pick("节"),
    exists=st.none(), is_null=st.none(),
    **{"in": st.lists(pick("春节", "国庆节", False), max_size=2)},
)  # fmt: skip
edge = compared(crosses=numbers)

DIMENSIONS_ASKED = (
    "spend_fen", "orders", "orders_30d", "net_orders", "average_order_fen", "idle_days", "order_gap",
    "order_regularity",
    "preferred_end", "preferred_hour", "preferred_weekday", "price_sensitivity", "checkin_longest", "spend_trend",
    "first_product", "preferred_product", "actions_per_day", "orders_this_year", "referral_level", "overdue_days",
)  # fmt: skip
DIMENSION_TIMES = ("next_order_at", "last_order_at", "first_active_at")
people = st.one_of(
    st.builds(lambda key, v: {"person": f"dim.{key}"} | v, pick(*DIMENSIONS_ASKED), any_value),
    st.builds(lambda key, v: {"person": f"dim.{key}"} | v, pick(*DIMENSION_TIMES), time_value),
    st.builds(
        lambda name, v: {"person": name} | v,
        pick("trait.city", "trait.n", "trait.likes", "trait.a.b", "lifecycle", "rfm.recency_days", "rfm.frequency")
        | pick("rfm.monetary_fen", "rfm.r", "rfm.m", "birthday_in_days", "first_touch.utm_source", "last_touch.state")
        | pick("last_touch.end", "consent.marketing", "consent.marketing.sms"),
        any_value,
    ),
    st.builds(
        lambda v: {"person": "lifecycle", "op": "in", "value": v}, st.lists(pick("new", "lost", "vip", "active"))
    ),
    st.builds(lambda name, v: {"person": name} | v, pick("tags", "identities"), list_value),
    st.builds(lambda name, v: {"person": name} | v, pick("first_seen", "last_seen", "first_touch_at"), time_value),
    st.builds(lambda tag: {"has_tag": tag}, pick(*TAGS)),
    st.builds(
        lambda name, v: {"person": name} | v, pick("time.hour", "time.weekday", "time.day", "time.month"), any_value
    ),
    st.builds(lambda v: {"person": "checkin.cycle_day"} | v, any_value),
    st.builds(lambda name, v: {"person": name} | v, pick("time.holiday", "time.workday"), calendar_value | any_value),
)
wheres = st.one_of(
    pick({"sku": "milk"}, {"price": 3}, {"sku": None}, {"@end": ["app", "web"]}, {"sku": ["milk", "tea"], "price": 3}),
    st.builds(lambda v: {"property": "price"} | v, any_value),
    st.builds(lambda v: {"not": {"any": [{"property": "sku"} | v, {"a.b": 1}]}}, any_value),
    pick(
        {"@line.category": "猫粮"}, {"@line.sku": ["milk", "tea"], "@line.quantity": 2}, {"not": {"@line.sku": "tea"}}
    ),
    pick({"all": [{"property": "@line.price", "op": "gte", "value": 3}, {"@end": "app"}]}),
    st.builds(lambda f, v: {"property": f"@line.{f}"} | v, pick("sku", "quantity", "value_fen", "a.b"), any_value),
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "event": pick(*NAMES, "order.paid") | st.lists(pick(*NAMES), min_size=1, max_size=3),
        "where": wheres,
        "end": pick("app", ["app", "web"]),
        "product": pick("milk"),
    },
)
LINE_FIGURES = ("@line.quantity", "@line.value_fen", "@line.price", "@line.a.b")
LINE_TEXTS = ("@end", "@line.sku", "@line.category", "@line.value_fen")
windows = st.one_of(
    st.builds(lambda d: {"last": d["n"], "unit": d["unit"]}, durations),
    st.builds(
        lambda p, ago: {"this": p, "ago": ago}, pick("day", "week", "month", "quarter", "half", "year"), pick(0, 1, 2)
    ),
    st.builds(lambda n: {"days": n}, pick(1, 2, 30)),
    pick(
        {"from": "2026-03-01"}, {"to": "2026-03-28T23:30:00+00:00"}, {"from": "2026-01-01", "to": "2026-03-01T12:00:00"}
    ),
)
windowed = st.builds(lambda f, w: f | ({"window": w} if w else {}), filters, st.none() | windows)
purchases = st.builds(
    lambda f, w: {**f, "event": "order.paid", "net": True} | ({"window": w} if w else {}), filters, st.none() | windows
)


def metrics(value: st.SearchStrategy[Any], instants: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Metrics against values of their kind."""
    return st.one_of(
        st.builds(lambda k, f, v: {"metric": k} | f | v, pick("count", "streak"), windowed, value),
        st.builds(lambda f, v: {"metric": "count"} | f | v, purchases, value),
        st.builds(lambda f, v: {"metric": "sum"} | f | v, windowed | purchases, value),
        st.builds(
            lambda f, of, v: {"metric": "sum", "of": of} | f | v, windowed, pick("price", "a.b", *LINE_FIGURES), value
        ),
        st.builds(
            lambda f, of, v: {"metric": "distinct", "of": of} | f | v, windowed, pick("@day", "sku", *LINE_TEXTS), value
        ),
        st.builds(lambda k, f, v: {"metric": k} | f | v, pick("first", "last"), windowed, instants),
    )  # fmt: skip


did = st.builds(
    lambda f, often, when: {"did": f | often | when},
    filters,
    pick({}, {"at_least": 2}, {"at_least": 0, "at_most": 1}),
    pick({}, {"days": 30}, {"range": {"days": 30}}, {"range": {"from": "2026-03-01"}}),
)
happened = st.builds(lambda w, f, d: {w: f | d}, pick("within", "not_happened"), filters, durations)
leaves = people | metrics(number_value, time_value) | did | happened
triggers = st.builds(lambda f: {"trigger": f}, filters)


def trees(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Groups of rules."""
    some = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.builds(lambda word, parts: {word: parts}, pick("all", "any"), some),
        st.builds(lambda part: {"not": part}, inner),
        st.builds(lambda parts: {"n_of_m": {"n": (len(parts) + 1) // 2, "of": parts}}, some),
    )


rules = st.recursive(leaves, trees, max_leaves=5)
"""Rules about persons."""
trigger_rules = st.recursive(leaves | triggers | metrics(edge, time_value), trees, max_leaves=5)
"""Rules that may also speak of a triggering event."""


class World(NamedTuple):
    """Who is who, and what happened."""

    happenings: list[Happening]
    changes: list[ProfileChange]
    persons: list[int]

    def events_of(self, person: int) -> list[Mapping[str, Any]]:
        """The events of a person in the shape rules are evaluated on."""
        return [
            as_event(one) | {"at_ms": one.at_ms, "event_id": str(n)}
            for n, one in enumerate(self.happenings)
            if one.person == person
        ]


OWN_DAYS = [
    Day(NOW.date() - timedelta(days=ago), "春节", Kind.WORK if ago == 7 else Kind.REST) for ago in (0, 1, 7, 40)
]
"""The brand's own 2026; of 2025 what is published counts."""
KNOWN_DAYS = PUBLISHED.with_own(OWN_DAYS)
SHARED, MERGED, HANDED_MS = 90, {81: 1, 82: 1, 83: 2}, NOW_MS - 20 * DAY_MS
"""An identifier of person 3 that became person 4's, and identifiers of persons 1 and 2."""
_MOMENTS = (0, 1, -1, 30 * DAY_MS, 30 * DAY_MS - 1, 7 * DAY_MS, DAY_MS, 90 * 60_000, 25 * 3_600_000, -DAY_MS)


def lines_of_an_order(chance: random.Random) -> Any:
    """What an SDK may send as the lines of an order, right and wrong."""
    if chance.random() < 0.1:
        wrong: tuple[Any, ...] = ([], "milk", {"sku": "milk"}, [["milk"], None], None)
        return chance.choice(wrong)
    lines: list[Any] = []
    for _ in range(chance.randrange(1, 4)):
        line: dict[str, Any] = {}
        for name, values in LINE_PROPERTIES.items():
            if chance.random() < 0.6:
                line[name] = chance.choice(values)
        lines.append(chance.choice((line, line, line, "milk", 3)) if chance.random() < 0.2 else line)
    return lines


LINE_PROPERTIES: dict[str, tuple[Any, ...]] = {
    "sku": ("milk", "tea", "a “q”\\ ", "", None, 3),
    "product_id": ("milk", "p1"),
    "category": ("猫粮", "tea {", '"q"'),
    "price": (3, "3.00005", 19.99, "x", 1e13, 0.1, True, "1e999", -2),
    "price_fen": (300, 990, "x", None),
    "quantity": (1, 2, "3", 1.5, 0, -1, "x", None, "1e400", [2]),
    "a": ({"b": 1}, {"b": "1"}),
    "a.b": (2,),
    "item_id": ("milk", "tea"),
    "present_price": (4, "x"),
    "commodity_quantity": ("2", 3, "x"),
}


def world(seed: int, size: int) -> World:
    """`size` persons with events, traits, tags, consents and touches."""
    chance = random.Random(seed)
    anchors = [*range(1, size + 1), *MERGED, SHARED]

    def owner(anchor: int, at_ms: int) -> int:
        if anchor == SHARED:
            return 4 if at_ms >= HANDED_MS else 3
        return MERGED.get(anchor, anchor)

    def moment() -> int:
        far = chance.randrange(0, 400 * DAY_MS) if chance.random() < 0.6 else chance.randrange(0, 4 * DAY_MS)
        return NOW_MS - (far if chance.random() < 0.7 else chance.choice(_MOMENTS))

    lists = random.Random(f"lists {seed}")
    happenings, changes = [], []
    for _ in range(size * 8):
        anchor, name, at = chance.choice(anchors), chance.choice(NAMES), moment()
        fen = chance.choice((0, 990, 990, 1980)) if name in ("order.paid", "Order Completed") else 0
        fen = -chance.choice((990, 500)) if name == "order.refunded" else fen
        properties: dict[str, Any] = {}
        if chance.random() < 0.5:
            properties["order_id"] = f"o{chance.randrange(size)}"
        if chance.random() < 0.7:
            properties["sku"] = chance.choice(("milk", "tea", "a “q”\\ ", None))
        if chance.random() < 0.7:
            properties["price"] = chance.choice((3, "3.00005", 2.5, "x", 1e13, 0.1, True))
        if chance.random() < 0.3:
            properties["a"] = {"b": chance.choice((1, "1"))}
        if (listed := lists.random()) < 0.4:
            properties["products" if listed < 0.3 else "lines"] = lines_of_an_order(lists)
        happenings.append(Happening(owner(anchor, at), name, at, properties, fen, chance.choice(ENDS), anchor))
    for n in range(size * 4):
        effects = Effects(
            set=chance.choice(({}, {"city": chance.choice(CITIES)}, {"n": chance.randrange(5), "a.b": "3"})),
            increment=chance.choice(({}, {"n": 1})),
            append=chance.choice(({}, {"likes": ["vip", chance.choice(CITIES)]})),
            unset=chance.choice(([], [], ["city"])),
            delete=chance.random() < 0.05,
            tags_add=chance.choice(([], [chance.choice(TAGS)])),
            tags_remove=chance.choice(([], [], [chance.choice(TAGS)])),
            consent=[
                {"purpose": "marketing", "granted": chance.random() < 0.6, **chance.choice(({}, {"channel": "sms"}))}
            ]
            if chance.random() < 0.3
            else [],
            touch=chance.choice(({}, {"utm_source": "Guangzhou"}, {"state": "3"})),
        )
        if chance.random() < 0.1:
            day = (NOW + timedelta(days=chance.randrange(-2, 9))).date()
            effects.set["birthday"] = day.replace(year=1990).isoformat()
        changes.append(ProfileChange(chance.choice(anchors), moment(), f"c{n}", "s", chance.choice(ENDS), effects))
    return World(happenings, changes, sorted({one.person for one in happenings}))


def checkins_of(world: World) -> list[tuple[Happening, tuple[date, datetime]]]:
    """What happened, each as a check-in of its local day."""
    found = []
    for one in world.happenings:
        at = NOW + timedelta(milliseconds=one.at_ms - NOW_MS)
        found.append((one, (at.astimezone(ZoneInfo(ZONES[0])).date(), at)))
    return found


def cycle_day(world: World, person: int, here: Setting) -> int:
    """The day of the check-in cycle of a person, of seven days in a row: what the rules begin with."""
    days = set()
    kept: set[tuple[int, date]] = set()
    for one, (day, at) in checkins_of(world):
        # The first that came for an identifier and day is the one that is kept.
        if (one.anchor, day) in kept:
            continue
        kept.add((one.anchor, day))
        if one.person == person and at <= here.now:
            days.add(day)
    streak = streak_now(days, here.today)
    return (streak - 1) % 7 + 1 if streak else 0


async def settle(db: Database, events: EventStore, world: World) -> None:
    """Put a world into empty engines."""
    await events.create_all()
    await db.create_all()
    anchors = sorted({one.anchor for one in world.happenings} | {one.anchor for one in world.changes})
    await register(db, anchors)
    await insert_events(events, world.happenings)
    await merge(events, MERGED)
    await share(events, SHARED, [(0, 3), (HANDED_MS, 4)])
    async with db.driver() as connection:
        spans = [(anchor, 0, person) for anchor, person in MERGED.items()]
        spans += [(person, 0, person) for person in (1, 2, 3, 4)] + [(SHARED, 0, 3), (SHARED, HANDED_MS, 4)]
        await connection.executemany(
            "INSERT INTO memberships (anchor, since, person)"
            " VALUES ($1, timestamptz 'epoch' + $2::bigint * interval '1 millisecond', $3)",
            spans,
        )
        await connection.executemany(
            "UPDATE identifiers SET first_seen = $2, last_seen = $3 WHERE id = $1",
            [(anchor, NOW - timedelta(days=anchor * 5), NOW - timedelta(days=anchor * 3)) for anchor in anchors],
        )
        await connection.execute(
            """INSERT INTO profile_figures (name, value, changed_at) VALUES ('rfm',
               '[[90,60,30,5],[1,2,3,4],[0,990,1980,5000],"2026-03-27"]',
               now())"""
        )  # fmt: skip
    async with db.begin() as conn:
        await put_year(await driver_of(conn), NOW.year, OWN_DAYS, NOW, "test")
        rows = [(one.anchor, *checkin) for one, checkin in checkins_of(world)]
        await (await driver_of(conn)).executemany(
            """INSERT INTO checkins (anchor, day, at, "end", how) VALUES ($1, $2, $3, 'web', 'call')
               ON CONFLICT DO NOTHING""",
            rows,
        )
        await absorb(conn, world.changes, NOW)
        await absorb_purchases(
            conn,
            [
                (one.anchor, one.at_ms, f"s\n{n}", one.value_fen)
                for n, one in enumerate(world.happenings)
                if one.value_fen or one.name in ("order.paid", "Order Completed")
            ],
        )


def setting(zone: str) -> Setting:
    """Now, there."""
    return Setting(NOW, ZoneInfo(zone))
