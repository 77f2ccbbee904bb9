"""PostgreSQL killed under the ledger: what was answered is kept, the rest asked again by its key, all is there once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from siyu.errors import EngineUnavailable
from siyu.ledger import AccountName, Command, Desk, Ledger, Outcome, Role
from siyu.ledger.check import violations
from siyu.store.postgres import Database
from tests.conftest import remove_home
from tests.rounds import ENGINE_KILLS

from .ledger_racer import ZONE, fill, spend
from .test_engines_crash import eventually, owner, postmaster

SPENDS = 400
ASKING = 16
UNITS = 1_000


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home"
    folder.mkdir()
    yield folder
    remove_home(folder)


async def until_answered(desk: Desk[Command, Outcome], command: Command) -> Outcome:
    """Ask until there is an answer, always under the same key."""
    deadline = time.monotonic() + 90
    while True:
        try:
            return await desk.ask(command)
        except EngineUnavailable:
            assert time.monotonic() < deadline, "PostgreSQL did not come back"
            await asyncio.sleep(0.1)


@pytest.mark.proof
async def test_nothing_answered_is_lost_and_nothing_is_done_twice(home: Path) -> None:
    with owner(home) as (_, engines):
        db = await Database.open(engines.database_url)
        await db.create_all()
        desk: Desk[Command, Outcome] = Desk(db, Ledger(ZONE).post)
        for round_ in range(ENGINE_KILLS):
            holder = f"round-{round_}"
            (await until_answered(desk, fill(holder, UNITS, "points"))).settled()
            transfers = await _spend_while_killed(desk, home, holder)
            assert len(set(transfers)) == SPENDS, "a key has one transfer"
            again = await desk.ask(spend(holder, (holder, 0), "points"))
            assert not again.fresh and again.transfer == transfers[0], "and keeps it"
            balance = await eventually(partial(_available, db, holder))
            assert balance == UNITS - SPENDS
        async with db.driver() as connection:
            assert await violations(connection) == []
        await db.close()


async def _spend_while_killed(desk: Desk[Command, Outcome], home: Path, holder: str) -> list[int]:
    waiting = iter([spend(holder, (holder, number), "points") for number in range(SPENDS)])
    done: dict[int, int] = {}

    async def ask() -> None:
        for command in waiting:
            outcome = (await until_answered(desk, command)).settled()
            done[len(done)] = outcome.transfer
            if len(done) == SPENDS // 3:
                os.kill(postmaster(home), signal.SIGKILL)

    await asyncio.gather(*(ask() for _ in range(ASKING)))
    first = (await until_answered(desk, spend(holder, (holder, 0), "points"))).transfer
    return [first, *(transfer for transfer in done.values() if transfer != first)]


async def _available(db: Database, holder: str) -> int:
    account = AccountName("points", holder, Role.AVAILABLE)
    async with db.driver() as connection:
        found = await connection.fetchval(
            "SELECT balance FROM ledger_accounts WHERE currency = $1 AND holder = $2 AND role = $3", *account
        )
    return int(found)
