"""What membership holds of a person is in their archive, and gone after an erasure."""

from __future__ import annotations

from uuid import uuid4

import asyncpg
import msgspec
import pytest

from siyu.loyalty.request import Identifier
from siyu.membership import cards, checkins
from siyu.membership.checkins import Asking
from siyu.membership.rights import membership_file, scrub_membership
from siyu.processor.scrub import scrub_told
from siyu.profile.rights import Order, erase
from siyu.profile.rights_records import Record
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of

from .membership_house import SECRET, House

TABLES = {"person_tiers": "person", "checkins": "anchor", "checkin_rewards": "anchor", "told_events": "anchor"}


async def test_an_erased_member_leaves_nothing(db: Database, events: EventStore) -> None:
    house = await House.build(db, events)
    await house.pay(20_000)
    await house.pay(20_000, "u2")
    await house.look()
    async with db.begin() as conn:
        driver = await driver_of(conn)
        for user in ("u1", "u2"):
            asking = Asking(Identifier(kind="user_id", value=user), "app", house.now, SECRET)
            await checkins.check_in(driver, house.ledger, asking)
        await cards.issue(driver, house.uid(), house.now)
        name, held = await membership_file(driver, house.uid(), house.now)
    assert name == "membership.json"
    archive = msgspec.json.decode(msgspec.json.encode(held))
    assert (archive["tier"]["tier"], len(archive["history"]), len(archive["checkins"])) == ("白银", 1, 1)
    assert archive["checkins"][0]["rewards"] == [{"for": "daily", "currency": "points", "amount": 5}]
    person = (await house.named()).person

    order = Order(Record(uuid4(), [], house.now, "test"), "asked", [scrub_told, scrub_membership], 200)
    receipt = await erase(db, events, house.uid(), order)
    assert {name: receipt.rows[name] for name in (*TABLES, "tier_log")} == {
        "person_tiers": 1, "checkins": 1, "checkin_rewards": 1, "told_events": 2, "tier_log": 1,
    }  # fmt: skip
    await house.look()
    async with db.driver() as connection:
        for table, column in TABLES.items():
            assert await connection.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = $1", person) == 0, table
        assert (
            await connection.fetchval("SELECT count(*) FROM tier_log WHERE members @> ARRAY[$1::bigint]", person) == 0
        )
        assert await connection.fetchval("SELECT count(*) FROM checkins") == 1
    assert await house.tier("u2") == "白银"
    await house.stream.close()


@pytest.mark.parametrize(
    "statement",
    ["UPDATE tier_log SET reason = ''", "DELETE FROM tier_log", "TRUNCATE tier_log"],
)
async def test_what_was_decided_about_tiers_is_never_changed(db: Database, statement: str) -> None:
    await db.create_all()
    async with db.driver() as connection:
        with pytest.raises((asyncpg.IntegrityConstraintViolationError, asyncpg.InsufficientPrivilegeError)):
            await connection.execute(statement)
