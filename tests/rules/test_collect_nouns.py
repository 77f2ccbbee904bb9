"""Identifiers, times, bodies, loose JSON, money, credentials, frames: the pure nouns of the doors."""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siyu.collect import catalogue, catalogue_page, loose_json
from siyu.collect.body import gunzip, unbase64, unwrap
from siyu.collect.credentials import header_keys, query_keys
from siyu.collect.event import Effects, Event, Rejected
from siyu.collect.frame import Arrival, decode_frame, dedupe_hash, effects_decoder, encode_frame
from siyu.collect.http import ROUTES
from siyu.collect.identifiers import (
    arrange,
    blocked,
    clean_key,
    clean_value,
    email_address,
    known_kind,
    phone_number,
    plain,
)
from siyu.collect.instants import common_ms, epoch_ms, settle, skew_ms
from siyu.collect.parsed import BadCompression, RequestTooLarge, UnusableBody
from siyu.collect.pixel import segment_body


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "0", "00", "0000-0000", "00000000-0000-0000-0000-000000000000", "-", "-1", "null", "NULL", "None",
        "nan", "NaN", "undefined", "Undefined", "anonymous", "unknown", "guest", "test", "[object Object]", "{}",
        "false", "a\x00b", "a\nb", "x" * 256, "游客", "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "\u200b", "\ufeff \u2060", "\ufeffnull", "0\u200b0",
    ],
)  # fmt: skip
def test_values_that_name_nobody(value: str) -> None:
    for kind in ("user_id", "unionid", "openid:wx1", "anonymous_id", "device", "phone", "email"):
        assert blocked(kind, value)
        assert clean_value(kind, value) is None
    assert not plain(value)


@pytest.mark.parametrize("value", ["u1", "10", "guest-7", "李雷", "a b", "0x1", "x" * 255, "nano", "-1a", "1-0"])
def test_values_that_name_somebody(value: str) -> None:
    assert not blocked("user_id", value)
    assert clean_value("user_id", value) == value


@settings(deadline=None)
@given(st.text(max_size=60))
def test_plain_values_stay_as_they_are(value: str) -> None:
    if plain(value):
        assert clean_key("user_id", value) == "user_id\x1f" + value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("13800138000", "+8613800138000"),
        ("+86 138-0013-8000", "+8613800138000"),
        ("0086 138 0013 8000", "+8613800138000"),
        ("8613800138000", "+8613800138000"),
        ("１３８００１３８０００", "+8613800138000"),
        ("\u202d138 0013 8000\u202c", "+8613800138000"),  # as contacts of Windows and of phones put it on the clipboard
        ("\ufeff138\u200b00138000", "+8613800138000"),
        ("TEL:+86-138-0013-8000", "+8613800138000"),
        ("\u200b\u202c", None),
        ("010-12345678", "+861012345678"),
        ("+1 (415) 555-2671", "+14155552671"),
        ("+44 (0)20 7946 0958", "+442079460958"),
        ("138****8000", None),
        ("12345", None),
        ("+8613800", None),
        ("phone", None),
        ("", None),
    ],
)
def test_phone_numbers(text: str, number: str | None) -> None:
    assert phone_number(text) == number


@settings(deadline=None)
@given(st.text("0123456789+-() ", max_size=20))
def test_a_phone_number_has_one_spelling(text: str) -> None:
    number = phone_number(text)
    assert number is None or phone_number(number) == number


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" A@X.Cn ", "a@x.cn"),
        ("a＠x.cn", "a@x.cn"),
        ("\ufeffa@x.cn\u200b", "a@x.cn"),
        ("a@", None),
        ("a b@x.cn", None),
        ("a@b@c", None),
        ("<a@x.cn>", None),
    ],
)
def test_email_addresses(text: str, address: str | None) -> None:
    assert email_address(text) == address


def test_kinds() -> None:
    known = ["user_id", "unionid", "openid:wx1", "openid", "external_userid:ww1", "phone", "member_card", "device"]
    assert all(known_kind(kind) for kind in known)
    assert not any(known_kind(kind) for kind in ["", "openid:", "user_id:x", "idfa", "openid:a b", "any"])


def test_arrange() -> None:
    assert arrange([None, "device\x1fd", "user_id\x1fu", "device\x1fd"]) == ("user_id\x1fu", "device\x1fd")
    assert arrange([None]) is None


SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("2026-11-22T01:02:03.123Z", 1795309323123),
        ("2026-11-22t01:02:03z", 1795309323000),
        ("2026-11-22 09:02:03", 1795309323000),
        ("2026-11-22T09:02:03.7", 1795309323700),
        ("2026/11/22 9:02", 1795309320000),
        ("2026-11-22", 1795276800000),
        ("20261122", 1795276800000),
        ("2026-11-22T01:02:03.123456789Z", 1795309323123),
        ("2026-11-22T01:02:03+0000", 1795309323000),
        (1795309323, 1795309323000),
        (1795309323.5, 1795309323500),
        ("1795309323123", 1795309323123),
        (1795309323123456, 1795309323123),
        (1795309323123456789, 1795309323123),
        ("1969-12-31T23:59:59.500Z", -500),
        *((bad, None) for bad in (None, True, {}, "", "x", "2026-13-01", "2026-02-29", "25:00", -1, 0, 7, 1e30,
                                  float("nan"), float("inf"), "99999999999999999999999999")),
    ],
)  # fmt: skip
def test_times(value: Any, ms: int | None) -> None:
    assert epoch_ms(value, SHANGHAI) == ms


def test_the_python_sensors_sdk_does_not_pad_milliseconds() -> None:
    assert epoch_ms("2026-11-22 09:02:03.7", SHANGHAI, unpadded_ms=True) == 1795309323007
    assert epoch_ms("2026-11-22 09:02:03.70", SHANGHAI, unpadded_ms=True) == 1795309323070


@settings(deadline=None)
@given(
    st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
)
def test_every_iso_time(naive: datetime, offset_min: int, precision: str) -> None:
    instant = naive.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    text = instant.isoformat(timespec=precision)
    expected = (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert epoch_ms(text) == expected
    assert common_ms(text) in (None, expected)


def test_clock_skew() -> None:
    assert skew_ms(None, 10_000_000_000_000) == 0
    assert skew_ms("nonsense", 10_000_000_000_000) == 0
    assert skew_ms(1795309323123, 1795309323123 + 900) == 0
    assert skew_ms(1795309323123, 1795309323123 - 5000) == -5000
    assert settle(5000, 0, 4000, 1000) == (5000, False)
    assert settle(5001, 0, 4000, 1000) == (4000, True)
    assert settle(-1, 0, 4000, 1000) == (4000, True)


def test_gzip_members_limits_and_damage() -> None:
    assert gunzip(gzip.compress(b"a") + gzip.compress(b"b"), 100) == b"ab"
    with pytest.raises(RequestTooLarge):
        gunzip(gzip.compress(b"x" * 101), 100)
    assert gunzip(gzip.compress(b"x" * 100), 100) == b"x" * 100
    for damaged in (gzip.compress(b"x" * 50)[:-9], b"\x1f\x8b", b"\x1f\x8b\x08" + b"\xff" * 20):
        with pytest.raises(BadCompression):
            gunzip(damaged, 100)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=60))
def test_base64_in_every_disguise(raw: bytes) -> None:
    plain_text = base64.b64encode(raw)
    for text in (plain_text, plain_text.rstrip(b"="), base64.urlsafe_b64encode(raw), plain_text.replace(b"+", b" ")):
        assert unbase64(text) == raw


def test_wrappings() -> None:
    value = b'{"a":1}'
    for body in (value, b"\xef\xbb\xbf" + value, gzip.compress(base64.b64encode(gzip.compress(value))), b" \n" + value):
        assert unwrap(body, 1000).strip() == value
    nested = value
    for _ in range(9):
        nested = gzip.compress(nested)
    for body in (nested, zlib.compress(value)[2:], b"hello, world"):
        with pytest.raises(UnusableBody):
            unwrap(body, 1000)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.integers(), max_size=3), max_size=5))
def test_items_are_found_by_brackets_alone(items: list[Any]) -> None:
    body = json.dumps({"x": {"batch": [0]}, "batch": items, "sentAt": "z"}).encode()
    found = loose_json.split_items(body, b"batch")
    assert found is not None
    assert [json.loads(piece) for piece in found[0]] == items
    assert json.loads(found[1]) == {"x": {"batch": [0]}, "batch": [], "sentAt": "z"}


def test_loose_json() -> None:
    assert loose_json.loads(b'[NaN, 1e999, -Infinity, "\\udc00"]') == [None, None, None, "\ufffd"]
    assert loose_json.loads("9" * 5000) == "9" * 5000
    for depth in (65, 5000):
        with pytest.raises(loose_json.TooDeep):
            loose_json.loads(b"[" * depth + b"]" * depth)
    assert loose_json.loads(b"[" * 64 + b"]" * 64)


