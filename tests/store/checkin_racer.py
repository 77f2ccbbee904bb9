"""A process that checks one person in, day after day, at the same time as others: for test_checkins.

`python -m tests.store.checkin_racer JOB`, the job as JSON; answers a JSON line. `without` names guards that are left
out: what then goes wrong shows what each is for.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from siyu.errors import Refused
from siyu.ledger import Ledger, derived_key
from siyu.loyalty.request import Identifier
from siyu.membership import checkin_records, checkins
from siyu.membership.checkin_shown import CheckedIn
from siyu.membership.checkins import Asking
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once

from .membership_house import SECRET, ZONE

APART = 0.06
"""Seconds between two rounds."""


def leave_out(guards: list[str], me: int) -> None:
    """Take guards out."""
    for guard in guards:
        if guard == "lock":
            assert "pg_advisory_xact_lock" in checkin_records.LOCK
            checkin_records.LOCK = "SELECT $1::bigint, $2::bigint[], $3::bigint"
        elif guard == "key":
            assert "ON CONFLICT (anchor, day) DO NOTHING" in checkin_records.ADD
            checkin_records.ADD = checkin_records.ADD.replace("ON CONFLICT (anchor, day) DO NOTHING", "")
        else:

            def own(*parts: object) -> UUID:
                return derived_key(me, *parts)

            assert guard == "reward"
            checkins.derived_key = own  # type: ignore[attr-defined]  # the key is this process's own


async def race(job: dict[str, Any]) -> Counter[str]:
    """Check in once a day; how often it was done, refused, or broke."""
    db = await Database.open(job["dsn"], connections_max=2)
    ledger, counts = Ledger(ZONE), Counter[str]()
    kind, value = job["persons"][job["process"] % len(job["persons"])]
    for round_ in range(job["rounds"]):
        now = datetime.fromisoformat(job["now"]) + timedelta(days=round_)
        asking = Asking(Identifier(kind=kind, value=value), "app", now, SECRET)

        async def do(connection: Any, asking: Asking = asking) -> CheckedIn:
            return await checkins.check_in(connection, ledger, asking)

        await asyncio.sleep(max(0.0, job["start"] + APART * round_ - time.time()))
        try:
            await once(db, Asked(None, "check_in", None), CheckedIn, do, lambda now=now: now)  # type: ignore[misc]  # Now
            counts["done"] += 1
        except Refused as refusal:
            counts[refusal.code] += 1
    await db.close()
    return counts


def main() -> None:
    """Do the job."""
    job = json.loads(sys.argv[1])
    leave_out(job.get("without", []), job["process"])
    sys.stdout.write(json.dumps(asyncio.run(race(job))) + "\n")


if __name__ == "__main__":
    main()
