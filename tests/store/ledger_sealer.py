"""A process that seals at the same time as others, or dies while it does: for test_ledger_seal_races.

`python -m tests.store.ledger_sealer JOB`, the job as JSON; answers a JSON line. `unclaimed`: the lock by which one
process seals at a time is left out; what then goes wrong shows what it is for.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from typing import Any

import asyncpg
from sqlalchemy.exc import DBAPIError

from siyu.clock import system_now
from siyu.ledger import seal_records
from siyu.ledger.sealing import Sealer
from siyu.store.postgres import Database, driver_of

SECRET = b"of the races"
LIMIT = 20


async def leave_out_the_claim() -> None:
    """Read where the sealer is without locking it."""

    async def unclaimed(connection: Any) -> seal_records.Cursor:
        row = await connection.fetchrow("SELECT log, cluster, committed_in, transfer, restored FROM ledger_sealer")
        return seal_records.Cursor(*row)

    seal_records.claim = unclaimed


async def run(job: dict[str, Any]) -> dict[str, int]:
    """Seal small blocks until `until`; how many transfers, and how often the database's own rules said no."""
    if job.get("unclaimed"):
        await leave_out_the_claim()
    db = await Database.open(job["dsn"], connections_max=2)
    sealer = Sealer(SECRET)
    done, broke, chosen = 0, 0, random.Random()
    await asyncio.sleep(max(0.0, job["start"] - time.time()))
    while time.time() < job["until"]:
        try:
            async with db.begin() as conn:
                sealed = await sealer.seal_block(await driver_of(conn), system_now(), LIMIT)
                if sealed and chosen.random() < job.get("dies", 0):
                    os.kill(os.getpid(), signal.SIGKILL)
            done += sealed
            if sealed and chosen.random() < job.get("dies", 0):
                os.kill(os.getpid(), signal.SIGKILL)
        except (DBAPIError, asyncpg.PostgresError):
            broke += 1
        await asyncio.sleep(0.005)
    await db.close()
    return {"done": done, "broke": broke}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(run(json.loads(sys.argv[1])))) + "\n")
