"""The PostHog dialect: bodies, identities, changes of persons, traps."""

from __future__ import annotations

import base64
import gzip
import json
import urllib.parse
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siyu.collect import posthog
from siyu.collect.event import Effects, Event, Link
from siyu.collect.parsed import EmptyBatch, Limits, Parsed, RequestTooLarge, UnusableBody
from siyu.settings import Settings

LIMITS = Limits.of(Settings())
STAMP = "2026-11-22T01:02:03.456Z"
AT_MS = 1_795_309_323_456
NOW_MS = AT_MS + 60_000


def event_of(**fields: Any) -> dict[str, Any]:
    return {"event": "clicked", "distinct_id": "u1", "uuid": "e1", "timestamp": STAMP, "properties": {}} | fields


def parse(value: Any) -> Parsed:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return posthog.parse(body, NOW_MS, LIMITS)


def one(**fields: Any) -> Event:
    parsed = parse({"api_key": "k", "batch": [event_of(**fields)]})
    assert parsed.rejected == []
    return parsed.events[0]


def test_an_empty_list_is_an_empty_object() -> None:
    assert one(properties=[]).properties == "{}"


def test_bodies() -> None:
    single, batch = event_of(api_key="k"), {"api_key": "k", "batch": [event_of()]}
    for value in (single, batch, [single]):
        raw = json.dumps(value).encode()
        encoded = base64.b64encode(raw)
        forms = (urllib.parse.urlencode({"data": data}).encode() for data in (encoded, raw))
        for body in (raw, gzip.compress(raw), encoded, *forms):
            parsed = parse(body)
            assert (parsed.keys, [event.event_id for event in parsed.events]) == (("k",), ["e1"])


def test_keys_inside_events() -> None:
    assert parse(event_of(properties={"token": "k2"})).keys == ("k2",)
    assert parse({"token": "k3", "batch": [event_of()]}).keys == ("k3",)


@pytest.mark.parametrize(
    ("fields", "anchor", "others"),
    [
        ({}, "user_id\x1fu1", None),
        ({"properties": {"$is_identified": False}}, "anonymous_id\x1fu1", None),
        ({"properties": {"$device_id": "u1"}}, "anonymous_id\x1fu1", "device\x1fu1"),
        ({"properties": {"$device_id": "d1"}}, "user_id\x1fu1", "device\x1fd1"),
        ({"event": "$identify", "properties": {"$anon_distinct_id": "a1"}}, "user_id\x1fu1", "anonymous_id\x1fa1"),
        ({"$set": {"email": "A@X.cn", "phone": "13800138000"}}, "user_id\x1fu1",
         "phone\x1f+8613800138000\x1eemail\x1fa@x.cn"),
    ],
)  # fmt: skip
def test_identifiers(fields: dict[str, Any], anchor: str, others: str | None) -> None:
    event = one(**fields)
    assert (event.anchor, event.others) == (anchor, others)


@pytest.mark.parametrize("name", ["$create_alias", "$merge_dangerously"])
def test_aliases_are_declared(name: str) -> None:
    event = one(event=name, properties={"alias": "old"})
    assert event.effects == Effects(links=[Link("alias", ["any\x1fold", "user_id\x1fu1"])])


def test_person_changes() -> None:
    inside = one(event="$set", properties={"$set": {"a": 1, "b": None}, "$set_once": {"c": 2}, "$unset": ["d"]})
    assert inside.effects == Effects(set={"a": 1}, set_once={"c": 2}, unset=["b", "d"])
    assert one(**{"$set": {"a": 1}}).effects == Effects(set={"a": 1})


def test_times_and_ids() -> None:
    assert one().occurred_ms == AT_MS
    assert one(timestamp=None, offset=5000).occurred_ms == NOW_MS - 5000
    late = {"batch": [event_of(timestamp="2026-11-20T01:02:03.456Z")], "sent_at": "2026-11-20T01:03:03.456Z"}
    assert parse(late).events[0].occurred_ms == AT_MS
    assert one(uuid=None).event_id == one(uuid=None).event_id


def test_a_uuid_is_one_in_capitals_too() -> None:
    uuid = "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"
    assert one(uuid=uuid.upper()).event_id == one(uuid=uuid).event_id == uuid
    assert one(uuid=None, **{"$insert_id": uuid.upper()}).event_id == uuid
    assert one(uuid="Order-17").event_id == "Order-17"  # no UUID: capitals may tell two apart


def test_ends_and_touch() -> None:
    event = one(event="$pageview", properties={"$lib": "web", "utm_source": "wx", "$referrer": "$direct", "gclid": "G"})
    assert (event.end, event.effects) == ("web", Effects(touch={"utm_source": "wx", "click_id": "gclid:G"}))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"event": None}, "NO_EVENT_NAME"),
        ({"distinct_id": "undefined"}, "NO_IDENTIFIER"),
        ({"timestamp": "soon"}, "BAD_TIME"),
        ({"properties": 7}, "BAD_PROPERTIES"),
        ({"properties": {"a": "x" * 33_000}}, "EVENT_TOO_LARGE"),
        ({"event": "$create_alias"}, "NO_IDENTIFIER"),
    ],
)
def test_a_bad_event_beside_a_good_one(fields: dict[str, Any], code: str) -> None:
    parsed = parse({"batch": [event_of(**fields), event_of()]})
    assert (len(parsed.events), [letter.code for letter in parsed.rejected]) == (1, [code])


@pytest.mark.parametrize("body", [b"", b"{", b"7", b'{"batch":7}', b"data=", b"\x1f\x8b"])
def test_unusable_bodies(body: bytes) -> None:
    with pytest.raises(UnusableBody):
        parse(body)


def test_an_empty_batch() -> None:
    with pytest.raises(EmptyBatch):
        parse({"batch": []})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
names = ("event", "distinct_id", "properties", "timestamp", "uuid", "$set", "$set_once", "$unset", "offset", "token")


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(names), values) | values, max_size=4))
def test_no_body_raises_or_loses_a_good_event(batch: list[Any]) -> None:
    parsed = parse({"batch": [*batch, event_of(event="good")]})
    assert len(parsed.events) + len(parsed.rejected) == len(batch) + 1
    assert parsed.events[-1].name == "good"


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_noise(noise: bytes) -> None:
    for body in (noise, b"data=" + noise, b'{"batch":[' + noise + b"]}"):
        try:
            parsed = parse(body)
        except (UnusableBody, RequestTooLarge):
            continue
        # What can be read is kept or set aside with a reason, never passed over.
        assert parsed.events or parsed.rejected
        assert all(letter.code and letter.body for letter in parsed.rejected)


def test_nul_is_taken_out_everywhere() -> None:
    event = one(properties={"a\x00b": "x\x00", "$set": {"n\x00": "y\x00"}})
    assert event.effects == Effects(set={"n": "y"})
    assert json.loads(event.properties)["ab"] == "x"
