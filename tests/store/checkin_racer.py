"""What processes do that check one person in at the same time, or die while they do (racing.py): for test_checkins."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from siyu.errors import Refused
from siyu.ledger import Ledger, derived_key
from siyu.loyalty.request import Identifier
from siyu.membership import checkin_records, checkins
from siyu.membership.checkin_shown import CheckedIn
from siyu.membership.checkins import Asking
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once

from .membership_house import SECRET, ZONE
from .racing import SENDING, Die, send

APART = 0.06
"""Seconds between two rounds."""


@contextmanager
def without(guards: list[str]) -> Iterator[None]:
    """Leave guards out: the lock, the key of check-ins (with what it says in the statement), the keys of rewards."""
    before = checkin_records.LOCK, checkin_records.ADD, derived_key
    if "lock" in guards:
        assert "pg_advisory_xact_lock" in checkin_records.LOCK
        checkin_records.LOCK = "SELECT $1::bigint, $2::bigint[], $3::bigint"
    if "key" in guards:
        assert "ON CONFLICT (anchor, day) DO NOTHING" in checkin_records.ADD
        checkin_records.ADD = checkin_records.ADD.replace("ON CONFLICT (anchor, day) DO NOTHING", "")
    if "reward" in guards:

        def own(*parts: object) -> UUID:
            return derived_key(uuid4(), *parts)

        checkins.derived_key = own  # type: ignore[attr-defined]  # a key of its own each time
    yield
    checkin_records.LOCK, checkin_records.ADD, checkins.derived_key = before  # type: ignore[attr-defined]


@asynccontextmanager
async def world(job: dict[str, Any]) -> AsyncIterator[Database]:
    """Connected."""
    db = await Database.open(job["dsn"], connections_max=2)
    async with db.driver() as connection:
        await connection.fetchval("SELECT 1")
    yield db
    await db.close()


def visit(person: tuple[str, str], now: datetime) -> Callable[[Any], Awaitable[CheckedIn]]:
    """A check-in, as `once` does it."""
    kind, value = person
    asking = Asking(Identifier(kind=kind, value=value), "app", now, SECRET)

    async def do(connection: Any) -> CheckedIn:
        return await checkins.check_in(connection, Ledger(ZONE), asking)

    return do


async def work(db: Database, job: dict[str, Any]) -> dict[str, int]:
    """Check in once a day; how often it was done, refused, or broke."""
    counts, start = Counter[str](), time.time()
    person = job["persons"][job["process"] % len(job["persons"])]
    for round_ in range(job["rounds"]):
        now = datetime.fromisoformat(job["now"]) + timedelta(days=round_)
        await asyncio.sleep(max(0.0, start + APART * round_ - time.time()))
        try:
            await once(db, Asked(None, "check_in", None), CheckedIn, visit(person, now), partial(_same, now))
            counts["done"] += 1
        except Refused as refusal:
            counts[refusal.code] += 1
    return counts


def _same(now: datetime) -> datetime:
    return now


PLACES = ("before the commit", "before anybody was told", *SENDING)


async def attempt(job: dict[str, Any], round_: int, die: Die) -> None:
    """Check in on a day of this round, under a key."""
    db = await Database.open(job["dsn"], connections_max=2)
    now = datetime.fromisoformat(job["now"]) + timedelta(days=round_)
    do = visit(job["person"], now)

    async def dying(connection: Any) -> CheckedIn:
        done = await do(connection)
        die("before the commit")
        return done

    found = await once(db, Asked(f"day {round_}", "check_in", round_), CheckedIn, dying, partial(_same, now))
    assert found.streak == round_ + 1
    die("before anybody was told")
    await send(db, partial(_same, now), die)
    await db.close()
