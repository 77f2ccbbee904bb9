"""What processes ask the ledger for at the same time, or die while they do (racing.py): for test_ledger_races."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from siyu.ledger import (
    AccountName,
    Command,
    Desk,
    End,
    Flow,
    Ledger,
    Leg,
    Outcome,
    Role,
    State,
    derived_key,
    records,
)
from siyu.store.postgres import Database, driver_of

from .racing import Die

NOW = datetime(2026, 6, 1, 2, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")


def spend(holder: str, key: object, currency: str = "stock") -> Command:
    """One unit of what a holder has."""
    source, target = AccountName(currency, holder, Role.AVAILABLE), AccountName(currency, holder, Role.REDEEMED)
    number = derived_key(key)
    return Command(number, number, "spend", (Flow((Leg(source, target),), 1),), NOW, report=(source,))


def fill(holder: str, amount: int, currency: str = "stock") -> Command:
    """What there is to spend."""
    leg = Leg(AccountName(currency, holder, Role.ISSUED), AccountName(currency, holder, Role.AVAILABLE))
    key = derived_key("fill", holder, currency)
    return Command(key, key, "earn", (Flow((leg,), amount),), NOW)


def commands(job: dict[str, Any]) -> list[Command]:
    """What this process asks for."""
    me, wanted = job["process"], range(job.get("requests", 0))
    if job["kind"] == "same_key":
        # The key is the same for all; the account is this process's own, so that no lock stands in the way.
        return [
            spend(f"{job['holder']}-{me}", ("same", job["holder"], n))._replace(request=derived_key(n)) for n in wanted
        ]
    if job["kind"] == "end":
        state, kind = (State.POSTED, "post") if me % 2 else (State.VOIDED, "void")
        return [
            Command(derived_key(me, one), derived_key(one), kind, (End(one, state),), NOW, corrects=one)
            for one in job["transfers"]
        ]
    return [spend(job["holder"], (job["holder"], me, n), job["currency"]) for n in wanted]


GUARDS = {
    "lock": "FOR UPDATE",
    "version": records.VERSION_GUARD,
    "remaining": records.REMAINING_GUARD,
    "leg": records.LEG_GUARD,
    "key": "ON CONFLICT (key) DO NOTHING",
}
"""What can be left out of the statements."""


MEETING_SECONDS = 0.005
"""Between what a process reads and what it writes, where guards are left out: the others come in between."""


@contextmanager
def without(guards: list[str]) -> Iterator[None]:
    """Leave guards out of the statements."""
    before = records.LOCK, records.WRITE, records.write

    async def slowly(*given: Any) -> bool:
        await asyncio.sleep(MEETING_SECONDS)
        return await before[2](*given)

    if guards:
        records.write = slowly
    for guard in guards:
        name = "LOCK" if guard == "lock" else "WRITE"
        assert GUARDS[guard] in getattr(records, name)
        setattr(records, name, getattr(records, name).replace(GUARDS[guard], ""))
    yield
    records.LOCK, records.WRITE, records.write = before  # type: ignore[misc]  # as it was


@asynccontextmanager
async def world(job: dict[str, Any]) -> AsyncIterator[Database]:
    """Connected."""
    db = await Database.open(job["dsn"], connections_max=4)
    async with db.driver() as connection:
        await connection.fetchval("SELECT 1")
    yield db
    await db.close()


async def work(db: Database, job: dict[str, Any]) -> dict[str, int]:
    """Ask for everything at once; how many were done, refused, or broke on the database's own rules."""
    desk: Desk[Command, Outcome] = Desk(db, Ledger(ZONE).post)
    wanted = commands(job)
    if job["kind"] == "end":  # one after the other: many chances to meet
        outcomes = [(await asyncio.gather(desk.ask(one), return_exceptions=True))[0] for one in wanted]
    else:
        outcomes = await asyncio.gather(*(desk.ask(one) for one in wanted), return_exceptions=True)
    done = [one for one in outcomes if isinstance(one, Outcome) and one.refused is None and one.fresh]
    refused = [one for one in outcomes if isinstance(one, Outcome) and one.refused is not None]
    broke = [one for one in outcomes if isinstance(one, BaseException)]
    return {"done": len(done), "refused": len(refused), "broke": len(broke)}


PLACES = ("before the commit", "before anybody was told")


async def attempt(job: dict[str, Any], round_: int, die: Die) -> None:
    """Spend one unit and be killed on the way."""
    db = await Database.open(job["dsn"], connections_max=1)
    async with db.begin() as conn:
        holder = job["holder"]
        (outcome,) = await Ledger(ZONE).post(await driver_of(conn), [spend(holder, (holder, round_), "points")])
        outcome.settled()
        die("before the commit")
    die("before anybody was told")
    await db.close()
