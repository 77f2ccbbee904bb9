"""A process that asks the ledger for things at the same time as others, or dies while it does: for test_ledger_races.

`python -m tests.store.ledger_racer JOB`, the job as JSON; answers a JSON line. `without` names guards that are left out
of the statements: what then goes wrong shows what each is for.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
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


def leave_out(guards: list[str]) -> None:
    """Take guards out of the statements."""
    texts = {
        "version": records.VERSION_GUARD,
        "remaining": records.REMAINING_GUARD,
        "leg": records.LEG_GUARD,
        "key": "ON CONFLICT (key) DO NOTHING",
    }
    for guard in guards:
        if guard == "lock":
            assert "FOR UPDATE" in records.LOCK
            records.LOCK = records.LOCK.replace("FOR UPDATE", "")
        else:
            assert texts[guard] in records.WRITE
            records.WRITE = records.WRITE.replace(texts[guard], "")


async def race(job: dict[str, Any]) -> dict[str, int]:
    """Ask for everything at once; how many were done, refused, or broke on the database's own rules."""
    db = await Database.open(job["dsn"], connections_max=4)
    desk: Desk[Command, Outcome] = Desk(db, Ledger(ZONE).post)
    wanted = commands(job)
    await asyncio.sleep(max(0.0, job["start"] - time.time()))
    if job["kind"] == "end":  # one after the other: many chances to meet
        outcomes = [(await asyncio.gather(desk.ask(one), return_exceptions=True))[0] for one in wanted]
    else:
        outcomes = await asyncio.gather(*(desk.ask(one) for one in wanted), return_exceptions=True)
    await db.close()
    done = [one for one in outcomes if isinstance(one, Outcome) and one.refused is None and one.fresh]
    refused = [one for one in outcomes if isinstance(one, Outcome) and one.refused is not None]
    broke = [one for one in outcomes if isinstance(one, BaseException)]
    return {"done": len(done), "refused": len(refused), "broke": len(broke)}


async def attempt(dsn: str, holder: str, round_: int, dies: str) -> None:
    """Spend one unit and be killed on the way: before the commit, or after it and before anybody was told."""
    db = await Database.open(dsn, connections_max=1)
    async with db.begin() as conn:
        await Ledger(ZONE).post(await driver_of(conn), [spend(holder, (holder, round_), "points")])
        if dies == "before":
            os.kill(os.getpid(), signal.SIGKILL)
    if dies == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    await db.close()


def crashes(job: dict[str, Any]) -> dict[str, int]:
    """Rounds of: a process dies, another one asks again under the same key."""
    killed = 0
    for round_ in range(job["rounds"]):
        for dies in (("before", "after")[round_ % 2], ""):
            child = os.fork()
            if child == 0:
                try:
                    asyncio.run(attempt(job["dsn"], job["holder"], round_, dies))
                finally:
                    os._exit(0)
            _, status = os.waitpid(child, 0)
            killed += os.WIFSIGNALED(status)
    return {"killed": killed}


def main() -> None:
    """Do the job."""
    job = json.loads(sys.argv[1])
    leave_out(job.get("without", []))
    answer = crashes(job) if job["kind"] == "crash" else asyncio.run(race(job))
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
