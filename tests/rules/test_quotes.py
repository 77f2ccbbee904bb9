"""What a basket costs: worked examples, and properties of any baskets and offers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siyu.coupons.code import ALPHABET, LENGTH, Vault, draw, normal, shown, usable
from siyu.coupons.left_out import OTHERS_MAX, RUNNING_MAX, named_rules, out_of_time
from siyu.coupons.quote import Basket, Effect, Line, Offer, Quote, Scope, Stage, priced, shares
from siyu.coupons.reasons import Withheld
from siyu.coupons.template import (
    InvalidTemplate,
    PriceRule,
    Template,
    check_price_rule,
    check_template,
    holds_entitlement,
    valid_until,
)
from siyu.rules.rule import InvalidRule

ZONE = ZoneInfo("Asia/Shanghai")
SKUS = ("S1", "S2", "S3")


def basket(*prices: int, **more: Any) -> Basket:
    """One of S1, S2 … at these prices."""
    return Basket(tuple(Line(f"S{n}", 1, price) for n, price in enumerate(prices, 1)), "web", **more)


def off(id: str, fen: int, **more: Any) -> Offer:
    """A coupon of so much."""
    return Offer(id, f"coupon/{id}", Stage.COUPON, Effect(off_fen=fen), asked=id, **more)


def pay(id: str, percent: int, stage: Stage = Stage.ORDER, **more: Any) -> Offer:
    """A rule of so many percent."""
    return Offer(id, f"price_rule/{id}", stage, Effect(pay_percent=percent), **more)


def codes(quote: Quote) -> dict[str, str]:
    return {one.what: one.code for one in quote.refused}


def test_examples_of_the_campaigns() -> None:
    assert priced(basket(10_000), [pay("N88", 88)]).payable_fen == 8_800
    assert priced(basket(19_999), [pay("first", 90)]).payable_fen == 17_999
    assert priced(basket(20_000), [off("web50", 5_000)]).payable_fen == 15_000


def test_the_order_of_discounts() -> None:
    price = Offer("flash", "price_rule/flash", Stage.PRICE, Effect(price_fen=8_000), Scope(skus=("S1",)))
    item = pay("item", 50, Stage.ITEM, scope=Scope(skus=("S2",)))
    found = priced(
        basket(10_000, 4_000, points=2_000, points_there=2_000), [off("c", 900), pay("all", 90), item, price]
    )
    # 8000 + 2000 → 9000 → 8100 → 6100
    assert [(one.source, one.amount_fen, one.line) for one in found.discounts] == [
        ("price_rule/flash", 2_000, 0), ("price_rule/item", 2_000, 1), ("price_rule/all", 1_000, None),
        ("coupon/c", 900, None), ("points", 2_000, None),
    ]  # fmt: skip
    assert (found.payable_fen, found.points) == (6_100, 2_000)


def test_a_coupon_that_does_not_apply_says_why() -> None:
    offers = [
        off("far", 100, min_spend_fen=10_001),
        off("other", 100, scope=Scope(skus=("S9",))),
        off("app", 100, scope=Scope(ends=("app",))),
        off("empty", 100, budget_fen=99),
        off("late", 100, code="COUPON_EXPIRED"),
    ]
    found = priced(basket(10_000), offers)
    assert (found.payable_fen, codes(found)) == (
        10_000,
        {"far": "NOT_ELIGIBLE", "other": "NOT_ELIGIBLE", "app": "CHANNEL_NOT_ALLOWED", "empty": "BUDGET_EXHAUSTED",
         "late": "COUPON_EXPIRED"},
    )  # fmt: skip


def test_of_a_group_the_best_one_applies_unless_another_comes_first() -> None:
    group = [off("a", 500, group="g"), off("b", 900, group="g"), off("c", 900, group="g")]
    found = priced(basket(10_000), group)
    assert ([one.coupon for one in found.discounts], codes(found)) == (
        ["b"], {"a": "NOT_STACKABLE", "c": "NOT_STACKABLE"}
    )  # fmt: skip
    found = priced(basket(10_000), [group[0]._replace(priority=1), *group[1:]])
    assert [one.coupon for one in found.discounts] == ["a"]


def test_what_lost_says_its_own_reason_where_it_has_one() -> None:
    """A better one of the group is no reason why a coupon for other articles does not apply."""
    group = [off("far", 100, min_spend_fen=20_000, group="g"), off("b", 900, group="g")]
    assert [(one.what, one.because) for one in priced(basket(10_000), group).refused] == [("far", "min_spend")]
    rule = pay("web", 50, Stage.ORDER)._replace(exclusive=True)
    found = priced(basket(10_000), [rule, off("app", 100, scope=Scope(ends=("app",))), off("x", 100)])
    assert [(one.what, one.code, one.because) for one in found.refused] == [
        ("app", "CHANNEL_NOT_ALLOWED", "end"), ("x", "NOT_STACKABLE", "price_rule/web")
    ]  # fmt: skip


def test_a_rule_that_does_not_apply_says_why_when_it_is_to_be_told() -> None:
    rules = [
        pay("half", 50, Stage.ORDER)._replace(exclusive=True, told=True),
        pay("tenth", 90, Stage.ORDER)._replace(told=True),
        pay("silent", 90, Stage.ORDER),
        Offer("set", "price_rule/set", Stage.PRICE, Effect(price_fen=10_000), Scope(skus=("S1",)), told=True),
        pay("spent", 90, Stage.ORDER)._replace(told=True, code="LIMIT_REACHED"),
    ]
    found = priced(basket(10_000), rules)
    assert [one.coupon for one in found.discounts] == [None]
    assert [(one.what, one.code, one.because) for one in found.refused] == [
        ("price_rule/set", "NOT_ELIGIBLE", "price"),
        ("price_rule/spent", "LIMIT_REACHED", ""),
        ("price_rule/tenth", "NOT_STACKABLE", "price_rule/half"),
    ]


def price_rule(id: str, **more: Any) -> PriceRule:
    return msgspec.convert({"id": id, "percent_pay": 90} | more, PriceRule)


def test_a_quote_speaks_of_the_rules_of_its_lines_the_nearest_first() -> None:
    at = datetime(2026, 6, 1, tzinfo=UTC)
    days = [timedelta(days=n) for n in range(30)]
    rules = [
        *(price_rule(f"ended{n:02}", ends_at=(at - days[n]).isoformat()) for n in range(1, 30)),
        price_rule("soon", starts_at=(at + timedelta(hours=1)).isoformat()),
        price_rule("mine", scope={"skus": ["S1"]}),
        price_rule("first", priority=1),
        price_rule("other", scope={"skus": ["S2"]}),
        price_rule("stopped", active=False),
        price_rule("elsewhere", scope={"ends": ["app"]}),
    ]
    lines = (Line("S1", 1, 10_000),)
    named = list(named_rules(rules, lines, at, "basket"))
    assert named == ["first", "elsewhere", "mine", "soon", *(f"ended{n:02}" for n in range(1, OTHERS_MAX))]
    assert len(named_rules([price_rule(f"r{n}") for n in range(RUNNING_MAX + 9)], lines, at, "basket")) == RUNNING_MAX
    assert set(named_rules(rules, lines, at, "all")) == {one.id for one in rules} - {"stopped"}
    assert named_rules(rules, lines, at, "none") == {}
    assert [out_of_time(one, at) for one in rules[28:31]] == [Withheld("ENDED"), Withheld("NOT_STARTED"), None]


def test_an_exclusive_one_stands_alone_when_it_is_the_better() -> None:
    alone = off("alone", 1_000, exclusive=True)
    assert priced(basket(10_000), [alone, off("x", 600)]).payable_fen == 9_000
    both = priced(basket(10_000), [alone, off("x", 600), off("y", 600)])
    assert (both.payable_fen, codes(both)) == (8_800, {"alone": "NOT_STACKABLE"})
    assert priced(basket(10_000), [alone._replace(priority=1), off("x", 600), off("y", 600)]).payable_fen == 9_000


def test_an_exclusive_one_that_does_nothing_alone_does_nothing_beside_others() -> None:
    """Its budget is too small for what it takes off alone, and large enough for what it would take off beside them."""
    alone = off("alone", 900, exclusive=True, budget_fen=500, group="g")
    found = priced(basket(1_000), [pay("half", 60, Stage.ITEM), off("beside", 100, group="g"), alone])
    assert [one.source for one in found.discounts] == ["price_rule/half", "coupon/beside"]
    assert codes(found) == {"alone": "BUDGET_EXHAUSTED"}
    assert codes(priced(basket(1_000), [off("alone2", 50, exclusive=True), alone])) == {"alone": "BUDGET_EXHAUSTED"}


def test_shipping_and_gifts() -> None:
    free = Offer("ship", "coupon/ship", Stage.COUPON, Effect(shipping=True), asked="ship")
    gift = Offer("gift", "coupon/gift", Stage.COUPON, Effect(gift_sku="G", gift_qty=2), asked="gift")
    found = priced(basket(10_000, shipping_fen=800), [free, gift])
    assert (found.list_fen, found.payable_fen, found.shipping_fen) == (10_800, 10_000, 0)
    assert [(one.sku, one.qty) for one in found.gifts] == [("G", 2)]
    assert codes(priced(basket(10_000), [free])) == {"ship": "NOT_ELIGIBLE"}


def test_points_pay_what_is_left_and_no_more() -> None:
    found = priced(basket(1_000, points=5_000, points_there=5_000), [])
    assert (found.payable_fen, found.points) == (0, 1_000)
    found = priced(basket(1_000, points=5_000, points_there=4_999), [])
    assert (found.payable_fen, found.points, codes(found)) == (1_000, 0, {"points": "INSUFFICIENT"})
    assert priced(basket(1_000, points=99, points_there=99, points_per_yuan=200), []).payable_fen == 951


scopes = st.tuples(
    st.lists(st.sampled_from(SKUS), max_size=2, unique=True).map(tuple),
    st.just(()),
    st.sampled_from([(), ("S1",)]),
    st.sampled_from([(), (), ("web",)]),
).map(lambda one: Scope(*one))
effects = st.one_of(
    st.integers(1, 30_000).map(lambda fen: Effect(off_fen=fen)),
    st.integers(1, 99).map(lambda percent: Effect(pay_percent=percent)),
    st.integers(0, 9_000).map(lambda fen: Effect(price_fen=fen)),
    st.integers(0, 900).map(lambda fen: Effect(shipping=True, off_fen=fen)),
    st.just(Effect(gift_sku="G", gift_qty=1)),
)


@st.composite
def offer_lists(draw: st.DrawFn) -> list[Offer]:
    made = []
    for n in range(draw(st.integers(0, 6))):
        stage = draw(st.sampled_from(list(Stage)))
        made.append(
            Offer(
                f"o{n}",
                f"x/{n}",
                stage,
                draw(effects),
                draw(scopes),
                min_spend_fen=draw(st.sampled_from([0, 0, 1, 5_000])),
                max_off_fen=draw(st.none() | st.integers(1, 5_000)),
                exclusive=draw(st.booleans()),
                group=draw(st.sampled_from([None, "g", "h"])),
                priority=draw(st.integers(-1, 1)),
                budget_fen=draw(st.none() | st.integers(0, 5_000)),
                asked=f"c{n}" if stage is Stage.COUPON else None,
                told=stage is not Stage.COUPON,
            )
        )
    return made


lines = st.lists(
    st.tuples(st.sampled_from(SKUS), st.integers(1, 4), st.integers(0, 9_999)).map(lambda one: Line(*one)),
    min_size=1,
    max_size=4,
).map(tuple)
baskets = st.tuples(
    lines,
    st.sampled_from(["web", "app"]),
    st.integers(0, 1_200),
    st.integers(0, 3_000),
    st.none() | st.integers(0, 3_000),
    st.sampled_from([1, 7, 100, 1_000]),
).map(lambda one: Basket(*one))


@settings(max_examples=400, deadline=None)
@given(baskets, offer_lists(), st.randoms(use_true_random=False))
def test_any_stack_of_discounts_adds_up(one: Basket, offers: list[Offer], shuffler: Any) -> None:
    found = priced(one, offers)
    assert 0 <= found.payable_fen <= found.list_fen
    assert found.list_fen - found.payable_fen == sum(each.amount_fen for each in found.discounts)
    assert found.payable_fen == sum(line.payable_fen for line in found.lines) + found.shipping_fen
    assert all(0 <= line.payable_fen <= line.list_fen for line in found.lines)
    assert all(line.list_fen - line.discount_fen == line.payable_fen for line in found.lines)
    assert all(each.amount_fen >= 0 for each in found.discounts)
    assert {each.name for each in offers} == {each.what for each in found.refused if each.what != "points"} | {
        each.coupon or each.source for each in found.discounts if each.source != "points"
    }, "every coupon and every rule applies or says why not"
    assert len({each.what for each in found.refused}) == len(found.refused), "one reason each"
    assert 0 <= found.points <= one.points
    applied = {each.source for each in found.discounts if each.amount_fen}
    chosen = [each for each in offers if each.source in applied]
    assert len({each.group for each in chosen if each.group}) == sum(each.group is not None for each in chosen)
    assert len(chosen) == 1 or not any(each.exclusive for each in chosen)
    shuffled = list(offers)
    shuffler.shuffle(shuffled)
    assert priced(one, shuffled) == found


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 10**9), max_size=20), st.integers(0, 10**10))
def test_shares_add_up_and_take_no_more_than_there_is(weights: list[int], amount: int) -> None:
    amount = min(amount, sum(weights))
    parts = shares(amount, weights)
    assert sum(parts) == amount
    assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))
    whole = sum(weights) or 1
    assert all(abs(part * whole - amount * weight) < whole for part, weight in zip(parts, weights, strict=True))


def template(**more: Any) -> Template:
    return check_template(msgspec.convert({"id": "T", "kind": "amount", "off_fen": 1} | more, Template))


def test_how_long_a_coupon_is_good() -> None:
    at = datetime(2026, 6, 1, 15, 59, 59, tzinfo=UTC)
    day = timedelta(days=1)
    assert valid_until(template(valid="same_local_day"), at, ZONE) == datetime(2026, 6, 1, 16, tzinfo=UTC)
    assert valid_until(template(valid="same_local_day"), at + timedelta(seconds=1), ZONE) == datetime(
        2026, 6, 2, 16, tzinfo=UTC
    )
    assert valid_until(template(valid="days", valid_days=7), at, ZONE) == at + 7 * day
    assert valid_until(template(), at, ZONE) is None
    ends = (at + 3 * day).isoformat()
    assert valid_until(template(valid="days", valid_days=7, ends_at=ends), at, ZONE) == at + 3 * day
    starts = (at + 2 * day).isoformat()
    assert valid_until(template(valid="days", valid_days=1, starts_at=starts), at, ZONE) == at + 3 * day


@pytest.mark.parametrize(
    ("told", "path"),
    [
        ({"kind": "percent_pay"}, "off_fen"),
        ({"kind": "percent_pay", "off_fen": None}, "pay_percent"),
        ({"kind": "gift", "off_fen": None}, "gift_sku"),
        ({"off_fen": None}, "off_fen"),
        ({"valid": "days"}, "valid_days"),
        ({"valid_days": 3}, "valid_days"),
        ({"starts_at": "2026-06-02T00:00:00Z", "ends_at": "2026-06-01T00:00:00Z"}, "ends_at"),
        ({"audience": {"trigger": {"event": "order.paid"}}}, "audience"),
    ],
)
def test_a_template_that_contradicts_itself_is_refused(told: dict[str, Any], path: str) -> None:
    with pytest.raises((InvalidTemplate, InvalidRule)) as refused:
        template(**told)
    assert refused.value.details["path"] == path


def test_price_rules_are_checked() -> None:
    def rule(**more: Any) -> PriceRule:
        return check_price_rule(msgspec.convert({"id": "R"} | more, PriceRule))

    for wrong in ({}, {"off_fen": 1, "percent_pay": 90}, {"price_fen": 1}):
        with pytest.raises(InvalidTemplate):
            rule(**wrong)
    first = {"person": "first_paid_order", "op": "eq", "value": True}
    assert holds_entitlement(rule(percent_pay=90, condition=first))
    assert holds_entitlement(rule(percent_pay=90, once_per_person=True))
    assert not holds_entitlement(rule(percent_pay=90))


def test_codes_cannot_be_guessed_or_misread() -> None:
    assert not set("01OILU") & set(ALPHABET)
    assert len(ALPHABET) ** LENGTH > 2**60
    rows = draw(2_000, Random(5).randbytes)
    made = [bytes(row).decode() for row in rows]
    assert len(set(made)) == 2_000
    vault = Vault(b"secret")
    assert [bytes(row) for row in vault.blocks(rows)] == sorted(vault.number(code).bytes for code in made)
    assert vault.open(vault.number(made[0]), b"") == made[0]
    assert all(len(code) == LENGTH and set(code) <= set(ALPHABET) for code in made)
    assert normal(shown(made[0]).lower()) == made[0]


def test_a_code_is_the_same_from_a_chinese_keyboard_and_from_a_spreadsheet() -> None:
    marked = ("\ufeffAB12CD", "AB12\u200bCD", "\u3000ab12\xa0cd ", "\u202dAB12CD\u202c")
    for typed in ("ＡＢ１２－ｃｄ", "AB12—CD", "AB12–cd", *marked):
        assert normal(typed) == "AB12CD", typed
    assert usable(["\ufeffAB12CD", "AB12CD", "ＡＢ１２ＣＤ"]) == ["AB12CD"]
    assert usable(["新年快乐2029", "AB\x0012"]) == ["新年快乐2029"]
    vault = Vault(b"s")
    assert vault.number("\ufeffＡＢ１２ＣＤ") == vault.number("ab12-cd")


@given(st.text(min_size=1, max_size=12))
def test_what_is_stored_of_a_code_is_found_by_the_code_as_it_is_shown(text: str) -> None:
    assert normal(normal(text)) == normal(text)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=4, max_size=16))
def test_a_stored_code_can_be_read_with_the_secret_only(text: str) -> None:
    for code in usable([text]):
        vault = Vault(b"secret")
        sealed = vault.seal(code)
        assert vault.open(*sealed) == normal(code)
        assert vault.number(code) == sealed.number
        assert code.encode() not in sealed.body
        assert Vault(b"other").number(code) != sealed.number
