"""The ledger on real PostgreSQL: what its verbs do, and that nothing can be written past its guards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from siyu.ledger import AccountName, Command, Desk, End, Flow, Ledger, Leg, Outcome, Reverse, Role, State, records
from siyu.ledger.command import derived_key
from siyu.store.postgres import Database, driver_of

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 6, 1, 2, tzinfo=UTC)
NUMBERS = count()


def points(role: Role, holder: str = "1") -> AccountName:
    return AccountName("points", holder, role)


def command(*parts: Any, key: object = None, at: datetime = NOW, request: object = "", **more: Any) -> Command:
    """A command under a key of its own."""
    name = derived_key("test", next(NUMBERS) if key is None else key)
    report = more.pop("report", (points(Role.AVAILABLE),))
    return Command(name, derived_key("request", request), more.pop("kind", "test"), parts, at, report=report, **more)


def earn(amount: int, holder: str = "1", **more: Any) -> Flow:
    legs = (Leg(points(Role.ISSUED, holder), points(Role.AVAILABLE, holder)),)
    return Flow(legs, amount, repay=(points(Role.DEBT, holder),), **more)


def spend(amount: int, holder: str = "1", held: bool = False, **more: Any) -> Flow:
    lock = points(Role.LOCKED, holder) if held else None
    return Flow((Leg(points(Role.AVAILABLE, holder), points(Role.REDEEMED, holder), lock),), amount, **more)


@pytest.fixture
async def ledger(db: Database, right_ledger: None) -> Database:
    """An empty ledger."""
    await db.create_all()
    return db


async def post(db: Database, *commands: Command) -> list[Outcome]:
    async with db.begin() as conn:
        return await Ledger(ZONE).post(await driver_of(conn), commands)


async def lots(db: Database) -> list[tuple[int, int]]:
    """(amount, remaining) by expiry, then by earning."""
    async with db.driver() as connection:
        rows = await connection.fetch("SELECT amount, remaining FROM ledger_lots ORDER BY expires_at, earned_at, id")
    return [tuple(row) for row in rows]


async def test_what_is_earned_can_be_spent_once(ledger: Database) -> None:
    earned, spent, refused = await post(ledger, command(earn(100)), command(spend(70)), command(spend(31)))
    assert earned.balances == {"points.available": 100}
    assert spent.balances == {"points.available": 30}
    assert refused.refused is not None and refused.refused.code == "INSUFFICIENT"
    assert refused.refused.details == {"asked": 31, "there": 30}


async def test_a_key_has_one_effect_and_one_answer(ledger: Database) -> None:
    (first,) = await post(ledger, command(earn(100), key="k", request="a"))
    await post(ledger, command(earn(5)))
    again, other = await post(ledger, command(earn(100), key="k", request="a"), command(earn(7), key="k", request="b"))
    assert again == first._replace(fresh=False)
    assert other.refused is not None and other.refused.code == "IDEMPOTENCY_CONFLICT"
    (refusal,) = await post(ledger, command(spend(1000), key="r"))
    await post(ledger, command(earn(1000)))
    assert await post(ledger, command(spend(1000), key="r")) == [refusal._replace(fresh=False)]


async def test_lots_are_spent_by_expiry_then_by_earning(ledger: Database) -> None:
    later, sooner = NOW + timedelta(days=30), NOW + timedelta(days=3)
    await post(ledger, command(earn(10, expires_at=later)), command(earn(10, expires_at=sooner)))
    await post(ledger, command(earn(10, expires_at=sooner), at=NOW + timedelta(hours=1)))
    (spent,) = await post(ledger, command(spend(14), at=NOW + timedelta(hours=2)))
    assert await lots(ledger) == [(10, 0), (10, 6), (10, 10)]
    await post(ledger, command(Reverse(spent.transfer, 5), corrects=spent.transfer, kind="refund"))
    assert await lots(ledger) == [(10, 1), (10, 10), (10, 10)]
    (too_much,) = await post(ledger, command(Reverse(spent.transfer, 10), corrects=spent.transfer))
    assert too_much.refused is not None and too_much.refused.details == {"possible": 9}


async def test_ended_lots_cannot_be_spent_and_expire(ledger: Database) -> None:
    await post(ledger, command(earn(10, expires_at=NOW + timedelta(days=1))), command(earn(5)))
    late = NOW + timedelta(days=1)
    (refused,) = await post(ledger, command(spend(6), at=late))
    assert refused.refused is not None and refused.refused.details == {"asked": 6, "there": 5}
    expire = Flow((Leg(points(Role.AVAILABLE), points(Role.EXPIRED)),), 10, due_only=True, reversible=False)
    (expired,) = await post(ledger, command(expire, at=late))
    assert expired.balances == {"points.available": 5}


async def test_a_pending_transfer_has_one_end_and_part_of_it_may_be_posted(ledger: Database) -> None:
    await post(ledger, command(earn(100)))
    (held,) = await post(ledger, command(spend(80, held=True)))
    assert held.balances == {"points.available": 20}
    end = End(held.transfer, State.POSTED, 50)
    posted, again = await post(
        ledger,
        command(end, corrects=held.transfer, kind="post"),
        command(End(held.transfer, State.VOIDED), corrects=held.transfer, kind="void"),
    )
    assert posted.balances == {"points.available": 50}
    assert again.refused is not None and again.refused.code == "ALREADY_DECIDED"
    (back,) = await post(ledger, command(Reverse(held.transfer, 50), corrects=held.transfer))
    assert back.balances == {"points.available": 100}
    assert await lots(ledger) == [(100, 100)]


async def test_what_was_spent_and_is_taken_back_becomes_a_debt_that_is_paid_first(ledger: Database) -> None:
    (earned, _) = await post(ledger, command(earn(100)), command(spend(80)))
    back = Reverse(earned.transfer, 60, (points(Role.AVAILABLE),), points(Role.DEBT))
    report = (points(Role.AVAILABLE), points(Role.DEBT))
    (taken,) = await post(ledger, command(back, corrects=earned.transfer, report=report))
    assert taken.balances == {"points.available": 0, "points.debt": -40}
    first, second = await post(ledger, command(earn(30), report=report), command(earn(30), report=report))
    assert first.balances == {"points.available": 0, "points.debt": -10}
    assert second.balances == {"points.available": 20, "points.debt": 0}


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


async def without_debts(
    connection: Any, names: Iterable[AccountName], find: Any = records.find_accounts
) -> dict[AccountName, int]:
    found: dict[AccountName, int] = await find(connection, [name for name in names if name.role is not Role.DEBT])
    return found


@pytest.mark.parametrize("hidden", [False, True], ids=["seen", "without the look under the lock"])
@pytest.mark.parametrize("opened", [False, True], ids=["first earning", "later earning"])
async def test_a_debt_that_is_just_arising_is_waited_for_and_paid_first(
    ledger: Database, monkeypatch: pytest.MonkeyPatch, opened: bool, hidden: bool
) -> None:
    (first,) = await post(ledger, command(earn(100)))
    await post(ledger, command(spend(100)), *([command(earn(5, "2")), command(spend(5, "2"))] if opened else ()))
    has = (points(Role.AVAILABLE), points(Role.AVAILABLE, "2"))
    back = Reverse(first.transfer, 100, has, points(Role.DEBT, "2"))
    pays = earn(30, "2")._replace(repay=(points(Role.DEBT), points(Role.DEBT, "2")))
    async with ledger.begin() as conn:
        await Ledger(ZONE).post(await driver_of(conn), [command(back)])
        if hidden:
            monkeypatch.setattr(records, "find_accounts", without_debts)
        paying = asyncio.create_task(post(ledger, command(pays, report=(*has, *pays.repay))))
        async with ledger.driver() as watching:
            while not paying.done() and not await watching.fetchval(WAITING):  # noqa: ASYNC110 - polls a database
                await asyncio.sleep(0.01)
    (paid,) = await paying
    owed = (30, 0) if hidden else (0, -70)
    assert (paid.balances["points.available"], paid.balances["points.debt"]) == owed


async def test_earning_opens_no_account_that_nothing_moves(ledger: Database) -> None:
    flow = earn(30)._replace(repay=(points(Role.DEBT), points(Role.DEBT, "2")))
    (earned,) = await post(ledger, command(flow, report=(points(Role.AVAILABLE), points(Role.AVAILABLE, "2"))))
    async with ledger.driver() as connection:
        rows = await connection.fetch("SELECT holder, role, balance FROM ledger_accounts ORDER BY role")
    assert [tuple(row) for row in rows] == [("1", "available", 30), ("1", "issued", -30)]
    assert earned.balances == {"points.available": 30}


async def test_parts_of_a_command_happen_together_or_not_at_all(ledger: Database) -> None:
    (refused,) = await post(ledger, command(earn(10), spend(11)))
    assert refused.refused is not None and refused.balances == {}
    (both,) = await post(ledger, command(earn(10), spend(9)))
    assert both.balances == {"points.available": 1}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entries SET amount = amount + 1",
        "DELETE FROM ledger_entries",
        "TRUNCATE ledger_entries",
        "UPDATE ledger_transfers SET kind = 'x'",
        "DELETE FROM ledger_lot_moves",
        "INSERT INTO ledger_entries SELECT account, 2, transfer, 5, 105, at FROM ledger_entries LIMIT 1",
        "UPDATE ledger_accounts SET balance = -1 WHERE role = 'available'",
        "UPDATE ledger_lots SET remaining = amount + 1",
        "UPDATE ledger_legs SET reversed = posted + 1",
    ],
)
async def test_the_database_itself_refuses(ledger: Database, statement: str) -> None:
    await post(ledger, command(earn(100)))
    async with ledger.driver() as connection:
        with pytest.raises((asyncpg.IntegrityConstraintViolationError, asyncpg.InsufficientPrivilegeError)):
            await connection.execute(statement)


async def test_requests_that_wait_together_are_committed_together(ledger: Database) -> None:
    await post(ledger, command(earn(100)))
    work = Ledger(ZONE)
    desk: Desk[Command, Outcome] = Desk(ledger, work.post)
    outcomes = await asyncio.gather(*(desk.ask(command(spend(1))) for _ in range(150)))
    assert sorted(one.refused is None for one in outcomes) == [False] * 50 + [True] * 100
    async with ledger.driver() as connection:
        commits = await connection.fetchval(
            "SELECT count(DISTINCT committed_in) FROM ledger_transfers WHERE kind = 'test'"
        )
    assert commits <= 3
