"""Real processes that seal one ledger at the same time, and die while they do."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from typing import Any

import pytest

from siyu.clock import system_now
from siyu.ledger.check import violations
from siyu.ledger.sealing import Sealer, seal_all
from siyu.store.postgres import Database

from .ledger_racer import fill
from .ledger_sealer import SECRET
from .test_ledger_races import dsn_of, post

PROCESSES = 3
START_SECONDS = 4.0
"""Within this time all processes have imported what they need."""
SECONDS = 4.0


@pytest.fixture
async def ledger(db: Database) -> Database:
    await db.create_all()
    await seal_all(db, Sealer(SECRET), system_now)
    return db


async def start(job: dict[str, Any]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.store.ledger_sealer", json.dumps(job), stdout=asyncio.subprocess.PIPE
    )


async def seal_at_once(db: Database, dsn: str, **more: Any) -> tuple[int, list[dict[str, int]], int]:
    """Processes seal while transfers are posted; how many were posted, what those that lived say, how many died."""
    begin = time.time() + START_SECONDS
    job = {"dsn": dsn, "start": begin, "until": begin + SECONDS, **more}
    processes = [await start(job) for _ in range(PROCESSES)]
    posted, died = 0, 0
    while time.time() < begin + SECONDS - 1:
        holders = range(posted, posted + 25)
        await post(db, *(fill(f"{more.get('name', '')}h{n}", 1, "points") for n in holders))
        posted += 25
        for place, one in enumerate(processes):
            if one.returncode == -signal.SIGKILL:
                died += 1
                processes[place] = await start(job)
        await asyncio.sleep(0.02)
    answers = []
    for one in processes:
        out, _ = await one.communicate()
        if one.returncode == 0:
            answers.append(json.loads(out))
        else:
            assert one.returncode == -signal.SIGKILL
            died += 1
    return posted, answers, died


async def check(db: Database, posted: int) -> int:
    """Everything is sealed once, and every invariant holds; how much was left to seal."""
    left = await seal_all(db, Sealer(SECRET), system_now)
    async with db.driver() as connection:
        counts = await connection.fetchrow(
            "SELECT count(*), count(DISTINCT s.transfer), max(s.seq) + 1 FROM ledger_seals s"
            " JOIN ledger_transfers t ON t.id = s.transfer"
        )
        assert tuple(counts) == (posted, posted, posted)
        assert await violations(connection) == []
    return left


async def test_many_processes_seal_everything_once(ledger: Database, postgres_dsn: str) -> None:
    posted, answers, died = await seal_at_once(ledger, await dsn_of(ledger, postgres_dsn))
    assert died == 0
    assert sum(one["broke"] for one in answers) == 0
    assert sum(one["done"] > 0 for one in answers) > 1, "they took turns"
    assert sum(one["done"] for one in answers) == posted - await check(ledger, posted)


async def test_processes_that_die_leave_no_half_of_a_block(ledger: Database, postgres_dsn: str) -> None:
    posted, _, died = await seal_at_once(ledger, await dsn_of(ledger, postgres_dsn), dies=0.1)
    assert died >= 2
    await check(ledger, posted)


async def test_without_the_claim_the_primary_key_refuses_the_second(ledger: Database, postgres_dsn: str) -> None:
    posted, answers, _ = await seal_at_once(ledger, await dsn_of(ledger, postgres_dsn), unclaimed=True)
    assert sum(one["broke"] for one in answers) > 0, "they got into each other's way"
    await check(ledger, posted)
