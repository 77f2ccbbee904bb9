"""Real processes racing for the last coupon, and each guard taken away: what then goes wrong shows what it is for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import pytest

from siyu.coupons import giving, lock_records, locks, records
from siyu.coupons.request import LockRequest
from siyu.errors import Refused
from siyu.loyalty.request import Identifier
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of
from tests.coupon_world import TEN, Brand, rule, template
from tests.rounds import CRASHES, RACES

from .racing import PROCESSES, Racers, told
from .test_ledger_races import dsn_of

Race = Callable[..., Awaitable[Counter[str]]]
FIRST = {"person": "first_paid_order", "op": "eq", "value": True}


@pytest.fixture
async def brand(db: Database, events: EventStore, right_ledger: None) -> AsyncIterator[Brand]:
    made = await Brand.open(db, events)
    await made.people("U1", "U2", "U3", "U4")
    yield made
    await made.close()


@pytest.fixture(scope="module")
def racers() -> Iterator[Racers]:
    running = Racers("tests.store.coupon_racer")
    yield running
    running.close()


@pytest.fixture
async def race(brand: Brand, racers: Racers, postgres_dsn: str) -> Race:
    """All processes at once; how often each thing came out."""
    job: dict[str, Any] = {"dsn": await dsn_of(brand.db, postgres_dsn)}

    async def run(**more: Any) -> Counter[str]:
        return await racers.race(**({"people": ["U1"]} | job | more))

    return run


@pytest.mark.proof
@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_limits_of_a_person_and_of_all(brand: Brand, race: Race, limit: int) -> None:
    requests = 10 if limit < 100 else 40
    refused = PROCESSES * requests - limit
    everybody = ["U1", "U2", "U3", "U4"]
    for round_ in range(RACES):
        await brand.template(template(f"P{round_}", per_user=limit))
        found = await race(kind="claim", template=f"P{round_}", requests=requests)
        assert found == Counter(done=limit, LIMIT_REACHED=refused)
        await brand.template(template(f"T{round_}", total=limit))
        found = await race(kind="claim", template=f"T{round_}", requests=requests, people=everybody)
        assert found == Counter(done=limit, LIMIT_REACHED=refused)
    async with brand.db.driver() as connection:
        given = await connection.fetch("SELECT template, count(*) FROM coupons GROUP BY template")
    assert {row[0]: row[1] for row in given} == {f"{one}{round_}": limit for one in "PT" for round_ in range(RACES)}


@pytest.mark.proof
async def test_one_coupon_one_budget_one_first_order_one_end(brand: Brand, race: Race) -> None:
    await brand.rule(rule("first", off_fen=5_000, condition=FIRST))
    for round_ in range(RACES):
        await brand.template(template(f"T{round_}", budget_fen=6_000))
        coupon = await brand.give(f"T{round_}", "U1")
        found = await race(kind="lock", coupon=coupon.code, requests=6)
        assert found == Counter(done=1, LOCKED=23)
        for _ in range(6):
            await brand.give(f"T{round_}", "U2")
        found = await race(kind="lock", coupon=f"T{round_}", requests=4, people=["U2"])
        assert found["done"] == 2 and found["done"] + found["BUDGET_EXHAUSTED"] + found["LOCKED"] == 16
        await brand.people(f"F{round_}")
        found = await race(kind="order", requests=4, people=[f"F{round_}"])
        assert found == Counter({"15000": 1, "20000": 15})
        await brand.earn("U4", 1)
        held = await brand.lock("U4", ttl_s=60, points=1)
        found = await race(kind="end", lock=str(held.id), requests=6)
        assert (found["committed"], found["released"], found["ALREADY_DECIDED"]) in ((12, 0, 12), (0, 12, 12))


@pytest.mark.proof
async def test_killed_between_lock_and_commit_and_asked_again(brand: Brand, racers: Racers, postgres_dsn: str) -> None:
    """Of each round a coupon, its budget and a point are used once, and said to be once."""
    dsn = await dsn_of(brand.db, postgres_dsn)
    await brand.template(template("T", budget_fen=2_000 * CRASHES))
    await brand.earn("U1", CRASHES)
    for _ in range(CRASHES):
        await brand.give("T", "U1")
    await racers.crashes(CRASHES, dsn=dsn)
    assert Counter(one.state for one in await brand.coupons("U1")) == Counter(redeemed=CRASHES)
    async with brand.db.driver() as connection:
        rows = await connection.fetch("SELECT holder, role, balance FROM ledger_accounts WHERE role <> 'issued'")
    left = {(row["holder"].partition("/")[0], row["role"]): row["balance"] for row in rows}
    assert left["coupon", "redeemed"] == 2_000 * CRASHES
    assert sum(row["balance"] for row in rows if row["role"] in ("available", "locked")) == 0
    names = await told(brand.db, lambda: TEN)
    assert (names["coupon.locked"], names["coupon.redeemed"]) == (CRASHES, CRASHES)


# Two transactions, each decided before the other commits: without its guard the second one always goes wrong.


async def both(db: Database, first: Callable[[Any], Awaitable[Any]], second: Callable[[Any], Awaitable[Any]]) -> str:
    """The second is asked while the first is not committed yet; what came of it."""
    async with db.begin() as one, db.begin() as other:
        connection = await driver_of(one)
        await first(connection)
        waiting = asyncio.ensure_future(second(await driver_of(other)))
        await asyncio.wait({waiting}, timeout=0.5)
        await one.commit()
        try:
            await waiting
            await other.commit()
        except Refused as refused:
            await other.rollback()
            return refused.code
        except asyncpg.PostgresError as error:
            await other.rollback()
            return type(error).__name__
    return "done"


U1 = Identifier("user_id", "U1")


async def nothing(*_: Any) -> None:
    return None


async def test_the_limit_of_a_person_and_what_stands_behind_it(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    async def claim(connection: Any) -> None:
        await giving.give(connection, brand.pricing, template_id, U1, TEN, way="claimed")

    async def count_all(connection: Any, template: str) -> bool:
        return True

    for template_id in ("A", "B", "C", "D"):
        await brand.template(template(template_id, per_user=1))
    # The total's row would keep them apart too.
    monkeypatch.setattr(records, "count_one", count_all)
    template_id = "A"
    assert await both(brand.db, claim, claim) == "LIMIT_REACHED"
    monkeypatch.setattr(records, "hold_anchors", nothing)
    template_id = "B"
    assert await both(brand.db, claim, claim) == "UniqueViolationError"
    async with brand.db.driver() as connection:
        await connection.execute("DROP INDEX uq_coupons_nth")
    template_id = "C"
    assert await both(brand.db, claim, claim) == "done", "two of one"
    monkeypatch.undo()
    template_id = "D"
    assert "< $3" in records._GIVE
    monkeypatch.setattr(records, "_GIVE", records._GIVE.replace("< $3", "< $3 + 1000"))
    assert await both(brand.db, claim, claim) == "done"


async def test_the_total_and_what_stands_behind_it(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    people = iter(["U1", "U2"] * 3)

    async def claim(connection: Any) -> None:
        who = Identifier("user_id", next(people))
        await giving.give(connection, brand.pricing, template_id, who, TEN, way="claimed")

    for template_id in ("A", "B", "C"):
        await brand.template(template(template_id, total=1))
    template_id = "A"
    assert await both(brand.db, claim, claim) == "LIMIT_REACHED"
    assert "issued < total" in records._COUNT
    monkeypatch.setattr(records, "_COUNT", records._COUNT.replace("issued < total", "true"))
    template_id = "B"
    assert await both(brand.db, claim, claim) == "CheckViolationError"
    async with brand.db.driver() as connection:
        await connection.execute("ALTER TABLE coupon_totals DROP CONSTRAINT ck_coupon_totals_within_total")
    template_id = "C"
    assert await both(brand.db, claim, claim) == "done", "two of one"


async def test_a_coupon_is_held_by_one_lock(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    await brand.template(template("T"))
    first, second = await brand.give("T", "U1"), await brand.give("T", "U1")

    async def hold(connection: Any) -> None:
        await locks.lock(connection, brand.pricing, LockRequest(person=U1, coupon=code, ttl_s=60), TEN)

    code = first.code
    assert await both(brand.db, hold, hold) == "LOCKED"
    # Without the person's rows both find it free; the state in the WHERE clause decides.
    monkeypatch.setattr(records, "hold_anchors", nothing)
    code = second.code
    assert await both(brand.db, hold, hold) == "LOCKED"
    third = await brand.give("T", "U1")
    assert "AND state = 'given'" in records._LOCK
    monkeypatch.setattr(records, "_LOCK", records._LOCK.replace("AND state = 'given'", ""))
    code = third.code
    assert await both(brand.db, hold, hold) == "done", "held twice"


async def test_a_lock_has_one_end(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    await brand.template(template("T"))
    await brand.give("T", "U1")
    await brand.give("T", "U1")

    async def use(connection: Any) -> None:
        await locks.commit(connection, brand.pricing, held.id, TEN)

    async def free(connection: Any) -> None:
        await locks.release(connection, brand.pricing, held.id, TEN)

    held = await brand.lock("U1", coupon="T")
    assert await both(brand.db, use, free) == "ALREADY_DECIDED"
    held = await brand.lock("U1", coupon="T")
    plain = lock_records.find

    async def unlocked(connection: Any, number: Any, *, hold: bool = False) -> Any:
        return await plain(connection, number)

    # Both read it as held; the state in the WHERE clause decides.
    monkeypatch.setattr(lock_records, "find", unlocked)
    assert await both(brand.db, use, free) == "ALREADY_DECIDED"
    # An order that uses nothing: of a coupon or points others would say no as well.
    _, held = await brand.order("U2", "O1")
    assert "AND state = 'held'" in lock_records._DECIDE
    monkeypatch.setattr(lock_records, "_DECIDE", lock_records._DECIDE.replace("AND state = 'held'", ""))
    assert await both(brand.db, use, free) == "done", "used and free"


async def test_what_a_person_may_have_once(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    await brand.rule(rule("first", off_fen=5_000, condition=FIRST))
    codes: list[int] = []
    for who in ("U1", "U2", "U3"):

        async def order(connection: Any, who: str = who) -> None:
            order_id = f"{who}-{len(codes)}"
            codes.append(await order_in(brand, connection, who, order_id))

        if who == "U2":  # without the person's rows both see a first order: the key of the entitlement decides
            monkeypatch.setattr(records, "hold_anchors", nothing)
        if who == "U3":
            async with brand.db.driver() as connection:
                await connection.execute(
                    "ALTER TABLE price_rule_entitlements DROP CONSTRAINT pk_price_rule_entitlements"
                )
        found = await both(brand.db, order, order)
        expected = {"U1": "done", "U2": "LIMIT_REACHED", "U3": "done"}[who]
        assert found == expected
    assert codes == [15_000, 20_000, 15_000, 15_000, 15_000]


async def order_in(brand: Brand, connection: Any, who: str, order_id: str) -> int:
    """An order in a transaction; what it costs."""
    found, _ = await brand.order_in(connection, who, order_id, 20_000)
    return found.payable_fen
