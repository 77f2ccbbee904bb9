"""Currencies as data: added, changed, and what of them never changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from siyu.connectors.shop import records as connector_records
from siyu.connectors.shop.records import Noted
from siyu.errors import Conflict, Refused
from siyu.ledger import AccountName, Command, Flow, Ledger, Leg, Role, Rounding, UnknownCurrency, currencies
from siyu.ledger.command import derived_key
from siyu.ledger.currencies import InvalidCurrency, Wanted
from siyu.loyalty.earning import EarnRule
from siyu.loyalty.react import store_rule
from siyu.store.postgres import Database, driver_of

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 6, 1, 2, tzinfo=UTC)
PAW = Wanted("paw", "爪印", "paws", True, 6, Rounding.QUARTER)


@pytest.fixture
async def house(db: Database, right_ledger: None) -> Database:
    """An empty ledger."""
    await db.create_all()
    return db


async def put(db: Database, wanted: Wanted) -> Any:
    async with db.begin() as conn:
        return await currencies.put(await driver_of(conn), wanted)


async def test_what_may_change_and_what_never(house: Database) -> None:
    made = await put(house, PAW)
    assert (made.lots, made.keep_months, made.rounding) == (True, 6, Rounding.QUARTER)
    assert (await put(house, PAW._replace(lots=None, keep_months=None))).lots is True
    with pytest.raises(Refused) as refused:
        await put(house, PAW._replace(lots=False, keep_months=None))
    assert refused.value.code == "CURRENCY_IMMUTABLE"
    with pytest.raises(InvalidCurrency):
        await put(house, Wanted("stone", "石", "stones", False, 3))
    # One that every installation begins with keeps its lots, though nothing was ever booked in it.
    with pytest.raises(Refused):
        await put(house, Wanted("points", "积分", "points", False))
    assert (await put(house, Wanted("points", "茶点", "leaves", None, 24))).unit_zh == "茶点"
    async with house.driver() as connection:
        known = {one.code: one for one in await currencies.every(connection)}
    assert known["paw"].keep_months is None
    assert known["points"].keep_months == 24
    assert "growth" in known


async def test_a_new_currency_counts_at_once_in_every_process(house: Database) -> None:
    other = Ledger(ZONE)
    async with house.begin() as conn:
        assert "paw" not in await other.currencies(await driver_of(conn))
    await put(house, PAW)
    issued, there = (AccountName("paw", "1", role) for role in (Role.ISSUED, Role.AVAILABLE))
    key = derived_key("test", 1)
    command = Command(key, key, "earn", (Flow((Leg(issued, there),), 5),), NOW, report=(there,))
    async with house.begin() as conn:
        (outcome,) = await other.post(await driver_of(conn), [command])
    assert outcome.balances == {"paw.available": 5}


async def test_an_earn_rule_needs_a_currency_and_the_next_version(house: Database) -> None:
    rule = EarnRule(id="tasting", event="tea.tasted", label_zh="试茶", label_en="Tasting", points=7, currency="paw")
    ledger = Ledger(ZONE)

    async def store(one: EarnRule) -> EarnRule:
        async with house.begin() as conn:
            return await store_rule(await driver_of(conn), ledger, one, NOW)

    with pytest.raises(UnknownCurrency):
        await store(rule)
    await put(house, PAW)
    assert await store(rule) == rule
    with pytest.raises(Conflict):
        await store(rule)


async def test_strangers_at_a_connector_leave_one_row(house: Database) -> None:
    at = NOW.timestamp()
    async with house.driver() as connection:
        for number in range(50):
            seen = Noted("WRONG_SIGNATURE", datetime.fromtimestamp(at + number / 10, UTC), f"no {number}")
            await connector_records.note(connection, "own", seen)
        await connector_records.note(connection, "own", Noted("KEPT", NOW, ""))
        found = await connector_records.noted(connection)
    assert [one.code for one in found["own"]] == ["WRONG_SIGNATURE", "KEPT"]
    assert found["own"][0].detail == "no 40"
