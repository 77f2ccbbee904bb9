"""Which event tells the money of an order again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from siyu.shop.claims import Claim, claim_of, first_of, key_of, repeats
from siyu.shop.foreign import UNNAMED

NOON = datetime(2026, 6, 1, 4, tzinfo=UTC)
SITE = Claim("O1", UNNAMED, "order.paid", "", "site", 1, "e1", NOON)
HOOK = Claim("O1", "mall", "order.paid", "", "mall", 2, "e2", NOON + timedelta(seconds=5))


@pytest.mark.parametrize(
    ("one", "first", "same"),
    [
        (HOOK, SITE, True),
        (SITE, SITE, False),
        (SITE._replace(event_id="e3"), SITE, False),
        (HOOK._replace(order_id="O2"), SITE, False),
        (HOOK._replace(name="order.refunded"), SITE, False),
        (HOOK, SITE._replace(shop="other"), False),
        (HOOK, SITE._replace(shop="mall"), True),
        (HOOK._replace(reference="p1"), SITE, True),
        (HOOK._replace(reference="p1"), SITE._replace(reference="p2"), False),
        (HOOK._replace(reference="p1"), SITE._replace(reference="p1"), True),
        (SITE._replace(reference="p1", event_id="e3"), SITE._replace(reference="p1"), True),
        (SITE._replace(reference="p1", event_id="e3"), SITE, False),
    ],
)
def test_what_repeats_what(one: Claim, first: Claim, same: bool) -> None:
    assert (repeats(one, first), repeats(first, one)) == (same, same)


def test_the_earliest_of_the_same_person_is_the_first() -> None:
    early = SITE._replace(source="app", event_id="e0", at=NOON - timedelta(hours=1))
    li, wang = 1, 2
    known = [(SITE, {li}), (early, {wang}), (early._replace(order_id="O2"), {li})]
    assert first_of(HOOK, {li}, known) == SITE
    assert first_of(HOOK, {wang}, known) == early
    assert first_of(HOOK, {li, wang}, known) == early
    assert first_of(HOOK, {3}, known) is None
    assert first_of(HOOK, set(), known) is None


@pytest.mark.parametrize(
    ("name", "said", "claims"),
    [
        ("Order Completed", {"orderId": "O1"}, ("O1", UNNAMED, "order.paid", "")),
        ("order.paid", {"order_id": 7, "shop": "mall", "payment_id": "p"}, ("7", "mall", "order.paid", "p")),
        ("order.paid", {"total": 3}, None),
        ("Order Refunded", {"order_id": "O1", "refund_id": "r"}, ("O1", UNNAMED, "order.refunded", "r")),
        ("Order Refunded", {"order_id": "O1"}, None),
        ("order.cancelled", {"order_id": "O1"}, None),
    ],
)
def test_what_an_event_claims(name: str, said: dict[str, Any], claims: tuple[str, ...] | None) -> None:
    found = claim_of(name, said, source="site", anchor=1, event_id="e1", at=NOON)
    assert (None if found is None else found[:4]) == claims


def test_what_cannot_be_stored_is_left_out() -> None:
    said = {"order_id": "O\x001", "payment_id": "p\x00"}
    found = claim_of("order.paid", said, source="site", anchor=1, event_id="e\x001", at=NOON)
    assert found == Claim("O1", UNNAMED, "order.paid", "p", "site", 1, "e1", NOON)


def test_of_one_identifier_and_source_the_first_is_kept() -> None:
    assert key_of(SITE) == key_of(SITE._replace(event_id="e9", at=NOON + timedelta(days=1)))
    assert len({key_of(one) for one in (SITE, HOOK, SITE._replace(anchor=9), SITE._replace(reference="p"))}) == 4
