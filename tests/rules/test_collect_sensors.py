"""The Sensors (神策) dialect: message types, identities, bodies of every SDK, and the traps."""

from __future__ import annotations

import base64
import gzip
import json
import urllib.parse
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siyu.collect import sensors
from siyu.collect.event import Effects, Event, Link
from siyu.collect.loose_json import depth_over, surely_flat
from siyu.collect.parsed import DEPTH_MAX, Limits, Parsed, RequestTooLarge, UnusableBody
from siyu.collect.sensors import java_hash
from siyu.collect.sensors_identity import who_of, who_tracked
from siyu.settings import Settings

LIMITS = Limits.of(Settings())
AT_MS = 1_795_309_323_456
NOW_MS = AT_MS + 60_000
MP_ID = "1795312296794-9341049-05244204ea94314-33269622"


def message(**fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "ViewProduct", "distinct_id": MP_ID, "time": AT_MS, "properties": {}} | fields


def form(value: Any, *, zipped: bool, name: str) -> bytes:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urllib.parse.urlencode({name: base64.b64encode(gzip.compress(raw) if zipped else raw)}).encode()


def parse(value: Any) -> list[Parsed]:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return sensors.parse(body, NOW_MS, LIMITS)


def one(**fields: Any) -> Event:
    (parsed,) = parse([message(**fields)])
    assert parsed.rejected == []
    (event,) = parsed.events
    return event


def identifiers(event: Event) -> list[str]:
    return [event.anchor, *(event.others or "").split("\x1e")] if event.others else [event.anchor]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["data", "data_list"])
def test_bodies_of_all_sdks(zipped: bool, name: str) -> None:
    value = [message()] if name == "data_list" else message()
    plain = form(value, zipped=zipped, name=name)
    unescaped = plain.replace(b"%2B", b"+").replace(b"%2F", b"/").replace(b"%3D", b"=")
    json_field = urllib.parse.urlencode({name: json.dumps(value)}).encode()
    for body in (plain, unescaped, plain + b"&gzip=1", b"gzip=0&" + plain, gzip.compress(plain), json_field):
        (parsed,) = parse(body)
        assert [event.name for event in parsed.events] == ["ViewProduct"]


def test_the_crc_of_the_web_sdk() -> None:
    assert java_hash("") == 0
    assert java_hash("hello") == 99162322
    assert java_hash("polygenelubricants") == -(2**31)
    data = base64.b64encode(json.dumps(message()).encode()).decode()
    right = urllib.parse.urlencode({"data": data, "ext": f"crc={java_hash(data)}"}).encode()
    wrong = urllib.parse.urlencode({"data": data, "ext": "crc=1"}).encode()
    assert "$siyu" not in parse(right)[0].events[0].context
    assert json.loads(parse(wrong)[0].events[0].context)["$siyu"] == {"crc": "wrong"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [f"anonymous_id\x1f{MP_ID}"]),
        ({"distinct_id": "u1", "login_id": "u1"}, ["user_id\x1fu1"]),
        ({"distinct_id": "u1", "properties": {"$is_login_id": True}}, ["user_id\x1fu1"]),
        ({"distinct_id": "u1", "identities": {"$identity_login_id": "u1"}}, ["user_id\x1fu1"]),
        ({"distinct_id": "a", "anonymous_id": "a", "login_id": "u1"}, ["user_id\x1fu1", "anonymous_id\x1fa"]),
        ({"distinct_id": "$identity_mobile+13800138000"}, ["phone\x1f+8613800138000"]),
        ({"distinct_id": "$identity_mp_wx1_openid+oX"}, ["openid:wx1\x1foX"]),
        (
            {"distinct_id": "u1", "identities": {
                "$identity_login_id": "u1", "$identity_mobile": "13800138000", "$identity_email": "A@X.cn",
                "$identity_mp_unionid": "uX", "$identity_mp_wx1_openid": "oX", "$identity_mp_id": "m",
                "$identity_cookie_id": "c", "$identity_anonymous_id": "null"}},
            ["user_id\x1fu1", "unionid\x1fuX", "openid:wx1\x1foX", "phone\x1f+8613800138000", "email\x1fa@x.cn",
             "anonymous_id\x1fm", "anonymous_id\x1fc"],
        ),
    ],
)  # fmt: skip
def test_identifiers(fields: dict[str, Any], expected: list[str]) -> None:
    event = one(**fields)
    assert identifiers(event) == expected
    assert event.effects is None


