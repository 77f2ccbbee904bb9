"""Real processes racing for the last units, with every guard in place and with some taken away; and dying ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from siyu.ledger import AccountName, Command, Flow, Ledger, Leg, Role, derived_key
from siyu.ledger.check import violations
from siyu.store.postgres import Database, driver_of
from tests.rounds import CRASHES, RACES

from .ledger_racer import NOW, ZONE, fill
from .racing import PROCESSES, Racers

pytestmark = pytest.mark.proof
Race = Callable[..., Awaitable[Counter[str]]]
CHANCES = 40
"""Without a guard something goes wrong when processes meet, which one race of them may not see on a busy machine."""


@pytest.fixture
async def ledger(db: Database) -> Database:
    await db.create_all()
    return db


async def dsn_of(db: Database, postgres_dsn: str) -> str:
    async with db.driver() as connection:
        name = await connection.fetchval("SELECT current_database()")
    return postgres_dsn.replace("@/siyu?", f"@/{name}?")


async def post(db: Database, *commands: Command) -> list[int]:
    async with db.begin() as conn:
        outcomes = await Ledger(ZONE).post(await driver_of(conn), commands)
    return [one.settled().transfer for one in outcomes]


@pytest.fixture(scope="module")
def racers() -> Iterator[Racers]:
    running = Racers("tests.store.ledger_racer")
    yield running
    running.close()


@pytest.fixture
async def race(ledger: Database, racers: Racers, postgres_dsn: str) -> Race:
    """All processes at once; the sums of what they report."""
    return partial(racers.race, dsn=await dsn_of(ledger, postgres_dsn))


async def broken(db: Database) -> set[str]:
    """The invariants that do not hold: I1, I2 …"""
    async with db.driver() as connection:
        return {one.invariant.partition(" ")[0] for one in await violations(connection)}


async def test_limits_and_the_last_unit(ledger: Database, race: Race) -> None:
    for round_ in range(RACES):
        for name, limit, requests, currency in (
            ("one", 1, 15, "stock"),
            ("three", 3, 15, "points"),
            ("hundred", 100, 50, "points"),
            ("ten-of-a-thousand", 10, 250, "stock"),
        ):
            holder = f"{name}-{round_}"
            await post(ledger, fill(holder, limit, currency))
            result = await race(kind="spend", holder=holder, requests=requests, currency=currency)
            assert result == Counter(done=limit, refused=PROCESSES * requests - limit, broke=0)
    assert await broken(ledger) == set()


async def test_one_key_used_by_many_at_once_has_one_effect(ledger: Database, race: Race) -> None:
    for round_ in range(RACES):
        await post(ledger, *(fill(f"k{round_}-{number}", 100) for number in range(PROCESSES)))
        result = await race(kind="same_key", holder=f"k{round_}", requests=60)
        assert (result["done"], result["broke"]) == (60, 0)
    assert await broken(ledger) == set()


async def test_without_the_unique_key_the_check_finds_double_effects(ledger: Database, race: Race) -> None:
    await post(ledger, *(fill(f"k{turn}-{number}", 100) for turn in range(CHANCES) for number in range(PROCESSES)))
    async with ledger.driver() as connection:
        await connection.execute("ALTER TABLE ledger_transfers DROP CONSTRAINT uq_ledger_transfers_key")
    for turn in range(CHANCES):
        result = await race(kind="same_key", holder=f"k{turn}", requests=60, without=["key"])
        if result["done"] > 60:
            break
    assert result["done"] > 60
    assert await broken(ledger) == {"I4"}


@pytest.mark.parametrize("currency", ["stock", "points"])
async def test_each_layer_below_the_lock_keeps_the_ledger_right(ledger: Database, race: Race, currency: str) -> None:
    job: dict[str, Any] = {"kind": "spend", "currency": currency, "requests": 60}
    guards = ["lock"]
    await post(ledger, fill("a", 100, currency))
    result = await race(holder="a", without=guards, **job)
    assert (result["done"], result["refused"], result["broke"]) == (100, 140, 0), "the version in WHERE decides"
    assert await broken(ledger) == set()

    guards += ["version", "remaining"]
    await post(ledger, fill("b", 100, currency))
    result = await race(holder="b", without=guards, **job)
    assert result["done"] <= 100, "two entries of one version: the primary key refuses the second"
    assert await broken(ledger) == set()

    async with ledger.driver() as connection:
        for statement in (
            "ALTER TABLE ledger_entries DROP CONSTRAINT pk_ledger_entries",
            "ALTER TABLE ledger_accounts DROP CONSTRAINT ck_ledger_accounts_side_of_zero",
            "ALTER TABLE ledger_lots DROP CONSTRAINT ck_ledger_lots_remaining",
        ):
            await connection.execute(statement)
    for turn in range(CHANCES):
        await post(ledger, fill(f"c{turn}", 100, currency))
        result = await race(holder=f"c{turn}", without=guards, **job)
        if result["done"] > 100:
            break
    assert result["done"] > 100, "with nothing left, units are given twice"
    assert "I2" in await broken(ledger)


async def held(db: Database, holder: str) -> list[int]:
    """Forty pending transfers."""
    names = [AccountName("stock", holder, role) for role in (Role.AVAILABLE, Role.REDEEMED, Role.LOCKED)]
    flow = Flow((Leg(*names),), 5, ends_at=NOW + timedelta(days=1))
    keys = [derived_key("held", holder, number) for number in range(40)]
    return (await post(db, fill(holder, 200), *(Command(key, key, "lock", (flow,), NOW) for key in keys)))[1:]


async def test_what_is_pending_ends_once(ledger: Database, race: Race) -> None:
    for round_ in range(RACES):
        result = await race(kind="end", transfers=await held(ledger, f"h{round_}"))
        assert result == Counter(done=40, refused=120, broke=0)
    assert await broken(ledger) == set()
    async with ledger.driver() as connection:
        await connection.execute("ALTER TABLE ledger_entries DROP CONSTRAINT pk_ledger_entries")
        await connection.execute("ALTER TABLE ledger_accounts DROP CONSTRAINT ck_ledger_accounts_side_of_zero")
    guards = ["lock", "version"]
    result = await race(kind="end", transfers=await held(ledger, "i"), without=guards)
    assert result["done"] == 40, "the state in WHERE decides"
    guards += ["leg"]
    for turn in range(CHANCES):
        result = await race(kind="end", transfers=await held(ledger, f"j{turn}"), without=guards)
        if result["done"] > 40:
            break
    assert result["done"] > 40
    assert "I6" in await broken(ledger)


async def test_a_process_that_dies_leaves_all_or_nothing_and_a_retry_makes_it_once(
    ledger: Database, racers: Racers, postgres_dsn: str
) -> None:
    await post(ledger, fill("x", 1000, "points"))
    await racers.crashes(CRASHES, dsn=await dsn_of(ledger, postgres_dsn), holder="x")
    async with ledger.driver() as connection:
        left = await connection.fetchval(
            "SELECT balance FROM ledger_accounts WHERE holder = 'x' AND role = 'available'"
        )
    assert left == 1000 - CRASHES
    assert await broken(ledger) == set()
