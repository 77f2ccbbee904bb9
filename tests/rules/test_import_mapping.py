"""Rows to events: identifiers, names, times, money, properties, traits, and the derived event id."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.collect.event import Event
from siyu.importer.cells import BadCell, guessed, money_reader, time_reader
from siyu.importer.convert import Complaint, Converter, Limits
from siyu.importer.mapping import InvalidMapping, load_mapping, parse_mapping, ready_mappings
from siyu.importer.reading import MissingColumn, Row
from siyu.importer.repeats import Repeats

SHANGHAI = ZoneInfo("Asia/Shanghai")
LIMITS = Limits(32 * 1024, int(datetime(2027, 1, 1, tzinfo=UTC).timestamp() * 1000))
FIRST_IMPORT_MS = 1_790_000_000_000
PINNED = ["29bcfb5932abf09746f1ebc4cb83a4f4", "3988f589cb7bd3c9b4d97b07d428d66e"]


def ms(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc]


def converted(mapping: str, columns: list[str] | None, *rows: Any) -> tuple[list[Event], list[Complaint]]:
    chosen = parse_mapping(mapping, "test") if "\n" in mapping else load_mapping(mapping)
    converter = Converter(chosen, columns, SHANGHAI, FIRST_IMPORT_MS, LIMITS)
    return converter.convert([Row(n + 2, repr(row), row) for n, row in enumerate(rows)], [0] * len(rows))


def properties(event: Event) -> Any:
    return msgspec.json.decode(event.properties)


ORDERS = """
id = "orders"
row_id = ["order_no"]
[[identifiers]]
column = "phone"
kind = "phone"
[[identifiers]]
column = "card"
kind = "member_card"
prefix = "VIP-"
[name]
column = "what"
rename = { "支付" = "order.paid", "退款" = "order.refunded" }
[time]
column = "at"
format = "%Y/%m/%d %H:%M"
[value]
column = "amount"
refunds = ["order.refunded"]
[properties]
gift = { column = "gift", type = "boolean" }
note = { column = "note" }
shop = { constant = "广州天河店" }
"""
ORDER_COLUMNS = ["order_no", "phone", "card", "what", "at", "amount", "gift", "note"]


def test_an_order_row_becomes_an_event() -> None:
    (event,), complaints = converted(
        ORDERS, ORDER_COLUMNS, ["A1", "138 0013 8000", "7", "支付", "2026/11/11 00:30", "¥1,234.50", "是", ""]
    )
    assert event.name == "order.paid"
    assert event.occurred_ms == ms(2026, 11, 10, 16, 30)
    assert event.value_fen == 123_450
    assert event.anchor == "member_card\x1fVIP-7"
    assert event.others == "phone\x1f+8613800138000"
    assert properties(event) == {"shop": "广州天河店", "gift": True}
    assert complaints == []


def test_a_refund_is_negative_however_it_is_written() -> None:
    row = ["A1", "13800138000", "", "退款", "2026/11/11 00:30", "12", "", ""]
    other = ["A2", "13800138000", "", "退款", "2026/11/11 00:30", "-12.00", "", ""]
    events, _ = converted(ORDERS, ORDER_COLUMNS, row, other)
    assert [event.value_fen for event in events] == [-1200, -1200]


@pytest.mark.parametrize(
    ("place", "cell", "reason"),
    [
        (0, "", "no value in order_no"),
        (3, "", "no event name"),
        (3, "a\x07b", "no usable event name"),
        (4, "", "no time"),
        (4, "11.11.", "'11.11.' is no time of the form %Y/%m/%d %H:%M"),
        (4, "1960/01/01 00:00", "the time is before 1970 or in the future"),
        (4, "2999/01/01 00:00", "the time is before 1970 or in the future"),
        (5, "twelve", "'twelve' is no amount of money"),
        (5, "0.005", "'0.005' has a fraction of a fen"),
        (5, "nan", "'nan' is no amount of money"),
        (6, "maybe", "'maybe' is neither true nor false"),
    ],
)
def test_a_bad_cell_costs_its_row_and_no_other(place: int, cell: str, reason: str) -> None:
    good = ["A1", "13800138000", "7", "支付", "2026/11/11 00:30", "1", "是", "x"]
    bad = [*good[:place], cell, *good[place + 1 :]]
    events, complaints = converted(ORDERS, ORDER_COLUMNS, good, bad, good)
    assert len(events) == 2
    assert [(item.line, item.reason, item.kept) for item in complaints] == [(3, reason, False)]


def test_an_unusable_identifier_is_left_out_and_told_and_nobody_is_refused() -> None:
    row = ["A1", "138****8000", "7", "支付", "2026/11/11 00:30", "1", "", ""]
    nobody = ["A1", "138****8000", "", "支付", "2026/11/11 00:30", "1", "", ""]
    events, complaints = converted(ORDERS, ORDER_COLUMNS, row, nobody)
    assert [event.anchor for event in events] == ["member_card\x1fVIP-7"]
    assert sorted((item.line, item.kept) for item in complaints) == [(2, True), (3, False), (3, True)]


def test_a_row_id_makes_the_event_id_whatever_else_the_row_says() -> None:
    row = ["A1", "13800138000", "7", "支付", "2026/11/11 00:30", "1", "", ""]
    later = ["A1", "13800138000", "7", "支付", "2026/11/11 00:31", "2", "", "corrected"]
    other = ["A2", *row[1:]]
    events, _ = converted(ORDERS, ORDER_COLUMNS, row, later, other)
    assert events[0].event_id == events[1].event_id != events[2].event_id


def test_missing_columns_are_named_before_anything_is_read() -> None:
    with pytest.raises(MissingColumn, match="no column 'at'; its columns are: order_no, phone"):
        converted(ORDERS, ["order_no", "phone", "card", "what", "amount", "gift", "note"])
    with pytest.raises(MissingColumn, match="'user_id' / '用户ID'"):
        converted("persons", ["age"])


def test_the_generic_events_mapping_takes_csv_and_json_alike() -> None:
    in_csv, _ = converted(
        "events",
        ["user_id", "event", "time", "value_fen", "sku", "qty", "zip", "properties"],
        ["u1", "order.paid", "2026-06-18T20:00:00+08:00", "1999", "T1", "2", "007", '{"coupon":"N88"}'],
    )
    in_json, _ = converted(
        "events",
        None,
        {
            "user_id": "u1",
            "event": "order.paid",
            "time": "2026-06-18 20:00:00",
            "value_fen": 1999,
            "sku": "T1",
            "qty": 2,
            "zip": "007",
            "properties": {"coupon": "N88"},
            "nothing": None,
        },
    )
    for event in (*in_csv, *in_json):
        assert (event.anchor, event.occurred_ms, event.value_fen) == ("user_id\x1fu1", ms(2026, 6, 18, 12), 1999)
        assert properties(event) == {"coupon": "N88", "sku": "T1", "qty": 2, "zip": "007"}


def test_a_persons_row_sets_traits_and_tags_and_is_no_behaviour() -> None:
    (event,), _ = converted(
        "persons", ["手机号", "标签", "city", "age"], ["13800138000", "广州/广州天河店; 茶友 ;", "广州", "31"]
    )
    assert event.name == "profile.updated"
    assert event.occurred_ms == FIRST_IMPORT_MS
    assert event.effects is not None
    assert event.effects.set == {"city": "广州", "age": 31}
    assert event.effects.tags_add == ["广州/广州天河店", "茶友"]


def test_nested_json_is_reached_by_a_dotted_name() -> None:
    mapping = """