def test_catalogue_names_are_unique() -> None:
    names = [name for entry in catalogue.CATALOGUE for name in (entry.name, *entry.aliases)]
    assert len(names) == len(set(names)) == len(catalogue.BY_NAME)
    assert {entry.group for entry in catalogue.CATALOGUE} == set(catalogue.GROUPS)
    assert catalogue.canonical("Order Completed") == "order.paid"
    assert catalogue.canonical("mine") == catalogue.label("mine") == "mine"
    assert catalogue.label("PayOrder") == "支付订单"
    assert "Order Completed" in catalogue.spellings("PayOrder")


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_yuan_become_fen_exactly(fen: int) -> None:
    yuan = fen / 100
    for amount in (yuan, repr(yuan), f"¥{yuan:,.2f}", f"{yuan:.2f}元"):
        assert catalogue.fen(amount, unit_fen=100) == fen


@pytest.mark.parametrize("amount", [None, True, "x", "", "NaN", float("inf"), 1e300, "1e999999999", [], {}])
def test_what_is_no_amount(amount: Any) -> None:
    assert catalogue.fen(amount, unit_fen=100) is None


def test_credentials() -> None:
    encoded = [base64.b64encode(text).decode() for text in (b"wk:", b"wk", b"wk:secret")]
    assert [header_keys(f"Basic {text}".encode())[0] for text in encoded] == ["wk"] * 3
    assert header_keys(b"bearer at") == ["at"]
    for nonsense in (b"", b"Basic", b"Basic ???", b"Digest x", b"Basic " + b"A" * 5000, b"\xff\xfe"):
        assert header_keys(nonsense) == []
    assert query_keys({"project": "p", "token": "t"}) == ["t", "p"]


def test_pixel_fields_nest() -> None:
    fields = {"writeKey": "w", "userId": "u", "event": "E", "properties.a.b": "1", "c": "2", "context.end": "web"}
    assert json.loads(segment_body(fields, "track")) == {
        "type": "track", "userId": "u", "event": "E", "context": {"end": "web"},
        "properties": {"a": {"b": "1"}, "c": "2"},
    }  # fmt: skip


keys = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
events = st.builds(
    Event,
    event_id=keys, name=st.sampled_from(["a", "b", "购买"]), occurred_ms=st.integers(0, 10**13), anchor=keys,
    others=st.none() | keys, properties=st.just("{}") | keys, context=st.just("{}") | keys,
    value_fen=st.integers(-(10**12), 10**12), effects=st.none() | st.builds(Effects, set=st.dictionaries(keys, keys)),
    end=st.sampled_from(["", "web", "app"]),
)  # fmt: skip


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(events, max_size=4), st.lists(keys, max_size=2), keys, st.sampled_from(["", "x"])),
        max_size=4,
    )
)
def test_frames_carry_everything(sent: list[Any]) -> None:
    arrivals = [
        Arrival(items, [Rejected("C", "why", b.encode(), "id", "segment") for b in bad], source, end, 5)
        for items, bad, source, end in sent
    ]
    body, count = encode_frame(arrivals)
    frame = decode_frame(body)
    rows = frame.events.to_pylist()
    expected = [(event, arrival) for arrival in arrivals for event in arrival.events]
    assert count == len(rows) == len(expected)
    for row, (event, arrival) in zip(rows, expected, strict=True):
        assert (row["event_id"], row["name"], row["anchor"], row["others"]) == (
            event.event_id, event.name, event.anchor, event.others,
        )  # fmt: skip
        assert (row["properties"], row["context"], row["value_fen"]) == (
            event.properties,
            event.context,
            event.value_fen,
        )
        assert (row["end"], row["source"]) == (event.end or arrival.end, arrival.source)
        assert row["dedupe"] == dedupe_hash(arrival.source, event.event_id)
        assert row["occurred_at"].timestamp() == event.occurred_ms / 1000
        assert (effects_decoder.decode(row["effects"]) if row["effects"] else None) == event.effects
    letters = frame.dead.to_pylist()
    assert [(letter["source"], letter["body"]) for letter in letters] == [
        (arrival.source, bad.body) for arrival in arrivals for bad in arrival.rejected
    ]


DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_events_is_the_catalogue() -> None:
    assert (DOCS / "events.md").read_text() == catalogue_page.page()


def test_every_path_and_code_of_the_doors_is_documented() -> None:
    text = (DOCS / "doors.md").read_text()
    written = set(re.findall(r"[/\w.]+", text))
    for path in ROUTES:
        assert path in written or path.rpartition("/")[2] in written, path
    sources = "".join(path.read_text() for path in (DOCS.parent / "src/siyu/collect").glob("*.py"))
    codes = set(re.findall(r'BadEvent\(\s*"([A-Z0-9_]+)"', sources)) | set(
        re.findall(r'code = "([A-Z0-9_]+)"', sources)
    )
    codes |= set(re.findall(r'refusal\(\s*\d+,\s*"([A-Z0-9_]+)"', sources)) | {"BUSY", "ENGINE_UNAVAILABLE"}
    assert len(codes) > 20
    assert [code for code in sorted(codes) if f"`{code}`" not in text] == []