def test_a_bare_distinct_id_binds_like_an_alias() -> None:
    event = one(distinct_id="user1")
    assert event.anchor == "anonymous_id\x1fuser1"
    assert event.effects == Effects(links=[Link("alias", ["any\x1fuser1", "anonymous_id\x1fuser1"])])
    assert one(distinct_id="user1", properties={"$is_login_id": False}).effects is None


def test_signup_links_login_and_original() -> None:
    event = one(type="track_signup", event="$SignUp", distinct_id="u1", original_id="a1")
    assert identifiers(event) == ["user_id\x1fu1", "anonymous_id\x1fa1"]
    assert event.effects is not None
    assert event.effects.links == [
        Link("alias", ["any\x1fu1", "user_id\x1fu1"]), Link("bind", ["user_id\x1fu1", "anonymous_id\x1fa1"]),
    ]  # fmt: skip


def test_bind_links_all_identities() -> None:
    event = one(
        type="track_id_bind", event="$BindID", identities={"$identity_mp_id": MP_ID, "$identity_mp_wx1_openid": "oX"}
    )
    assert event.effects == Effects(links=[Link("bind", [f"anonymous_id\x1f{MP_ID}", "openid:wx1\x1foX"])])
    assert identifiers(event) == ["openid:wx1\x1foX", f"anonymous_id\x1f{MP_ID}"]


def test_unbind_never_joins_what_it_parts() -> None:
    event = one(type="track_id_unbind", event="$UnbindID", distinct_id="u1", login_id="u1",
                identities={"$identity_mobile": "13800138000"})  # fmt: skip
    assert identifiers(event) == ["user_id\x1fu1"]
    assert event.effects == Effects(links=[Link("unbind", ["phone\x1f+8613800138000", "user_id\x1fu1"])])
    python = one(type="track_id_unbind", event="$UnbindID", distinct_id="$identity_mobile+13800138000",
                 identities={"$identity_mobile": "13800138000"})  # fmt: skip
    assert identifiers(python) == ["phone\x1f+8613800138000"]
    assert python.effects == Effects(links=[Link("unbind", ["phone\x1f+8613800138000"])])


def test_an_undeclared_identity_is_stored_and_reported() -> None:
    event = one(identities={"$identity_mp_id": MP_ID, "shoe_size": "43"})
    assert identifiers(event) == [f"anonymous_id\x1f{MP_ID}"]
    context = json.loads(event.context)
    assert context["$siyu"] == {"unknown_identities": ["shoe_size"]}
    assert context["identities"]["shoe_size"] == "43"


def test_odd_names_are_stored_and_reported() -> None:
    event = one(event="date", properties={"user_tag_x": 1, "好": 2, "fine": 3, "$lib": "js"})
    assert (event.name, event.end) == ("date", "web")
    assert json.loads(event.context)["$siyu"] == {"odd_names": ["date", "user_tag_x", "好"]}


@pytest.mark.parametrize(
    ("kind", "properties", "effects"),
    [
        ("profile_set", {"city": "广州", "x": None, "$is_login_id": True}, Effects(set={"city": "广州"}, unset=["x"])),
        ("profile_set_once", {"first": 1}, Effects(set_once={"first": 1})),
        ("profile_increment", {"n": 2, "m": "x"}, Effects(increment={"n": 2})),
        ("profile_append", {"likes": ["tea"], "one": "x"}, Effects(append={"likes": ["tea"], "one": ["x"]})),
        ("profile_unset", {"a": True, "b": None}, Effects(unset=["a", "b"])),
        ("profile_delete", {}, Effects(delete=True)),
    ],
)
def test_profiles(kind: str, properties: dict[str, Any], effects: Effects) -> None:
    event = one(type=kind, event=None, properties=properties)
    assert (event.name, event.effects) == (kind, effects)


def test_items_are_stored_without_touching_a_person() -> None:
    raw = {"type": "item_set", "item_type": "tea", "item_id": "S1", "time": AT_MS, "properties": {"price": 3}}
    (parsed,) = parse(raw)
    (event,) = parsed.events
    assert (event.name, event.anchor, event.effects) == ("item_set", sensors.THINGS, None)
    assert json.loads(event.properties) == {"price": 3, "item_type": "tea", "item_id": "S1"}


