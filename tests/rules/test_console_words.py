"""The console's words: every text translated, placeholders kept, numbers and times as each language writes them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from siyu.console.about import about
from siyu.console.format import Format, change
from siyu.console.i18n import LOCALES, translate, translations
from siyu.console.labels import ERRORS, KINDS, Labels
from siyu.console.messages import read_catalogue, source_messages
from siyu.errors import PersonNotFound
from siyu.ids import KIND_RANK

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
ZH = Format("zh_CN", ZoneInfo("Asia/Shanghai"), NOW)
EN = Format("en", ZoneInfo("Asia/Shanghai"), NOW)


def texts(message: str | tuple[str, ...]) -> tuple[str, ...]:
    return message if isinstance(message, tuple) else (message,)


def test_every_text_of_the_sources_is_translated_into_chinese() -> None:
    known = {message.id: message for message in read_catalogue("zh_CN") if message.id}
    wanted = [message.id for message in source_messages() if message.id]
    assert len(wanted) > 400
    assert [text for text in wanted if text not in known or not all(texts(known[text].string))] == []


def test_english_has_every_plural_and_nothing_else_is_needed() -> None:
    known = {message.id: message for message in read_catalogue("en") if message.id}
    plurals = [message.id for message in source_messages() if message.pluralizable]
    assert plurals
    assert [text for text in plurals if text not in known or not all(texts(known[text].string))] == []


def test_no_catalogue_keeps_texts_that_are_gone() -> None:
    wanted = {message.id for message in source_messages()}
    for locale in LOCALES:
        assert [message.id for message in read_catalogue(locale) if message.id and message.id not in wanted] == []


@pytest.mark.parametrize("locale", LOCALES)
def test_translations_keep_their_placeholders(locale: str) -> None:
    for message in read_catalogue(locale):
        if not message.id:
            continue
        source = set(re.findall(r"%\((\w+)\)s", texts(message.id)[-1]))
        for text in texts(message.string):
            assert set(re.findall(r"%\((\w+)\)s", text)) == source, message.id


def test_chinese_texts_are_chinese() -> None:
    """Only names that are the same in both languages may stay as they are."""
    same = {message.id for message in read_catalogue("zh_CN") if message.id and message.id == message.string}
    assert same <= {"App", "OpenID", "UnionID", "VIP", "R", "F", "M"}


def test_labels_cover_every_kind_and_fall_back_to_the_name() -> None:
    assert set(KIND_RANK) <= set(KINDS)
    label = Labels("zh_CN")
    assert label.kind("openid:wx1") == "OpenID (wx1)"
    assert label.kind("brand_key") == "brand_key"
    assert label.end("kiosk") == "kiosk"
    assert label.event("order.paid") == "支付订单"
    assert label.event("自定义") == "自定义"
    assert label.channel("scene:1006") == "场景值 发现页小程序搜索"
    assert label.channel("scene:my-scene") == "场景值 my-scene"
    assert label.value("$scene", "wx-1047") == "扫描小程序码"
    assert Labels("en").value("scene", "1047") == "Mini-program code scanned"
    assert (label.value("@end", "web"), label.value("@name", "order.paid")) == ("网站", "支付订单")
    assert (label.value("lifecycle", "lost"), label.value("city", "1047")) == ("流失", "1047")
    assert label.error(PersonNotFound("x")) == translate("zh_CN", ERRORS["PERSON_NOT_FOUND"])
    assert translations("en").ungettext("%(shown)s person", "%(shown)s persons", 1) == "%(shown)s person"


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"commodity_name": "龙井", "commodity_id": "C1", "order_id": "1"}, "龙井"),
        ({"order_id": "1", "products": [{"name": "龙井"}, {"name": "茶杯"}, {"sku": "C3"}]}, "龙井 +2"),
        ({"order_id": "1", "product": "龙井", "lines": [{"product": "龙井"}, {"product": "茶杯"}]}, "龙井 +1"),
        ({"transaction_id": "1", "items": [{"item_id": "G1"}]}, "G1"),
        ({"order_id": 17, "total": 3, "products": []}, "17"),
        ({"key_word": "茶", "name": True}, "茶"),
        ({"path": "/", "title": "首页"}, "首页"),
        ({"a": 1}, ""),
        ([], ""),
    ],
)
def test_what_an_event_was_about(properties: Any, said: str) -> None:
    assert about(properties) == said


@pytest.mark.parametrize(
    ("name", "icon"),
    [
        ("CommodityDetail", "eye"),
        ("Order Refunded", "receipt-refund"),
        ("PayOrder", "shopping-cart"),
        ("自定义", "activity"),
    ],
)
def test_icons_go_by_what_an_event_means(name: str, icon: str) -> None:
    assert Labels("en").event_icon(name) == icon


@pytest.mark.parametrize(
    ("value", "chinese", "english"),
    [
        (None, "–", "–"),
        (0, "0", "0"),
        (99_999, "99,999", "99,999"),
        (100_000, "10万", "100K"),
        (1_234_567, "123.5万", "1.23M"),
        (250_000_000, "2.5亿", "250M"),
        (-120_000, "-12万", "-120K"),
    ],
)
def test_large_numbers_are_short(value: float | None, chinese: str, english: str) -> None:
    assert (ZH.compact(value), EN.compact(value)) == (chinese, english)


@pytest.mark.parametrize(
    ("fen", "text"),
    [(123_450, "¥1,234.50"), (0, "¥0.00"), (-990, "-¥9.90"), (12_345_678, "¥12.3万"), (-12_345_678, "-¥12.3万")],
)
def test_money(fen: int, text: str) -> None:
    assert ZH.money(fen) == text


def test_money_is_never_rounded_where_it_must_not_be() -> None:
    assert ZH.money_exact(12_345_678) == "¥123,456.78"


def test_shares_and_changes() -> None:
    assert (ZH.percent(0.1234), ZH.percent(1.0), ZH.percent(0.0), ZH.percent(None)) == ("12.3%", "100%", "0%", "–")
    assert change(120, 100) == pytest.approx(0.2)
    assert change(5, 0) is None


def test_times_stand_on_the_clock_of_the_brand() -> None:
    midnight = datetime(2026, 11, 21, 16, 30, tzinfo=UTC)
    assert ZH.time(midnight) == "2026-11-22 00:30"
    assert ZH.clock(midnight) == "00:30:00"
    assert ZH.exact(midnight).endswith("+08:00")
    assert ZH.day(date(2026, 11, 22)) == "11月22日 周日"
    assert ZH.day(date(2025, 1, 2)) == "2025年1月2日"
    assert EN.day(date(2026, 11, 22)) == "Sun, Nov 22"


def test_how_long_ago() -> None:
    assert ZH.ago(NOW - timedelta(seconds=1)) == "刚刚"
    assert EN.ago(NOW - timedelta(seconds=1)) == "just now"
    assert "3" in ZH.ago(NOW - timedelta(minutes=3))
    assert EN.ago(NOW - timedelta(minutes=3)) == "3 minutes ago"
    assert ZH.ago(NOW - timedelta(days=90)) == "2026-08-24"


@pytest.mark.parametrize(
    ("seconds", "chinese", "english"),
    [
        (0, "0秒", "0s"),
        (0.4, "0.4秒", "0.4s"),
        (75, "1分15秒", "1m 15s"),
        (183_845, "2天3小时", "2d 3h"),
        (None, "–", "–"),
    ],
)
def test_spans(seconds: float | None, chinese: str, english: str) -> None:
    assert (ZH.span(seconds), EN.span(seconds)) == (chinese, english)


def test_values_of_traits() -> None:
    assert ZH.value(True) == "是"
    assert ZH.value(["猫", "狗"]) == "猫、狗"
    assert EN.value(1234.5) == "1,234.5"
    assert ZH.value(None) == "–"
