"""What sealing costs: how many transfers a second it keeps up with, and what posting pays for it.

`python -m bench.seals [--transfers N] [--rounds N] [--seconds N]`. Posting, in turns: without the two indexes of the
sealer, with them, and with a sealer at work in a process of its own. The check (I8) at the end reads everything.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bench.ledger import EACH, PERSONS, ZONE, command, without_http
from bench.server import own_engines
from siyu.clock import system_now
from siyu.ledger import AccountName, Command, Flow, Ledger, Leg, Role, derived_key
from siyu.ledger.seal_check import first_broken
from siyu.ledger.seal_records import state
from siyu.ledger.sealing import Sealer, seal_all
from siyu.schema import complete_metadata
from siyu.store.postgres import Database, driver_of

SECRET = b"bench"
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS ix_ledger_transfers_committed_in_id ON ledger_transfers (committed_in, id)",
    "CREATE INDEX IF NOT EXISTS ix_ledger_entries_transfer ON ledger_entries (transfer)",
)
_NO_INDEXES = "DROP INDEX ix_ledger_transfers_committed_in_id, ix_ledger_entries_transfer"


class Cost(NamedTuple):
    """Of work on transfers."""

    per_second: float
    python_us: float
    engine_us: float


async def prepare(db: Database) -> None:
    """Accounts with something in them."""
    complete_metadata()
    await db.create_all()
    ledger = Ledger(ZONE)

    def gift(holder: str) -> Command:
        leg = Leg(AccountName("stock", holder, Role.ISSUED), AccountName("stock", holder, Role.AVAILABLE))
        key = derived_key("gift", holder)
        return Command(key, key, "earn", (Flow((leg,), EACH),), datetime.now(UTC))

    gifts = [gift(str(number)) for number in range(PERSONS)]
    for start in range(0, len(gifts), 1000):
        async with db.begin() as conn:
            await ledger.post(await driver_of(conn), gifts[start : start + 1000])
    async with db.driver() as connection:
        await connection.execute("VACUUM ANALYZE")


async def fill(db: Database, count: int) -> None:
    """So many transfers that wait for their seal."""
    ledger, chosen = Ledger(ZONE), random.Random(7)
    for start in range(0, count, 500):
        async with db.begin() as conn:
            wanted = [command("spend", chosen) for _ in range(min(500, count - start))]
            await ledger.post(await driver_of(conn), wanted)


def _engine_seconds(pid: int) -> float:
    """CPU time of a back end of the engine."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _measured(db: Database, work: Any, count: int) -> Cost:
    async with db.driver() as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
    begun, python, engine = time.perf_counter(), time.process_time(), _engine_seconds(pid)
    await work()
    took = time.perf_counter() - begun
    return Cost(
        count / took, (time.process_time() - python) * 1e6 / count, (_engine_seconds(pid) - engine) * 1e6 / count
    )


async def seal_and_check(dsn: str, transfers: int) -> None:
    """How fast what waits is sealed, and how fast all of it is checked."""
    db = await Database.open(dsn, connections_max=1)
    sealer = Sealer(SECRET)
    while await seal_all(db, sealer, system_now):
        pass
    await fill(db, transfers)

    async def seal() -> None:
        while await seal_all(db, sealer, system_now):
            pass

    sealing = await _measured(db, seal, transfers)
    async with db.driver() as connection:
        total = (await state(connection)).sealed
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    async def check() -> None:
        async with db.driver() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            assert await first_broken(connection) is None

    checking = await _measured(db, check, total)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    for name, cost in ((f"sealed, {transfers:,}", sealing), (f"checked, {total:,} (+{grown:.0f} MB)", checking)):
        print(f"| {name} | {cost.per_second:,.0f} | {cost.python_us:.0f} | {cost.engine_us:.0f} |", flush=True)
    await db.close()


async def seal_waiting(dsn: str) -> None:
    """Nothing waits after it."""
    db = await Database.open(dsn, connections_max=1)
    while await seal_all(db, Sealer(SECRET), system_now):
        pass
    await db.close()


