"""Refund after reward: what was earned is taken back while it is being spent; what is missing is owed, to the point."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest

from siyu.ledger.check import violations
from siyu.loyalty.request import Earn, Spend
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from tests.coupon_world import Brand
from tests.rounds import CRASHES, RACES

from .points_racer import U1
from .racing import PROCESSES, Racers
from .test_ledger_races import CHANCES, dsn_of

pytestmark = pytest.mark.proof


@pytest.fixture
async def brand(db: Database, events: EventStore) -> AsyncIterator[Brand]:
    made = await Brand.open(db, events)
    await made.people("U1")
    yield made
    await made.close()


@pytest.fixture(scope="module")
def racers() -> Iterator[Racers]:
    running = Racers("tests.store.points_racer")
    yield running
    running.close()


async def earn(brand: Brand, points: int) -> int:
    return (await brand.points.ask(Earn(person=U1, points=points), None, "test")).transfer


async def held(brand: Brand) -> Counter[str]:
    """What the person has, by role."""
    async with brand.db.driver() as connection:
        rows = await connection.fetch(
            "SELECT role, sum(balance)::bigint FROM ledger_accounts WHERE currency = 'points' GROUP BY role"
        )
    return Counter({row[0]: row[1] for row in rows})


async def broken(brand: Brand) -> list[object]:
    async with brand.db.driver() as connection:
        return list(await violations(connection))


async def test_what_is_taken_back_while_it_is_spent_is_owed(brand: Brand, racers: Racers, postgres_dsn: str) -> None:
    dsn = await dsn_of(brand.db, postgres_dsn)
    for _ in range(RACES):
        found = await racers.race(dsn=dsn, earned=await earn(brand, 100), requests=5)
        assert found["taken back"] == 10, "each point is taken back once"
        assert sum(found.values()) == 2 * 5 * PROCESSES
        there = await held(brand)
        assert (there["available"], there["debt"]) == (0, -10 * found["spent"])
        await earn(brand, 10 * found["spent"] + 7)
        there = await held(brand)
        assert (there["available"], there["debt"]) == (7, 0), "a debt is paid first"
        await brand.points.ask(Spend(person=U1, points=7), None, "test")  # the next round begins at nothing
    assert await broken(brand) == []


async def test_without_its_guards_more_comes_back_than_was_earned(
    brand: Brand, racers: Racers, postgres_dsn: str
) -> None:
    dsn = await dsn_of(brand.db, postgres_dsn)
    async with brand.db.driver() as connection:
        for statement in (
            "ALTER TABLE ledger_entries DROP CONSTRAINT pk_ledger_entries",
            "ALTER TABLE ledger_accounts DROP CONSTRAINT ck_ledger_accounts_side_of_zero",
            "ALTER TABLE ledger_lots DROP CONSTRAINT ck_ledger_lots_remaining",
        ):
            await connection.execute(statement)
    for _ in range(CHANCES):
        found = await racers.race(dsn=dsn, earned=await earn(brand, 100), requests=5, without=["all"])
        if found["taken back"] > 10 or await broken(brand):
            break
    else:
        pytest.fail("nothing went wrong without the guards")
    assert await broken(brand)


async def test_killed_around_each_commit_and_asked_again(brand: Brand, racers: Racers, postgres_dsn: str) -> None:
    await brand.people(*(f"R{round_}" for round_ in range(CRASHES)))
    await racers.crashes(CRASHES, dsn=await dsn_of(brand.db, postgres_dsn))
    there = await held(brand)
    assert (there["available"], there["debt"], there["redeemed"]) == (0, -4 * CRASHES, 4 * CRASHES)
    assert await broken(brand) == []
