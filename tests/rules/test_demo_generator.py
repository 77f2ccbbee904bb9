"""The demo brand: the same bytes for the same seed and day, readable by the doors, and a story worth looking at."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
import pytest

from siyu.collect import posthog, segment, sensors
from siyu.collect.catalogue import BY_NAME
from siyu.collect.event import Event
from siyu.collect.parsed import Limits, Parsed
from siyu.demo.brand import CAMPAIGNS
from siyu.demo.generate import SEED, DoorRequest, generate
from siyu.demo.people import BORROWED_LOGINS, RECYCLED_PHONES, SHARED_TABLETS
from siyu.demo.season import DAYS, day_weights, first_day, hour_parts
from siyu.settings import Settings

NOW = datetime(2026, 11, 22, 14, 30, tzinfo=ZoneInfo("Asia/Shanghai"))
NOW_MS = int(NOW.timestamp() * 1000)
LIMITS = Limits.of(Settings())
FEW = 4_000
"""Persons: enough for the story, few enough for seconds."""
KEYS = {"": "wk_demo", "web": "wk_web"}

HASH_IN_ANOTHER_PROCESS = """
import hashlib, sys
from datetime import datetime
from siyu.demo.generate import SEED, generate
digest = hashlib.sha256()
for request in generate(SEED, datetime.fromisoformat(sys.argv[1]), {"": "wk_demo", "web": "wk_web"}, 4_000):
    digest.update(repr((request.path, request.headers)).encode() + request.body)
print(digest.hexdigest())
"""


class World:
    """Everything generated, read back through the doors' own dialects."""

    def __init__(self) -> None:
        digest = hashlib.sha256()
        self.requests: list[tuple[str, int, int]] = []
        self.events: list[Event] = []
        self.rejected = 0
        self.by_door: Counter[str] = Counter()
        for request in generate(SEED, NOW, KEYS, FEW):
            digest.update(repr((request.path, request.headers)).encode() + request.body)
            self.requests.append((request.path.partition("?")[0], len(request.body), request.events))
            for parsed in _parsed(request):
                self.events += parsed.events
                self.rejected += len(parsed.rejected)
                self.by_door[request.path.partition("?")[0]] += len(parsed.events)
        self.digest = digest.hexdigest()
        self.names = Counter(event.name for event in self.events)


def _parsed(request: DoorRequest, now_ms: int = NOW_MS) -> Iterator[Parsed]:
    if request.path == "/v1/batch":
        yield segment.parse(request.body, now_ms, LIMITS)
    elif request.path == "/batch/":
        yield posthog.parse(request.body, now_ms, LIMITS)
    else:
        yield from sensors.parse(request.body, now_ms, LIMITS)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_another_process_makes_the_same_bytes(world: World) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", HASH_IN_ANOTHER_PROCESS, NOW.isoformat()],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "7", "TZ": "America/New_York"},
    )
    assert answer.stdout.strip() == world.digest


def test_the_doors_take_every_event_and_no_id_stands_twice(world: World) -> None:
    assert world.rejected == 0
    assert len(world.events) == sum(events for _, _, events in world.requests)
    assert len({event.event_id for event in world.events}) == len(world.events)
    assert 15 * FEW < len(world.events) < 35 * FEW
    assert set(world.by_door) == {"/v1/batch", "/batch/", "/sa"}


def test_requests_keep_to_the_limits_of_the_doors(world: World) -> None:
    settings = Settings()
    for path, size, events in world.requests:
        assert size <= (settings.batch_bytes_max if path == "/v1/batch" else settings.request_bytes_max)
        assert 0 < events <= settings.batch_events_max