async def sealing(dsn: str, seconds: float) -> None:
    """A process that does nothing else."""
    db = await Database.open(dsn, connections_max=1)
    until, lags = time.monotonic() + seconds, []
    while time.monotonic() < until:
        await asyncio.sleep(1)
        async with db.driver() as connection:
            lags.append((await state(connection)).lag_seconds(system_now()))
        await seal_all(db, Sealer(SECRET), system_now)
    print(f"  lag before each pass: median {statistics.median(lags):.2f} s, most {max(lags):.2f} s", flush=True)
    await db.close()


async def execute(dsn: str, *statements: str) -> None:
    """Statements on a connection of their own."""
    db = await Database.open(dsn, connections_max=1)
    async with db.driver() as connection:
        for one in statements:
            await connection.execute(one)
    await db.close()


async def _postmaster(dsn: str) -> int:
    db = await Database.open(dsn, connections_max=1)
    async with db.driver() as connection:
        found = _parent(await connection.fetchval("SELECT pg_backend_pid()"))
    await db.close()
    return found


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _server_seconds(postmaster: int) -> float:
    """CPU time of the whole PostgreSQL, processes that have ended too."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(entry.name) == postmaster:
                    ticks += sum(map(int, fields[11:15]))
                elif int(fields[1]) == postmaster:
                    ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def posting(dsn: str, cell: str, rounds: int, seconds: float) -> None:
    """Commands through a desk, in turns."""
    found: dict[str, list[tuple[float, float]]] = {"no indexes": [], "indexes": [], "indexes, sealer at work": []}
    parent = asyncio.run(_postmaster(dsn))
    for _ in range(rounds):
        for name, rates in found.items():
            asyncio.run(seal_waiting(dsn))
            asyncio.run(execute(dsn, *((_NO_INDEXES,) if name == "no indexes" else _INDEXES)))
            beside = None
            if name.endswith("work"):
                job = [sys.executable, "-m", "bench.seals", "--sealing", dsn, "--seconds", str(seconds + 1)]
                beside = subprocess.Popen(job)
                time.sleep(1.0)
            engine = _server_seconds(parent)
            done = asyncio.run(without_http(dsn, cell, seconds))
            rates.append((done.per_second, (_server_seconds(parent) - engine) * 1e6 / len(done.latency_ms)))
            if beside is not None:
                beside.wait()
            asyncio.run(execute(dsn, *_INDEXES))
    for name, rates in found.items():
        per_second, engine = (statistics.median(column) for column in zip(*rates, strict=True))
        print(f"| {cell}, {name} | {per_second:,.0f} | {engine:.0f} |", flush=True)


def main() -> None:
    """Measure."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--transfers", type=int, default=50_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=4)
    arguments.add_argument("--sealing", metavar="DSN")
    wanted = arguments.parse_args()
    if wanted.sealing:
        asyncio.run(sealing(wanted.sealing, wanted.seconds))
        return
    with own_engines() as (_, engines):
        dsn = engines.database_url

        async def begin() -> None:
            db = await Database.open(dsn)
            await prepare(db)
            await db.close()

        asyncio.run(begin())
        print("| what | transfers/s | Python, µs | engine, µs |\n| --- | ---: | ---: | ---: |")
        asyncio.run(seal_and_check(dsn, wanted.transfers))
        print("\n| posting | commands/s | engine, µs each |\n| --- | ---: | ---: |")
        for cell in ("spend", "hot") if wanted.rounds else ():
            if cell == "hot":
                asyncio.run(_give(dsn))
            posting(dsn, cell, wanted.rounds, wanted.seconds)


async def _give(dsn: str) -> None:
    """A hot account with units for everybody."""
    db = await Database.open(dsn, connections_max=1)
    leg = Leg(AccountName("stock", "hot", Role.ISSUED), AccountName("stock", "hot", Role.AVAILABLE))
    key = derived_key("gift", "hot")
    async with db.begin() as conn:
        await Ledger(ZONE).post(
            await driver_of(conn), [Command(key, key, "earn", (Flow((leg,), EACH * 1000),), datetime.now(UTC))]
        )
    await db.close()


if __name__ == "__main__":
    main()
