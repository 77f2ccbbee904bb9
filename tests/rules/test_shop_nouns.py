"""The nouns of the shop: sharing, refunds, foreign orders, dialects, stock lists; and that the pages say every code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.connectors.shop.dialect import SHOPIFY, YOUZAN, Delivery, UnreadableDelivery, WrongSignature, event_of, verify
from siyu.errors import Refused
from siyu.shop import order
from siyu.shop.foreign import About, Told, merged, order_of, rest_of, told_of, voided
from siyu.shop.order import EVENT, Line, Order, State, Step
from siyu.shop.product import WrongProduct, read_stock_list
from siyu.shop.sharing import share, up_to

DOCS = Path(__file__).parents[2] / "docs"
AT = datetime(2027, 6, 1, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
money = st.integers(0, 10**7)


@given(st.lists(money, min_size=1, max_size=9), st.data())
def test_shares_add_up_and_none_is_above_its_weight(weights: list[int], data: st.DataObject) -> None:
    amount = data.draw(st.integers(0, sum(weights)))
    parts = share(amount, weights)
    assert sum(parts) == amount
    if sum(weights):
        assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))
        assert all(abs(part - amount * weight / sum(weights)) < 1 for part, weight in zip(parts, weights, strict=True))


@given(money, st.integers(1, 50))
def test_units_of_a_line_add_up(total: int, units: int) -> None:
    parts = [up_to(total, one + 1, units) - up_to(total, one, units) for one in range(units)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


def paid_order(quantities: list[int], payables: list[int]) -> Order:
    lines = tuple(
        Line(f"S{n}", quantity, 10**7, payable, tracked=True)
        for n, (quantity, payable) in enumerate(zip(quantities, payables, strict=True))
    )
    total = sum(payables)
    steps = tuple(Step(EVENT[state], AT) for state in (State.CREATED, State.PAID))
    return Order(
        1, 1, "shop", "O", 1, "web", State.PAID, 10**9, total, total, 0, lines, (), steps, AT, None, None, None
    )


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 99_999)), min_size=1, max_size=4), st.randoms())
def test_refunds_in_any_sequence_end_at_what_was_paid(rows: list[tuple[int, int]], chance: random.Random) -> None:
    """Units one by one, with money without goods in between: never more than was paid, in the end exactly that."""
    now = paid_order([one for one, _ in rows], [fen for _, fen in rows])
    units = [place for place, (quantity, _) in enumerate(rows) for _ in range(quantity)]
    chance.shuffle(units)
    for place in units:
        if now.kept_fen and chance.random() < 0.3:
            goodwill = order.refund_of(now, chance.randint(1, now.kept_fen), None)
            assert goodwill.units(now) == {}
            now = order.refunded(now, goodwill, Step(EVENT[State.REFUNDED], AT))
        if now.state is State.REFUNDED:
            break
        back = order.refund_of(now, None, {place: 1})
        now = order.refunded(now, back, Step(EVENT[State.REFUNDED], AT))
        assert 0 <= now.refunded_fen <= now.paid_fen
        assert all(line.refunded_fen <= line.payable_fen for line in now.lines)
    if now.state is not State.REFUNDED:
        now = order.refunded(now, order.refund_of(now, None, None), Step(EVENT[State.REFUNDED], AT))
    assert (now.state, now.kept_fen) == (State.REFUNDED, 0)
    with pytest.raises(Refused):
        order.refund_of(now, None, None)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9_999)), min_size=1, max_size=4), st.integers(1, 9_999))
def test_points_return_with_the_units_they_paid(rows: list[tuple[int, int]], points: int) -> None:
    now = paid_order([one for one, _ in rows], [fen for _, fen in rows])
    back = 0
    for place, (quantity, _) in enumerate(rows):
        for _unit in range(quantity):
            refund = order.refund_of(now, None, {place: 1})
            back += order.points_of(now, refund, points)
            if now.state is not State.REFUNDED:
                now = order.refunded(now, refund, Step(EVENT[State.REFUNDED], AT))
            if now.state is State.REFUNDED:
                break
    if now.state is State.REFUNDED and all(line.refunded_qty == line.qty for line in now.lines):
        assert back == points
    assert back <= points


def told(name: str, minute: int, key: str = "", fen: int = 0, **more: Any) -> Told:
    at = AT + timedelta(minutes=minute)
    return Told(name, at, key or f"{name}\n", 7, amount_fen=fen, **more)


WHOLE = [
    told("order.created", 0, payable_fen=5_000, lines=(Line("T1", 2, 3_000, 6_000),)),
    told("order.paid", 1, fen=5_000),
    told("order.fulfilled", 2),
    told("order.refunded", 3, key="order.refunded\nR1", fen=1_000),
    told("order.received", 4),
    told("order.completed", 5),
]


CANCELLED = [
    told("order.paid", 1, key="order.paid\np1", fen=5_000),
    told("order.paid", 9, key="order.paid\np2", fen=2_000),
    told("order.refunded", 3, key="order.refunded\nR1", fen=1_000),
    told("order.cancelled", 4),
]


@given(st.lists(st.sampled_from(CANCELLED), min_size=1, max_size=12))
def test_the_rests_that_are_told_add_up_to_what_was_paid_and_not_told_back(steps: list[Told]) -> None:
    """Whatever comes in whatever order, as long as no refund comes after a rest was told (those are worth nothing)."""
    known: tuple[Told, ...] = ()
    before = 0
    numbers = []
    for one in sorted(steps, key=lambda one: one.name != "order.refunded"):
        known = merged(known, [one])
        if (rest := rest_of(known)) > before:
            event = voided(About("mall", "O1"), known, rest - before, before)
            assert (event.properties["refund_fen"], event.name) == (rest - before, "order.voided")
            numbers.append(event.event_id)
            before = rest
    assert len(set(numbers)) == len(numbers)
    fen = {one.key: one.amount_fen if one.name == "order.paid" else -one.amount_fen for one in steps}
    gone = any(one.name == "order.cancelled" for one in steps)
    assert before == (max(0, sum(fen.values())) if gone else 0)


@given(st.lists(st.sampled_from(WHOLE), min_size=6, max_size=20), st.randoms())
def test_a_foreign_order_is_the_same_whatever_the_order_it_is_told_in(extra: list[Told], chance: random.Random) -> None:
    steps = [*WHOLE, *extra]
    chance.shuffle(steps)
    known: tuple[Told, ...] = ()
    while steps:
        some, steps = steps[: chance.randint(1, 3)], steps[3:] if len(steps) > 3 else []
        known = merged(known, some)
    known = merged(known, WHOLE)
    about = About("events", "O1")
    assert order_of(about, known) == order_of(about, merged((), WHOLE))
    seen = order_of(about, known)
    assert (seen.state, seen.paid_fen, seen.refunded_fen, seen.list_fen) == (State.COMPLETED, 5_000, 1_000, 6_000)
    assert sum(line.payable_fen for line in seen.lines) == 5_000


def test_what_an_event_tells_of_an_order() -> None:
    row = {
        "name": "Order Completed", "anchor": 5, "at_ms": 1_000, "end": "web", "source": "k", "event_id": "e",
        "value_fen": 1_990,
        "properties": json.dumps({"order_id": 17, "shop": "tmall", "products": [{"product_id": "P", "quantity": 2}]}),
    }  # fmt: skip
    about, step = told_of(row) or (None, None)
    assert about == About("tmall", "17")
    assert step is not None and (step.name, step.amount_fen, step.lines[0].sku) == ("order.paid", 1_990, "P")
    said = {"order_id": 1, "items": [{"item_id": "G", "item_category": "茶", "price": "2.5", "quantity": "3"}]}
    _, step = told_of(row | {"properties": json.dumps(said)}) or (None, None)
    assert step is not None and step.lines == (Line("G", 3, 250, 750, "", category="茶"),)
    assert told_of(row | {"properties": "{}"}) is None
    assert told_of(row | {"properties": "no"}) is None


def shopify(body: bytes, topic: str, secret: str = "shopify secret") -> Delivery:
    signature = base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
    return Delivery({"x-shopify-topic": topic, "x-shopify-hmac-sha256": signature}, body)


def test_a_shopify_delivery() -> None:
    body = json.dumps(
        {
            "id": 820982911946154500, "created_at": "2027-06-01T10:00:00+08:00", "total_price": "199.90",
            "currency": "CNY", "customer": {"id": 115310627314723950, "email": "Jo@Example.com"},
            "line_items": [{"sku": "T1", "title": "Tea", "quantity": 2, "price": "99.95", "vendor": "Hill"}],
        }
    ).encode()  # fmt: skip
    delivery = shopify(body, "orders/paid")
    verify(SHOPIFY, delivery, "", "shopify secret")
    event = event_of(SHOPIFY, delivery, "my-shop", ZONE)
    assert event is not None
    assert (event.event_id, event.name, event.value_fen) == ("order.paid/820982911946154500", "order.paid", 19_990)
    assert event.anchor == "openid:my-shop\x1f115310627314723950"
    line = {"sku": "T1", "product": "Tea", "quantity": 2, "price_fen": 9_995, "brand": "Hill"}
    assert json.loads(event.properties)["lines"] == [line]
    assert event.others == "email\x1fjo@example.com\x1eanonymous_id\x1forder:my-shop:820982911946154500"
    back = {"id": 5, "order_id": 820982911946154500, "created_at": "2027-06-02T10:00:00+08:00"}
    refund = event_of(SHOPIFY, shopify(json.dumps(back).encode(), "refunds/create"), "my-shop", ZONE)
    assert refund is not None and refund.anchor == "anonymous_id\x1forder:my-shop:820982911946154500"
    assert json.loads(event.properties)["shop"] == "my-shop"
    assert event_of(SHOPIFY, shopify(body, "products/update"), "my-shop", ZONE) is None
    # Paid by two cards, it goes back to both; goods that come back without money have no transactions.
    for amounts, said in ((["12.00", "7.99"], 1_999), ([], 0)):
        parts = back | {"transactions": [{"amount": amount} for amount in amounts]}
        refund = event_of(SHOPIFY, shopify(json.dumps(parts).encode(), "refunds/create"), "my-shop", ZONE)
        assert refund is not None
        assert (refund.value_fen, json.loads(refund.properties)["refund_fen"]) == (-said, said)
    with pytest.raises(UnreadableDelivery):
        event_of(SHOPIFY, shopify(b"{}", "orders/paid"), "my-shop", ZONE)
    for wrong in (
        Delivery(delivery.headers, body + b" "),
        Delivery({**delivery.headers, "x-shopify-hmac-sha256": ""}, body),
        Delivery({}, body),
        Delivery({**delivery.headers, "x-shopify-hmac-sha256": "é\udc80"}, body),
    ):
        with pytest.raises(WrongSignature):
            verify(SHOPIFY, wrong, "", "shopify secret")


def test_a_youzan_delivery() -> None:
    order_info = {"tid": "E20270601", "pay_time": "2027-06-01 10:00:00", "created": "2027-06-01 09:00:00"}
    said = {
        "full_order_info": {
            "order_info": order_info,
            "pay_info": {"payment": "88.80"},
            "buyer_info": {"buyer_phone": "13800138000", "yz_open_id": "yz1"},
            "orders": [{"outer_sku_id": "T1", "title": "茶", "num": 1, "price": "88.80"}],
        }
    }
    body = json.dumps({"type": "trade_TradePaid", "msg": quote_plus(json.dumps(said)), "msg_id": "m"}).encode()
    signature = hashlib.md5(b"client" + body + b"youzan secret").hexdigest()
    delivery = Delivery({"event-sign": signature}, body)
    verify(YOUZAN, delivery, "client", "youzan secret")
    event = event_of(YOUZAN, delivery, "yz", ZONE)
    assert event is not None
    assert (event.name, event.value_fen, event.anchor) == ("order.paid", 8_880, "openid:yz\x1fyz1")
    assert event.occurred_ms == int(datetime(2027, 6, 1, 2, tzinfo=UTC).timestamp() * 1000)
    assert event.others == "phone\x1f+8613800138000\x1eanonymous_id\x1forder:yz:E20270601"


@given(st.binary(max_size=200))
def test_no_body_breaks_a_dialect(body: bytes) -> None:
    for mapping, headers in ((SHOPIFY, {"x-shopify-topic": "orders/paid"}), (YOUZAN, {})):
        try:
            event_of(mapping, Delivery(headers, body), "x", ZONE)
        except UnreadableDelivery:
            continue


@given(st.text(max_size=80))
def test_no_text_breaks_the_reading_of_a_stock_list(text: str) -> None:
    try:
        for row in read_stock_list("sku,qty\n" + text):
            assert row.sku and 0 <= row.quantity <= 1_000_000
    except WrongProduct:
        return


@pytest.mark.parametrize("room", ["shop", "connectors/shop"])
def test_every_code_and_call_is_on_the_pages(room: str) -> None:
    folder = Path(__file__).parents[2] / "src" / "siyu" / room
    source = "\n".join(path.read_text() for path in folder.glob("*.py"))
    pages = "".join((DOCS / name).read_text() for name in ("orders.md", "shop.md", "mall.md"))
    codes = set(re.findall(r'(?:\bcode = |Refused\(\s*)"([A-Z_]+)"', source))
    assert len(codes) > 3
    assert [code for code in sorted(codes) if f"`{code}`" not in pages and code not in pages] == []
    paths = set(re.findall(r'@(?:get|post|put)\(\s*"(/[^"{]*)', source))
    assert [path for path in sorted(paths) if path.rstrip("/") not in pages] == []
