"""The Segment and RudderStack dialect: fields, traps, bad events beside good ones."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siyu.collect import segment
from siyu.collect.event import Effects, Event, Link
from siyu.collect.parsed import (
    BadJson,
    BatchTooLarge,
    EmptyBatch,
    Limits,
    Parsed,
    RequestTooLarge,
    UnusableBody,
)
from siyu.settings import Settings

LIMITS = Limits.of(Settings())
AT = datetime(2026, 11, 22, 1, 2, 3, 456000, UTC)
AT_MS = int(AT.timestamp() * 1000)
STAMP = "2026-11-22T01:02:03.456Z"
NOW_MS = AT_MS + 60_000


def call(**fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Clicked", "userId": "u1", "messageId": "m1", "timestamp": STAMP} | fields


def parse(value: Any, kind: str | None = None, **settings: Any) -> Parsed:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return segment.parse(body, NOW_MS, Limits.of(Settings(**settings)) if settings else LIMITS, kind)


def one(**fields: Any) -> Event:
    parsed = parse({"batch": [call(**fields)]})
    assert parsed.rejected == []
    (event,) = parsed.events
    return event


def refused(**fields: Any) -> str:
    parsed = parse({"batch": [call(**fields), call()]})
    assert len(parsed.events) == 1
    (letter,) = parsed.rejected
    assert letter.dialect == "segment"
    return letter.code


def test_a_track_call() -> None:
    event = one(properties={"a": 1}, context={"ip": "1.2.3.4"}, anonymousId="a1")
    assert event == Event(
        "m1", "Clicked", AT_MS, "user_id\x1fu1", "anonymous_id\x1fa1", '{"a": 1}', '{"ip": "1.2.3.4"}'
    )


@pytest.mark.parametrize("anonymous", [None, "", "undefined", "0000-0000"])
def test_an_unusable_anonymous_id_is_left_out(anonymous: str | None) -> None:
    assert one(anonymousId=anonymous).others is None


def test_an_empty_list_is_an_empty_object() -> None:
    """As the SDKs for PHP write an empty map."""
    assert one(properties=[], context=[], integrations=[]).properties == "{}"
    assert one(type="identify", traits=[]).properties == "{}"


def test_ids_may_be_numbers() -> None:
    assert one(userId=42).anchor == "user_id\x1f42"
    assert one(userId=42.0).anchor == "user_id\x1f42"


@pytest.mark.parametrize(
    "user", ["", " ", "null", "NaN", "0", "-1", "[object Object]", "x" * 256, "a\u0000b", None, {}, True]
)
def test_who_names_nobody_is_refused(user: Any) -> None:
    assert refused(userId=user, messageId="bad") == "NO_IDENTIFIER"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"event": None}, "NO_EVENT_NAME"),
        ({"event": " "}, "NO_EVENT_NAME"),
        ({"event": "x" * 256}, "BAD_NAME"),
        ({"event": "a\u0000"}, "BAD_NAME"),
        ({"type": "dance"}, "UNKNOWN_TYPE"),
        ({"properties": [1]}, "BAD_PROPERTIES"),
        ({"properties": "text"}, "BAD_PROPERTIES"),
        ({"timestamp": "2026-02-30T00:00:00Z"}, "BAD_TIME"),
        ({"timestamp": "yesterday"}, "BAD_TIME"),
        ({"timestamp": {}}, "BAD_TIME"),
        ({"timestamp": 12}, "BAD_TIME"),
        ({"properties": {"t": "x" * 33_000}}, "EVENT_TOO_LARGE"),
        ({"hidden": "x" * 33_000}, "EVENT_TOO_LARGE"),
        ({"type": "alias", "previousId": "null"}, "NO_IDENTIFIER"),
        ({"type": "alias", "previousId": "p", "userId": None, "anonymousId": "a"}, "NO_IDENTIFIER"),
    ],
)
def test_a_bad_event_beside_a_good_one(fields: dict[str, Any], code: str) -> None:
    assert refused(**fields) == code


def test_deep_json_is_refused_alone() -> None:
    for depth in (80, 900, 100_000):
        deep = b"[" * depth + b"]" * depth
        body = (
            b'{"batch":[' + json.dumps(call(messageId="good")).encode() + b',{"type":"track","event":"x","userId":"u"'
        )
        body += b',"messageId":"deep","properties":{"a":' + deep + b"}}]}"
        parsed = parse(body)
        assert [event.event_id for event in parsed.events] == ["good"]
        assert [letter.code for letter in parsed.rejected] == ["TOO_DEEP" if depth < 16_000 else "EVENT_TOO_LARGE"]


def test_invalid_utf8_is_refused_alone() -> None:
    body = json.dumps({"batch": [call(messageId="bad", properties={"a": "@"}), call()]}).encode().replace(b"@", b"\xff")
    parsed = parse(body)
    assert [event.event_id for event in parsed.events] == ["m1"]
    assert [letter.code for letter in parsed.rejected] == ["BAD_UTF8"]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ('{"a": NaN}', {"a": None}),
        ('{"a": -Infinity, "b": 1}', {"a": None, "b": 1}),
        ('{"a": "\\ud800x"}', {"a": "\ufffdx"}),
        ('{"a": "line\nbreak"}', {"a": "line\nbreak"}),
        ('{"a": "x\\u0000y"}', {"a": "xy"}),
    ],
)
def test_what_strict_json_refuses_is_repaired(sent: str, stored: Any) -> None:
    good, odd = json.dumps(call(messageId="good")), json.dumps(call(messageId="odd", properties="@"))
    parsed = parse(f'{{"batch":[{good},{odd}],"sentAt":"{STAMP}"}}'.replace('"@"', sent).encode())
    assert [event.event_id for event in parsed.events] == ["good", "odd"]
    assert json.loads(parsed.events[1].properties) == stored


def test_huge_integers_are_kept_as_sent() -> None:
    assert one(properties={"n": 10**400}).properties == '{"n": 1' + "0" * 400 + "}"


def test_duplicate_fields_the_last_counts() -> None:
    (event,) = parse(b'{"batch":[{"type":"track","event":"a","event":"b","userId":"u","userId":"v"}]}').events
    assert (event.name, event.anchor) == ("b", "user_id\x1fv")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"x",
        b"{",
        b'"text"',
        b"7",
        b"null",
        b"{}}",
        b'{"batch":{}}',
        b"\x1f\x8b\x00",
        b"[" * 200_000,
        b"\xff\xfe{",
    ],
)
def test_unusable_bodies(body: bytes) -> None:
    with pytest.raises(UnusableBody):
        parse(body)


def test_batches_over_their_limits() -> None:
    with pytest.raises(EmptyBatch):
        parse({"batch": []})
    with pytest.raises(BatchTooLarge):
        parse({"batch": [call()] * 11}, batch_events_max=10)
    with pytest.raises(BatchTooLarge):
        parse({"batch": [call()], "padding": "x" * 2000}, batch_bytes_max=1000)
    with pytest.raises(RequestTooLarge):
        parse(gzip.compress(b" " * 5_000_000))
    with pytest.raises(BadJson):
        parse(b'{"batch":[{"type":"track"')


def test_event_limit_is_exact() -> None:
    fixed = len(json.dumps(call(padding="")).encode())
    fits, over = LIMITS.event_bytes - fixed, LIMITS.event_bytes - fixed + 1
    assert parse({"batch": [call(padding="x" * fits)]}).rejected == []
    assert [letter.code for letter in parse({"batch": [call(padding="x" * over)]}).rejected] == ["EVENT_TOO_LARGE"]


@pytest.mark.parametrize(
    ("stamp", "ms"),
    [
        (STAMP, AT_MS),
        ("2026-11-22T09:02:03.456+08:00", AT_MS),
        ("2026-11-22T01:02:03.456789+00:00", AT_MS),
        ("2026-11-22 01:02:03.456", AT_MS),
        ("2026-11-22T01:02:03Z", AT_MS - 456),
        (AT_MS, AT_MS),
        (AT_MS // 1000, AT_MS - 456),
        (str(AT_MS), AT_MS),
        ("2016-12-31T23:59:60Z", 1483228799000),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_times(stamp: Any, ms: int) -> None:
    event = one(timestamp=stamp)
    assert (event.occurred_ms, event.context) == (ms, "{}")
    assert one(timestamp=None, originalTimestamp=stamp).occurred_ms == ms


@pytest.mark.parametrize("stamp", ["1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
def test_times_that_cannot_be_are_the_time_of_receipt_and_marked(stamp: str) -> None:
    event = one(timestamp=stamp, context={"a": 1})
    assert event.occurred_ms == NOW_MS
    assert json.loads(event.context) == {"$siyu": {"clamped": True, "sent_time": stamp}, "a": 1}


def test_future_within_the_limit_is_kept() -> None:
    ahead = (AT + timedelta(minutes=30)).isoformat()
    assert one(timestamp=ahead).occurred_ms == AT_MS + 30 * 60_000


def test_a_wrong_clock_is_corrected_by_sent_at() -> None:
    wrong = timedelta(days=3, hours=5)
    batch = {
        "batch": [call(timestamp=(AT - wrong).isoformat())],
        "sentAt": (AT - wrong + timedelta(minutes=1)).isoformat(),
    }
    assert parse(batch).events[0].occurred_ms == AT_MS
    late = {
        "batch": [call(timestamp=(AT + wrong).isoformat())],
        "sentAt": (AT + wrong + timedelta(minutes=1)).isoformat(),
    }
    assert parse(late).events[0].occurred_ms == AT_MS
    single = call(timestamp=(AT - wrong).isoformat(), sentAt=(AT - wrong + timedelta(minutes=1)).isoformat())
    assert parse(single).events[0].occurred_ms == AT_MS


def test_without_sent_at_history_keeps_its_time() -> None:
    assert one(timestamp="1999-05-04T00:00:00Z").occurred_ms == 925776000000


def test_without_a_time_it_is_now() -> None:
    assert one(timestamp=None).occurred_ms == NOW_MS


def test_identify_sets_traits_wherever_they_stand() -> None:
    event = one(
        type="identify", event=None, traits={"name": "李", "gone": None, "phone": "138 0013 8000"},
        context={"traits": {"email": "A@X.cn", "name": "old"}},
    )  # fmt: skip
    assert event.name == "identify"
    assert event.effects == Effects(set={"email": "A@X.cn", "name": "李", "phone": "138 0013 8000"}, unset=["gone"])
    assert event.others == "phone\x1f+8613800138000\x1eemail\x1fa@x.cn"
    assert json.loads(event.properties)["name"] == "李"


def test_rudder_identify_has_traits_in_its_context_only() -> None:
    event = one(type="identify", event=None, timestamp=None, originalTimestamp=STAMP, channel="mobile",
                context={"traits": {"plan": "pro"}})  # fmt: skip
    assert event.effects == Effects(set={"plan": "pro"})
    assert (event.end, event.occurred_ms) == ("app", AT_MS)


def test_a_track_with_traits_in_its_context_links_but_sets_nothing() -> None:
    event = one(context={"traits": {"email": "a@x.cn", "plan": "pro"}})
    assert (event.others, event.effects) == ("email\x1fa@x.cn", None)


def test_alias_is_declared() -> None:
    event = one(type="alias", event=None, previousId="old-1")
    assert event.effects == Effects(links=[Link("alias", ["any\x1fold-1", "user_id\x1fu1"])])
    assert (event.anchor, event.others) == ("user_id\x1fu1", None)
    assert one(type="alias", event=None, previousId="u1").effects is None


def test_page_screen_and_group() -> None:
    page = one(type="page", event=None, name="Home", category="Shop", properties={"path": "/"})
    assert (page.name, json.loads(page.properties)) == ("page", {"name": "Home", "category": "Shop", "path": "/"})
    assert json.loads(one(type="screen", event=None, name="Cart").properties) == {"name": "Cart"}
    group = one(type="group", event=None, groupId="g1", traits={"phone": "13800138000"})
    assert (group.name, group.others, group.effects) == ("group", None, None)
    assert json.loads(group.properties) == {"phone": "13800138000", "groupId": "g1"}


def test_the_path_names_the_call() -> None:
    body = call()
    del body["type"]
    assert parse(body, "track").events[0].name == "Clicked"
    del body["event"]
    assert parse(body, "page").events[0].name == "page"


def test_identifiers_of_the_context() -> None:
    event = one(
        context={
            "device": {"id": "D-1"},
            "externalIds": [
                {"type": "unionid", "id": "uX"},
                {"type": "openid:wx1", "id": "oX"},
                {"type": "external_userid:ww1", "id": "eX"},
                {"type": "member_card", "id": 77},
                {"type": "shoe_size", "id": "43"},
                {"type": "unionid", "id": "null"},
                "nonsense",
            ],
        }
    )
    assert event.anchor == "user_id\x1fu1"
    assert event.others == "\x1e".join(
        ["unionid\x1fuX", "external_userid:ww1\x1feX", "openid:wx1\x1foX", "member_card\x1f77", "device\x1fD-1"]
    )


def test_the_strongest_identifier_is_the_anchor() -> None:
    event = one(userId=None, anonymousId="a1", context={"externalIds": [{"type": "unionid", "id": "uX"}]})
    assert (event.anchor, event.others) == ("unionid\x1fuX", "anonymous_id\x1fa1")


def test_touch() -> None:
    event = one(
        context={
            "campaign": {"source": "douyin", "medium": "video", "name": "双11"},
            "page": {"url": "https://shop.cn/?gclid=G1&utm_term=tea", "referrer": "https://www.baidu.com/"},
        }
    )
    assert event.effects == Effects(
        touch={
            "utm_source": "douyin", "utm_medium": "video", "utm_campaign": "双11", "utm_term": "tea",
            "click_id": "gclid:G1", "referrer": "https://www.baidu.com/",
        }
    )  # fmt: skip
    own = one(context={"page": {"url": "https://shop.cn/a", "referrer": "https://shop.cn/b"}})
    assert own.effects is None
    assert one(properties={"utm_source": "wx"}).effects == Effects(touch={"utm_source": "wx"})
    code = one(event="wecom.contact_added", properties={"state": "dy"})
    assert code.effects == Effects(touch={"state": "dy"})
    assert one(properties={"state": "CA"}).effects is None


def test_consent_and_tags() -> None:
    stamped = one(context={"consent": {"categoryPreferences": {"Advertising": False, "Analytics": True}}})
    assert stamped.effects == Effects(
        consent=[{"purpose": "Advertising", "granted": False}, {"purpose": "Analytics", "granted": True}]
    )
    given_ = one(event="consent.updated", properties={"purpose": "marketing", "channel": "sms", "granted": True})
    assert given_.effects == Effects(consent=[{"purpose": "marketing", "channel": "sms", "granted": True}])
    assert one(event="tag.added", properties={"tag": "广州/天河店"}).effects == Effects(tags_add=["广州/天河店"])
    assert one(event="tag.removed", properties={"tags": ["a", "b"]}).effects == Effects(tags_remove=["a", "b"])


@pytest.mark.parametrize(
    ("name", "properties", "value"),
    [
        ("order.paid", {"amount_fen": 1990}, 1990),
        ("Order Completed", {"total": 19.9}, 1990),
        ("Order Completed", {"revenue": "1,299.99"}, 129999),
        ("Order Completed", {"total": 0.29, "currency": "USD"}, 0),
        ("order.refunded", {"amount_fen": 500}, -500),
        ("Order Refunded", {"total": 10}, -1000),
        ("Clicked", {"total": 10}, 0),
        ("order.paid", {"amount_fen": "many"}, 0),
    ],
)
def test_money(name: str, properties: dict[str, Any], value: int) -> None:
    assert one(event=name, properties=properties).value_fen == value


@pytest.mark.parametrize(
    ("context", "channel", "end"),
    [
        ({"end": "store"}, None, "store"),
        ({"end": "store", "library": {"name": "analytics.js"}}, "web", "store"),
        ({"library": {"name": "analytics.js"}}, None, "web"),
        ({"library": {"name": "com.rudderstack.android.sdk.core"}}, None, "app"),
        ({"library": {"name": "analytics-python"}}, None, ""),
        ({"library": {"name": "RudderLabs JavaScript SDK"}}, "web", "web"),
        ({}, "mobile", "app"),
        ({}, "server", ""),
    ],
)
def test_ends(context: dict[str, Any], channel: str | None, end: str) -> None:
    assert one(context=context, channel=channel).end == end


def test_message_ids() -> None:
    same = [one(messageId=None).event_id for _ in range(2)]
    assert same[0] == same[1]
    assert one(messageId=None, event="Other").event_id != same[0]
    assert len(one(messageId="x" * 300).event_id) == 32
    first = segment.parse(json.dumps(call(messageId=None, timestamp=None)).encode(), NOW_MS, LIMITS)
    again = segment.parse(json.dumps(call(messageId=None, timestamp=None)).encode(), NOW_MS + 1, LIMITS)
    assert first.events[0].event_id != again.events[0].event_id


def test_a_batch_context_lies_beneath_each_items_own() -> None:
    batch = {"batch": [call(context={"a": 1}), call(context={"end": "app"})], "context": {"end": "store", "a": 0}}
    first, second = parse(batch).events
    assert (json.loads(first.context), first.end) == ({"end": "store", "a": 1}, "store")
    assert (json.loads(second.context), second.end) == ({"end": "app", "a": 0}, "app")


def test_keys_in_the_body() -> None:
    assert parse({"batch": [call()], "writeKey": "wk"}).keys == ("wk",)
    assert parse(call(writeKey="wk")).keys == ("wk",)
    assert parse(json.dumps({"batch": [call(userId={})], "writeKey": "wk"}).encode()).keys == ("wk",)


texts = st.text(max_size=20) | st.sampled_from(["u1", "null", "0", "user-77", "+8613800138000"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
stamps = st.sampled_from([STAMP, None, AT_MS, "2026-11-22 01:02:03", "x", "2999-01-01T00:00:00Z", {}, -1, 1e300])
items = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["track", "track", "identify", "page", "group", "alias", "x"]) | values,
        "event": texts | values,
        "userId": texts | values,
        "anonymousId": texts | values,
        "messageId": texts | values,
        "timestamp": stamps | values,
        "properties": st.dictionaries(texts, values, max_size=3) | values,
        "context": st.dictionaries(texts, values, max_size=3) | values,
        "traits": st.dictionaries(texts, values, max_size=3) | values,
        "previousId": values,
    },
)


@settings(deadline=None)
@given(st.lists(items | values, max_size=4))
def test_no_batch_raises_or_loses_a_good_event(batch: list[Any]) -> None:
    parsed = parse({"batch": [*batch, call(messageId="good")], "sentAt": STAMP})
    assert len(parsed.events) + len(parsed.rejected) == len(batch) + 1
    assert parsed.events[-1].event_id == "good"
    for event in parsed.events:
        assert isinstance(json.loads(event.properties), dict)
        assert isinstance(json.loads(event.context), dict)
        assert event.anchor
        assert 0 <= event.occurred_ms <= NOW_MS + LIMITS.future_ms


@settings(deadline=None)
@given(st.lists(items, min_size=1, max_size=4))
def test_the_quick_way_and_the_careful_way_agree(batch: list[dict[str, Any]]) -> None:
    plain = [item | {"type": "track"} for item in batch]
    careful = parse(json.dumps({"batch": [*plain, {"type": {}}]}).encode())
    assert parse({"batch": plain}).events == careful.events


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_noise_never_raises_anything_else(noise: bytes) -> None:
    for body in (noise, b"\x1f\x8b" + noise, b'{"batch":[' + noise + b"]}", gzip.compress(noise)):
        try:
            parsed = parse(body)
        except (UnusableBody, RequestTooLarge):
            continue
        assert parsed.events or parsed.rejected