@pytest.mark.parametrize(
    ("time", "ms"),
    [
        (AT_MS, AT_MS),
        (AT_MS // 1000, AT_MS // 1000 * 1000),
        (str(AT_MS), AT_MS),
        (float(AT_MS), AT_MS),
        ("2026-11-22 09:02:03.7", AT_MS - 456 + 7),
        ("2026-11-22 09:02:03.456", AT_MS),
        ("2026-11-22 09:02:03", AT_MS - 456),
        ("2026-11-22T01:02:03.456Z", AT_MS),
    ],
)
def test_times(time: Any, ms: int) -> None:
    assert one(time=time).occurred_ms == ms


def test_the_clock_is_corrected_by_the_flush_time() -> None:
    assert one(time=AT_MS - 9_000_000, _flush_time=NOW_MS - 9_000_000).occurred_ms == AT_MS
    assert one(time=None).occurred_ms == NOW_MS
    future = one(time=AT_MS + 10**11)
    assert (future.occurred_ms, json.loads(future.context)["$siyu"]["clamped"]) == (NOW_MS, True)


def test_content_is_the_identity_of_a_message() -> None:
    first, again = one(_track_id=5), one(_track_id=5, _flush_time=NOW_MS)
    assert first.event_id == again.event_id
    others = [one(_track_id=6), one(time=AT_MS + 1), one(properties={"a": 1}), one(distinct_id="x"), one(event="y")]
    assert len({event.event_id for event in [first, *others]}) == 6


def test_keys_inside_messages_part_the_body() -> None:
    parts = parse([message(), message(token="t1", project="p1"), message(project="p2"), message()])
    assert [(part.keys, len(part.events)) for part in parts] == [((), 2), (("t1", "p1"), 1), (("p2",), 1)]
    assert all("token" not in event.context for part in parts for event in part.events)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"type": "nonsense"}, "UNKNOWN_TYPE"),
        ({"event": ""}, "NO_EVENT_NAME"),
        ({"distinct_id": "null"}, "NO_IDENTIFIER"),
        ({"distinct_id": None}, "NO_IDENTIFIER"),
        ({"distinct_id": "x" * 256}, "NO_IDENTIFIER"),
        ({"time": "never"}, "BAD_TIME"),
        ({"time": 5}, "BAD_TIME"),
        ({"properties": [1]}, "BAD_PROPERTIES"),
        ({"properties": {"a": "x" * 33_000}}, "EVENT_TOO_LARGE"),
    ],
)
def test_a_bad_message_beside_a_good_one(fields: dict[str, Any], code: str) -> None:
    (parsed,) = parse([message(**fields), message()])
    assert len(parsed.events) == 1
    assert [(letter.code, letter.dialect) for letter in parsed.rejected] == [(code, "sensors")]
    assert parsed.rejected[0].body == json.dumps(message(**fields), separators=(",", ":")).encode()[:32_768]


def test_one_broken_message_leaves_the_others() -> None:
    good = json.dumps(message(_track_id=1)).encode()
    deep = (
        json.dumps(message())
        .encode()
        .replace(b'"properties": {}', b'"properties": {"a": ' + b"[" * 500 + b"]" * 500 + b"}")
    )
    for broken, code in (
        (deep, "TOO_DEEP"),
        (b'{"a": tru}', "BAD_JSON"),
        (b'{"a": "\xff"}', "BAD_UTF8"),
        (b"7", "NOT_AN_OBJECT"),
    ):
        (parsed,) = parse(b"[" + good + b"," + broken + b"," + good + b"]")
        assert len(parsed.events) == 2
        assert [letter.code for letter in parsed.rejected] == [code]


@pytest.mark.parametrize("body", [b"", b"data=", b"data=%%%", b"data=AAAA", b"[]", b"{", b"hello world!", b"\x1f\x8bx"])
def test_unusable_bodies(body: bytes) -> None:
    with pytest.raises(UnusableBody):
        parse(body)


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(RequestTooLarge):
        parse(form(b" " * 50_000_000, zipped=True, name="data"))


