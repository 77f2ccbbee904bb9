"""What dimensions cost: all persons and one: `python -m bench.dimensions [PERSONS]`.

CPU seconds of the engine and of this process, since the machine may be shared; the floor is one pass over the same
events that counts them per person.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from bench.server import own_engines
from siyu.dimensions import records
from siyu.dimensions.catalogue import DIMENSIONS
from siyu.dimensions.records import Reading
from siyu.dimensions.words import EVENT_WORDS
from siyu.identity.spans import Span
from siyu.rules.window import Setting
from siyu.store.clickhouse import EventStore

EVENTS_PER_PERSON = 5
NOW = datetime(2026, 6, 1, tzinfo=UTC)
NAMES = (
    *("product.viewed", "page.viewed", "cart.added", "order.paid"),
    *("message.sent", "message.opened", "checkin.done", "share.sent"),
)
FILL = """
INSERT INTO events SELECT
  toUInt32(1 + cityHash64(number) % {persons}) AS anchor,
  toDateTime64('2026-06-01', 3, 'UTC') - toIntervalSecond(cityHash64(number, 1) % (400 * 86400)) AS at, at,
  {names}[1 + cityHash64(number, 2) % 8] AS name, ['app', 'web', 'mini_program'][1 + number % 3], 's',
  toString(number), [], if(name = 'order.paid', toInt64(1000 + cityHash64(number, 3) % 30000), 0),
  concat('{{"sku":"p', toString(number % 50), '","category":"c', toString(number % 7), '","quantity":2}}'),
  '{{}}', 1
FROM numbers({start}, {count})
"""
T = TypeVar("T")


def cpu(pid: int) -> float:
    """CPU seconds of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def engine_pid(home: Path) -> int:
    """The process that is the embedded ClickHouse of this home."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (folder / "cmdline").exists():
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
            if str(home) in words and "clickhouse" in words:
                found.append(int(folder.name))
    return found[0]


async def timed(name: str, engine: int, work: Awaitable[T]) -> T:
    """Do it, and print what it took."""
    before, own, wall = cpu(engine), time.process_time(), time.monotonic()
    done = await work
    print(
        f"{name:44} engine {cpu(engine) - before:7.2f} s CPU, here {time.process_time() - own:6.2f} s CPU,"
        f" {time.monotonic() - wall:6.2f} s", flush=True,
    )  # fmt: skip
    return done


async def run(events: EventStore, persons: int, engine: int) -> None:
    """Fill the engine and compute."""
    await events.create_all()
    total = persons * EVENTS_PER_PERSON
    for start in range(0, total, 1_000_000):
        count = min(1_000_000, total - start)
        await events.command(
            FILL.format(persons=persons, names=list(NAMES), start=start, count=count),
            settings={"max_partitions_per_insert_block": 0},
        )
    reading = Reading(events, EVENT_WORDS, Setting(NOW, ZoneInfo("Asia/Shanghai")), 300)
    print(f"{persons:,} persons, {total:,} events, {len(DIMENSIONS.entries)} dimensions")
    await timed("floor: events counted per person", engine, _floor(events))
    three = [DIMENSIONS.entries[key] for key in ("orders_90d", "average_order_fen", "preferred_end")]
    await timed("three dimensions of all", engine, records.columns(reading, three))
    await timed("the whole catalogue of all, in passes", engine, _whole(reading))
    print(f"memory of this process at its peak: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:,} MB")
    await timed("three dimensions of one", engine, records.columns(reading, three, [17]))
    for n in (17, 4711):
        await timed("the whole catalogue of one", engine, records.of_one(reading, list(DIMENSIONS), [Span(n, n)]))


async def _whole(reading: Reading) -> None:
    async for _ in records.passes(reading, list(DIMENSIONS)):
        pass


async def _floor(events: EventStore) -> Any:
    return await events.arrow("SELECT anchor, count() FROM events GROUP BY anchor")


def main() -> None:
    """Run with embedded engines of its own."""
    persons = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with own_engines() as (home, running):

        async def work() -> None:
            events = await EventStore.open(running.events_url)
            await run(events, persons, engine_pid(home))
            await events.close()

        asyncio.run(work())


if __name__ == "__main__":
    main()
