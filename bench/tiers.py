"""Tiers: the CPU time of a look at 100 persons whom events touched, and of a rebuild over everybody.

`python -m bench.tiers [--persons N]`. CPU time of this process and of both engines, since the clock of a shared machine
says little. The ready ladder, without segments, four events a person.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from bench.server import own_engines
from siyu.membership.tier_follow import TierFollower
from siyu.schema import complete_metadata
from siyu.segments.keep import Keeper
from siyu.segments.population import Source
from siyu.segments.records import add_touch
from siyu.segments.words import WORDS
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.stream.postgres import PostgresStream

ZONE: Final = ZoneInfo("Asia/Shanghai")
NOW: Final = datetime(2026, 6, 1, 4, tzinfo=UTC)
EVENTS: Final = 4
PART: Final = 200_000
LOOKS: Final = 5


def cpu_seconds() -> dict[int, float]:
    """CPU time of this process and everything below it, by process."""
    found, parents = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            found[int(entry.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return {pid: found[pid] for pid in family}


def spent(before: dict[int, float]) -> float:
    """CPU seconds since `before`, of processes that are still there."""
    return sum(now - before.get(pid, 0.0) for pid, now in cpu_seconds().items())


async def fill(db: Database, events: EventStore, persons: int) -> None:
    """Persons with one identifier each, and their orders and logins."""
    rng = np.random.default_rng(11)
    async with db.driver() as connection:
        records = [(n, "user_id", f"u{n}", UUID(int=n), NOW, NOW, "bench") for n in range(1, persons + 1)]
        await connection.copy_records_to_table(
            "identifiers", records=records, columns=["id", "kind", "value", "uid", "first_seen", "last_seen", "source"],
            timeout=600,
        )  # fmt: skip
    for start in range(1, persons + 1, PART):
        anchors = np.repeat(np.arange(start, min(start + PART, persons + 1), dtype=np.uint32), EVENTS)
        size = len(anchors)
        paid = rng.random(size) < 0.5
        ago = rng.integers(0, 300 * 86_400_000, size)
        times = pa.array(np.int64(NOW.timestamp() * 1000) - ago, pa.timestamp("ms", tz="UTC"))
        text = pa.array(["{}"] * size)
        table = pa.table(
            {
                "anchor": anchors, "occurred_at": times, "received_at": times,
                "name": pa.array(np.where(paid, "order.paid", "user.login")), "end": pa.array(["web"] * size),
                "source": pa.array(["bench"] * size), "event_id": pa.array([f"{start}-{n}" for n in range(size)]),
                "others": pa.array([[]] * size, pa.list_(pa.uint32())),
                "value_fen": pa.array(np.where(paid, rng.integers(1_000, 30_000, size), 0), pa.int64()),
                "properties": text, "context": text, "batch": pa.array(np.full(size, start), pa.uint64()),
            }
        )  # fmt: skip
        await events.insert("events", table)


async def measure(persons: int) -> None:
    """Fill, build, touch, and print."""
    complete_metadata()
    with own_engines() as (_, engines):
        db, events = await Database.open(engines.database_url), await EventStore.open(engines.events_url)
        await db.create_all()
        await events.create_all()
        await fill(db, events, persons)
        clock = [NOW]
        source = Source(db, events, WORDS)
        keeper = Keeper(source, PostgresStream(db), lambda: clock[0], ZONE, [TierFollower(source, ZONE)])
        async with db.driver() as connection:
            # No segments: only what tiers cost.
            await connection.execute("INSERT INTO segment_progress (identity_seq, ticked_at) VALUES (0, $1)", clock[0])
        before = cpu_seconds()
        await keeper.step()
        first = spent(before)
        async with db.driver() as connection:
            await connection.execute("UPDATE tier_ladders SET built_at = NULL")
            counts = await connection.fetch("SELECT tier, count(*) FROM person_tiers GROUP BY tier ORDER BY 2")
        before = cpu_seconds()
        await keeper.step()
        again = spent(before)
        looks = []
        for look in range(LOOKS):
            async with db.driver() as connection:
                touched = np.arange(1 + 100 * look, 101 + 100 * look, dtype=np.uint32)
                await add_touch(connection, touched.tobytes())
            clock[0] += timedelta(milliseconds=1)
            before = cpu_seconds()
            await keeper.step()
            looks.append(spent(before))
        sys.stdout.write(
            f"{persons:,} persons, {persons * EVENTS:,} events; {', '.join(f'{row[0]} {row[1]:,}' for row in counts)}\n"
            f"first look at everybody: {first:.1f} s of CPU; a rebuild that changes nobody: {again:.1f} s\n"
            f"a look at 100 touched persons: {sorted(looks)[LOOKS // 2]:.2f} s of CPU (median of {LOOKS})\n"
        )
        await db.close()
        await events.close()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--persons", type=int, default=1_000_000)
    asyncio.run(measure(parser.parse_args().persons))


if __name__ == "__main__":
    main()