def test_touch_of_a_mini_program() -> None:
    launch = one(event="$MPLaunch", properties={"$scene": "wx-1047", "$url_query": "scene=dy&utm_source=douyin",
                                                "$latest_utm_source": "old", "$latest_scene": "wx-1001",
                                                "$share_distinct_id": "friend"})  # fmt: skip
    assert launch.effects == Effects(
        touch={"scene": "wx-1047", "state": "dy", "utm_source": "douyin", "inviter": "friend"}
    )
    web = one(event="$pageview", properties={"$latest_utm_source": "wx", "$latest_referrer": "https://www.baidu.com/s",
                                             "$referrer": "取值异常", "$url": "https://shop.cn/"})  # fmt: skip
    assert web.effects == Effects(touch={"utm_source": "wx", "referrer": "https://www.baidu.com/s"})


def test_money() -> None:
    assert one(event="PayOrder", properties={"order_actual_amount": 19.9}).value_fen == 1990


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["track", "profile_set", "track_id_bind", "track_id_unbind", "track_signup"]) | values,
        "event": values,
        "distinct_id": values,
        "login_id": values,
        "anonymous_id": values,
        "original_id": values,
        "identities": st.dictionaries(st.sampled_from(["$identity_mobile", "$identity_mp_id", "x"]), values) | values,
        "properties": values,
        "lib": values,
        "time": values,
        "_flush_time": values,
        "token": values,
    },
)


@settings(deadline=None)
@given(st.lists(messages | values, max_size=4))
def test_no_body_raises_or_loses_a_good_message(batch: list[Any]) -> None:
    parts = parse([*batch, message(event="Good")])
    assert sum(len(part.events) + len(part.rejected) for part in parts) == len(batch) + 1
    assert any(event.name == "Good" for part in parts for event in part.events)


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_noise(noise: bytes) -> None:
    for body in (noise, b"data=" + noise, b"data_list=" + base64.b64encode(noise), b"[" + noise + b"]"):
        try:
            parts = parse(body)
        except (UnusableBody, RequestTooLarge):
            continue
        assert any(part.events or part.rejected for part in parts)


def test_nul_is_taken_out_everywhere() -> None:
    event = one(event="PayOrder", properties={"a\x00b": "x\x00"}, lib={"$lib": "js", "v": "\x00"})
    assert "\\u0000" not in event.properties + event.context
    assert json.loads(event.properties) == {"ab": "x"}


_TEXTS = st.sampled_from(
    ["", " ", "0", "u1", "u2", "null", "$identity_mobile+13800138000", "1712345678901-12345678-abc"]
)
_ANYTHING = st.one_of(_TEXTS, st.none(), st.booleans(), st.integers(0, 2), st.floats(0, 2))


@given(
    st.dictionaries(st.sampled_from(["distinct_id", "login_id", "anonymous_id", "original_id"]), _ANYTHING, max_size=4),
    st.one_of(
        _ANYTHING,
        st.lists(_TEXTS, max_size=2),
        st.dictionaries(
            st.sampled_from(["$identity_login_id", "$identity_mobile", "$identity_mp_wx1_openid", "$identity_x", "+"]),
            st.one_of(_ANYTHING, st.lists(_TEXTS, max_size=2)),
            max_size=3,
        ),
    ),
    st.one_of(st.just({}), st.fixed_dictionaries({"$is_login_id": _ANYTHING})),
)
def test_whom_a_track_message_names_is_remembered_as_it_was_worked_out(
    message: dict[str, Any], identities: object, properties: dict[str, Any]
) -> None:
    message = {**message, "identities": identities}
    assert who_tracked(message, properties) == who_of(message, properties, "track")


@given(st.recursive(st.text("[]{}", max_size=3), lambda inner: st.lists(inner, min_size=1, max_size=2), max_leaves=80))
def test_a_text_taken_for_flat_is_flat(value: object) -> None:
    for levels in (0, DEPTH_MAX - 10, DEPTH_MAX - 1, DEPTH_MAX, DEPTH_MAX + 1):
        nested = value
        for level in range(levels):
            nested = [nested] if level % 2 else {"a": nested}
        assert not (surely_flat(msgspec.json.encode(nested)) and depth_over(nested, DEPTH_MAX))


def test_an_empty_list_is_an_empty_object() -> None:
    """As PHP writes an empty map."""
    (parsed,) = parse([message(properties=[], identities=[], lib=[])])
    assert (parsed.events[0].properties, parsed.rejected) == ("{}", [])