id = "nested"
[[identifiers]]
column = "user.id"
kind = "user_id"
[name]
constant = "seen"
[time]
column = "ts"
format = "epoch_ms"
[properties]
tags = { column = "tags", type = "json" }
"""
    events, complaints = converted(
        mapping, None, {"user": {"id": 7}, "ts": 1_700_000_000_000, "tags": ["a"]}, {"user": [], "ts": 1}
    )
    assert (events[0].anchor, events[0].occurred_ms) == ("user_id\x1f7", 1_700_000_000_000)
    assert properties(events[0]) == {"tags": ["a"]}
    assert len(complaints) == 1


def test_an_event_over_the_limit_is_refused() -> None:
    events, complaints = converted(
        "events", None, {"user_id": "u", "event": "e", "time": "2026-01-01", "text": "茶" * 12_000}
    )
    assert events == []
    assert "where an event has at most 32768" in complaints[0].reason


def test_the_event_id_tells_repeats_apart_and_never_changes() -> None:
    mapping = load_mapping("cdnow")
    converter = Converter(mapping, ["customer_id", "date", "number_of_cds", "dollar_value"], SHANGHAI, 0, LIMITS)
    row = Row(2, "00001\x1f19970101\x1f1\x1f11.77", ["00001", "19970101", "1", "11.77"])
    events, _ = converter.convert([row, row], [0, 1])
    # Written down: another value would import everybody's history a second time.
    assert [event.event_id for event in events] == PINNED
    again, _ = converter.convert([row], [0])
    assert again[0].event_id == PINNED[0]
    assert events[0].value_fen == 1177
    assert events[0].occurred_ms == ms(1997, 1, 1)
    assert properties(events[0]) == {"amount": 11.77, "currency": "USD", "quantity": 1, "category": "cd"}


@given(st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=12))
def test_ordinals_are_those_of_a_plain_counter(chunks: list[list[int]]) -> None:
    repeats, counter = Repeats(), Counter[int]()
    for chunk in chunks:
        expected = []
        for value in chunk:
            expected.append(counter[value])
            counter[value] += 1
        assert repeats.ordinals(np.array(chunk, np.uint64)) == expected


@given(st.integers(0, 10**13), st.sampled_from(["{}", "¥{}", "￥{} ", "{}元"]))
def test_money_is_exact(fen: int, form: str) -> None:
    assert money_reader("yuan")(form.format(f"{fen // 100:,}.{fen % 100:02}")) == fen
    assert money_reader("fen")(str(fen)) == fen


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)))
def test_iso_times_are_read_as_the_zone_shows_them(moment: datetime) -> None:
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    for zone in (ZoneInfo("UTC"), SHANGHAI, ZoneInfo("America/New_York")):
        expected = round(whole.replace(tzinfo=zone).timestamp() * 1000)
        assert time_reader("iso", zone)(whole.isoformat(sep=" ")) == expected
        assert time_reader("iso", SHANGHAI)(whole.replace(tzinfo=zone).isoformat()) == expected


@pytest.mark.parametrize(
    "cell",
    ["2025/5/2 9:05", "2025-05-02 09:05:00", "2025-05-02T01:05:00Z", 1746147900, "1746147900000", "2025/05/02 09:05:00",
     datetime(2025, 5, 2, 1, 5, tzinfo=UTC)],
)  # fmt: skip
def test_a_time_of_any_form(cell: object) -> None:
    assert time_reader("any", SHANGHAI)(cell) == 1_746_147_900_000


def test_what_is_no_time_in_any_form_is_told() -> None:
    for cell in ("昨天", "", None, True, "2025/13/1", float("nan")):
        with pytest.raises(BadCell, match="is no time"):
            time_reader("any", SHANGHAI)(cell)


def test_cells_of_unnamed_columns_become_numbers_only_when_plain() -> None:
    assert [guessed(cell) for cell in ("12", "-3.50", "007", "13800138000", "1e5", "", "１２", " 8 ")] == [
        12, -3.5, "007", "13800138000", "1e5", "", "１２", 8,
    ]  # fmt: skip


def test_epoch_seconds_with_a_fraction() -> None:
    assert time_reader("epoch_s", SHANGHAI)("1700000000.5") == 1_700_000_000_500
    with pytest.raises(BadCell):
        time_reader("epoch_s", SHANGHAI)("yesterday")


@pytest.mark.parametrize(
    ("cell", "wall"),
    [
        ("45000.5", datetime(2023, 3, 15, 12)),
        (45000, datetime(2023, 3, 15)),
        ("45779.378472222", datetime(2025, 5, 2, 9, 5)),
        ("25569", datetime(1970, 1, 1)),
        (datetime(2023, 3, 15, 12), datetime(2023, 3, 15, 12)),
    ],
)
def test_dates_of_excel(cell: Any, wall: datetime) -> None:
    expected = int(wall.replace(tzinfo=SHANGHAI).timestamp() * 1000)
    assert time_reader("excel", SHANGHAI)(cell) == expected


@pytest.mark.parametrize("cell", ["", "x", "-1", "0", "1e9", "NaN", "Infinity", "2023-03-15"])
def test_what_excel_never_wrote_is_refused(cell: str) -> None:
    with pytest.raises(BadCell, match="Excel"):
        time_reader("excel", SHANGHAI)(cell)


def test_numbers_that_excel_may_have_written_are_named_so() -> None:
    for pattern in ("any", "iso"):
        with pytest.raises(BadCell) as refused:
            time_reader(pattern, SHANGHAI)("45000.5")
        assert 'format = "excel"' in str(refused.value)
    with pytest.raises(BadCell) as other:
        time_reader("any", SHANGHAI)("yesterday")
    assert "excel" not in str(other.value)


def test_every_ready_mapping_is_complete_and_described_in_both_languages() -> None:
    found = ready_mappings()
    assert sorted(found) == ["cdnow", "cdnow-sample", "ecom", "events", "persons"]
    assert all(mapping.about and mapping.about_zh for mapping in found.values())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("id = 'x'", "missing required field `identifiers`"),
        ("id = 'x'\nidentifiers = []", "names at least one column"),
        ("id = 'x y'\nidentifiers = []", "`id` is 1 to 40"),
        ("id = 'x'\nidentifiers = [{column='a', kind='shoe_size'}]", "`shoe_size` is no identifier kind"),
        ("id = 'x'\nidentifiers = [{column='a', kind='email'}]", "`time` is needed"),
        ("id = 'x'\nidentifiers = []\ncolour = 1", "unknown field `colour`"),
        ("id = 'x'\nidentifiers = []\n[time]\ncolumn='t'\nzone='Mars/North'", "'Mars/North' is no time zone"),
        ("id = 'x'\nidentifiers = []\n[file]\ndelimiter = '||'", "one character or `blank`"),
        ("id = 'x'\nidentifiers = []\n[file]\nheader = false", "`file.columns` is needed"),
        ("id = 'x'\nidentifiers = []\n[touch.utm]\nconstant = 'a'", "`touch.utm` is unknown"),
        ("id = 'x'\nidentifiers = []\n[properties.a]\ntype = 'text'", "either `column` or `constant`"),
        ("id = ", "Invalid value"),
    ],
)
def test_a_wrong_mapping_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(InvalidMapping) as refusal:
        parse_mapping(text, "mine.toml")
    assert str(refusal.value).startswith("mine.toml: ")
    assert problem in str(refusal.value)


def test_an_unknown_mapping_names_the_ready_ones() -> None:
    with pytest.raises(InvalidMapping, match="Ready: cdnow, cdnow-sample, ecom, events, persons"):
        load_mapping("nothing")