def test_everything_happened_within_the_period(world: World) -> None:
    start = datetime.combine(first_day(NOW.date()), datetime.min.time(), NOW.tzinfo)
    assert min(event.occurred_ms for event in world.events) >= start.timestamp() * 1000
    assert max(event.occurred_ms for event in world.events) <= NOW_MS
    days = Counter((event.occurred_ms - int(start.timestamp() * 1000)) // 86_400_000 for event in world.events)
    assert sorted(days) == list(range(DAYS))


def test_a_later_hour_of_the_day_adds_events_and_changes_none(world: World) -> None:
    earlier = {event.event_id for event in world.events}
    later = {
        event.event_id
        for request in generate(SEED, NOW + timedelta(hours=3), KEYS, FEW)
        if request.day == DAYS - 1
        for parsed in _parsed(request)
        for event in parsed.events
    }
    last_day = NOW_MS - (14 * 3600 + 1800) * 1000
    assert {event.event_id for event in world.events if event.occurred_ms >= last_day} < later
    assert later - earlier


def test_every_name_is_in_the_catalogue(world: World) -> None:
    assert [name for name in world.names if name not in BY_NAME] == []


def test_the_funnel_narrows_step_by_step(world: World) -> None:
    steps = ["product.viewed", "cart.added", "order.checkout_started", "order.created"]
    counts = [world.names[name] for name in steps]
    assert all(0.1 < later / before < 0.97 for before, later in pairwise(counts))


def test_money_is_in_every_purchase_and_refund(world: World) -> None:
    for event in world.events:
        if event.name == "order.paid":
            assert event.value_fen > 0
        elif event.name == "order.refunded":
            assert event.value_fen < 0
        else:
            assert event.value_fen == 0


def test_one_campaign_works_and_one_does_not(world: World) -> None:
    came: dict[str, set[str]] = defaultdict(set)
    registered, bought = set(), set()
    user_of: dict[str, str] = {}
    for event in world.events:
        if event.effects is not None and event.effects.touch.get("utm_campaign") and event.name == "page":
            came[event.effects.touch["utm_campaign"]].add(event.anchor)
        if event.name in {"user.registered", "identify"} and event.others and event.anchor.startswith("user_id"):
            registered.add(event.anchor)
            for key in event.others.split("\x1e"):
                if key.startswith("anonymous_id"):
                    user_of[key] = event.anchor
        if event.name == "order.paid":
            bought.add(event.anchor)
    rates = {
        name: sum(user_of.get(anchor) in bought for anchor in visitors) / len(visitors)
        for name, visitors in came.items()
    }
    works, fails = CAMPAIGNS[0].name, CAMPAIGNS[1].name
    assert len(came[fails]) > len(came[works])
    assert rates[works] > 4 * rates[fails]


def test_shared_devices_recycled_phones_and_contradictions_are_there(world: World) -> None:
    on_tablet: dict[str, set[str]] = defaultdict(set)
    with_phone: dict[str, set[str]] = defaultdict(set)
    with_unionid: dict[str, set[str]] = defaultdict(set)
    for event in world.events:
        keys = [event.anchor, *(event.others or "").split("\x1e")]
        users = {key for key in keys if key.startswith("user_id")}
        for key in keys:
            if key.startswith("anonymous_id\x1fa-tablet"):
                on_tablet[key] |= users
            elif key.startswith("phone"):
                with_phone[key] |= users
            elif key.startswith("unionid"):
                with_unionid[key] |= users
    assert sum(len(users) > 1 for users in on_tablet.values()) > FEW * SHARED_TABLETS / 4
    assert 0 < sum(len(users) > 1 for users in with_phone.values()) <= round(FEW * RECYCLED_PHONES)
    assert 0 < sum(len(users) > 1 for users in with_unionid.values()) <= round(FEW * BORROWED_LOGINS)


def test_all_ends_and_most_of_the_people_appear(world: World) -> None:
    ends = Counter(event.end for event in world.events)
    assert set(ends) == {"mini_program", "web", "app", "wecom", "store", ""}
    # The server behind the official account uses the Python SDK; its end is the write key's.
    assert {event.name for event in world.events if event.end == ""} >= {"official_account.followed", "content.viewed"}
    people = {key for event in world.events for key in (event.anchor,) if key.startswith("user_id")}
    assert 0.5 * FEW < len(people) < FEW


def test_people_shop_in_the_evening_and_on_days_of_sale() -> None:
    hours = hour_parts().tolist()
    assert max(range(24), key=hours.__getitem__) == 21
    weights = day_weights(date(2026, 6, 30)).tolist()
    june_18 = (date(2026, 6, 18) - first_day(date(2026, 6, 30))).days
    assert max(range(DAYS), key=weights.__getitem__) == june_18


def test_keys_go_where_their_door_reads_them() -> None:
    seen = set()
    for request in generate(SEED, NOW, KEYS, FEW):
        if request.path == "/batch/":
            assert msgspec.json.decode(request.body)["api_key"] == "wk_web"
        elif request.path.startswith("/sa"):
            assert "token=wk_demo" in request.path
        else:
            assert request.headers["Authorization"].startswith("Basic ")
        seen.add(request.path.partition("?")[0])
        if len(seen) == 3:
            return
    pytest.fail(f"only {seen}")


def test_the_story_goes_on_after_its_period(world: World) -> None:
    later = NOW + timedelta(days=30)
    later_ms = int(later.timestamp() * 1000)

    def told(since: datetime | None) -> list[Event]:
        requests = generate(SEED, later, KEYS, FEW, begun=NOW, since=since)
        return [event for request in requests for parsed in _parsed(request, later_ms) for event in parsed.events]

    since = told(NOW)
    assert all(NOW_MS <= event.occurred_ms < later_ms for event in since)
    by_day = Counter((event.occurred_ms - NOW_MS) // 86_400_000 for event in since)
    before = len([event for event in world.events if event.occurred_ms >= NOW_MS - 28 * 86_400_000]) / 28
    assert set(by_day) == set(range(30))
    assert all(0.2 * before < count < 3 * before for count in by_day.values())

    def named(events: list[Event]) -> Counter[tuple[str, str, int]]:
        return Counter((event.event_id, event.name, event.occurred_ms) for event in events)

    assert max(named(since).values()) == 1
    assert named(told(None)) == named(world.events) + named(since)
    orders = [
        {msgspec.json.decode(event.properties)["order_id"] for event in events if event.name == "order.created"}
        for events in (world.events, since)
    ]
    assert orders[1] and orders[0].isdisjoint(orders[1])
