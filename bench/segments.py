"""Segments: what it costs to find all members of 50 segments anew, and what a change costs.

`python -m bench.segments [--persons N]`. Persons with five events, purchases, traits, tags, touches and some merged
identifiers are written by the engines themselves; then the keeper works as it does beside the processor. CPU seconds
beside the clock, since the machine may be shared. The floor is the least anybody has to do for the same answer: one
bare ClickHouse statement with all counts of the rules per person, and a bare COPY of the same member rows.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import time
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from bench.server import Server, own_engines
from siyu.identity.mirror import rebuild_mirror
from siyu.profile.jobs import refresh_rfm
from siyu.rules.clickhouse import Params
from siyu.rules.metric_sql import Compiling, figure_sql, prefilter_sql
from siyu.rules.rule import metrics_of
from siyu.rules.window import Setting
from siyu.schema import complete_metadata
from siyu.segments import records
from siyu.segments.keep import Keeper
from siyu.segments.population import Source
from siyu.segments.ready import READY
from siyu.segments.segment import live_of
from siyu.segments.words import WORDS
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.stream.postgres import PostgresStream

ZONE: Final = ZoneInfo("Asia/Shanghai")
NOW: Final = datetime(2026, 6, 1, 4, tzinfo=UTC)
EVENTS: Final = 5
SEGMENTS: Final = 50
MERGED: Final = 50
"""Every so many-th identifier is another one of the person before it."""
LOOKS: Final = (1, 100, 2_000, 5_000)
ROUNDS: Final = 3
NAMES: Final = (
    *("product.viewed", "page.viewed", "cart.added", "order.paid"),
    *("content.viewed", "share.engaged", "checkin.done", "user.registered"),
)
CITIES: Final = ("广州", "深圳", "上海", "北京", "成都", "杭州", "武汉", "西安")
_EVENTS: Final = """
INSERT INTO events SELECT
  toUInt32(1 + cityHash64(number) % {persons}),
  toDateTime64('2026-06-01 04:00:00', 3, 'UTC') - toIntervalSecond(cityHash64(number, 1) % (400 * 86400)) AS at, at,
  {names}[1 + cityHash64(number, 2) % 8] AS name, ['app', 'web', 'mini_program'][1 + number % 3], 's',
  toString(number), [], if(name = 'order.paid', toInt64(1000 + cityHash64(number, 3) % 30000), 0),
  concat('{{"sku":"p', toString(number % 50), '","category":"c', toString(number % 7), '"}}'), '{{}}', 1
FROM numbers({start}, {count})
"""
_PROFILES: Final = (
    """INSERT INTO identifiers (id, uid, kind, value, first_seen, last_seen, source)
SELECT n, lpad(to_hex(n), 32, '0')::uuid, 'user_id', 'u' || n, $1::timestamptz - interval '1 day' * (30 + n % 370),
       $1::timestamptz - interval '1 day' * (n % 200), 's' FROM generate_series(1, {0}) n""",
    """INSERT INTO memberships (anchor, since, person) SELECT a, 'epoch', n - 1 FROM generate_series({1}, {0}, {1}) n,
       LATERAL (VALUES (n - 1), (n)) v(a) WHERE $1::timestamptz IS NOT NULL""",
    """INSERT INTO trait_changes (anchor, at, key, event_id, source, ops)
SELECT n, $1::timestamptz - interval '1 day', n, 'e' || n, 's',
       '{{"set":{{"city":"' || ($2::text[])[1 + n % 8] || '","level":' || n % 10 || '}}}}'
FROM generate_series(1, {0}, 2) n""",
    """INSERT INTO tags (name, path, created_at) SELECT c, c, $1 FROM unnest($2::text[]) c""",
    """INSERT INTO tag_ops (anchor, tag, at, key, change, event_id, origin, "by")
SELECT n, 1 + n % 8, $1::timestamptz - interval '1 day', n, 0, 'e' || n, 'manual', 'bench'
FROM generate_series(1, {0}, 3) n""",
    """INSERT INTO touches (anchor, at, key, event_id, source, "end", fields)
SELECT n, $1::timestamptz - interval '1 day' * (n % 300), n, 'e' || n, 's', 'app',
       '{{"' || (ARRAY['state', 'scene', 'inviter', 'utm_source'])[1 + n % 4] || '":"x' || n % 20 || '"}}'
FROM generate_series(1, {0}, 2) n""",
    """INSERT INTO purchases (anchor, at, key, value_fen)
SELECT 1 + (n::bigint * 7919) % {0}, $1::timestamptz - interval '1 hour' * (n % 9600), n,
       1000 + (n::bigint * 31) % 30000 FROM generate_series(1, {0} * 5 / 8) n""",
)


class Spent(NamedTuple):
    """What something took: seconds of the clock, and of CPU by role."""

    wall: float
    cpu: Mapping[str, float]

    def __str__(self) -> str:
        roles = ", ".join(f"{role} {spent:.1f}" for role, spent in sorted(self.cpu.items()) if spent >= 0.05)
        return f"{self.wall:.2f} s; CPU {sum(self.cpu.values()):.2f} s ({roles})"


async def measured(work: Awaitable[Any]) -> Spent:
    """Do it and say what it took."""
    family = Server(0, os.getpid(), Path())
    before, started = family.cpu_us(), time.monotonic()
    await work
    wall, after = time.monotonic() - started, family.cpu_us()
    cpu = {role: (spent - before.get(role, 0.0)) / 1e6 for role, spent in after.items()}
    return Spent(wall, {"Python" if role == "parent" else role: spent for role, spent in cpu.items()})


def more_rules() -> list[dict[str, Any]]:
    """What brands write beside the ready segments: counts, sums, days and streaks; traits, tags and touches."""

    def last(days: int) -> dict[str, Any]:
        return {"last": days, "unit": "day"}

    metrics: list[dict[str, Any]] = [
        {"metric": "count", "event": name, "window": last(days), "op": "gte", "value": 1}
        for name, days in zip(NAMES, (7, 14, 30, 60, 90, 120, 180, 365), strict=True)
    ]
    metrics += [
        {"metric": "sum", "event": "order.paid", "window": last(days), "op": "gte", "value": 20_000}
        for days in (30, 90, 365)
    ]
    metrics += [
        {"metric": "distinct", "of": "@day", "window": last(30), "op": "gte", "value": 2},
        {"metric": "distinct", "of": "sku", "event": "product.viewed", "window": last(365), "op": "gte", "value": 2},
        {"metric": "last", "event": "order.paid", "op": "within", "value": {"n": 60, "unit": "day"}},
        {"metric": "streak", "event": "checkin.done", "op": "gte", "value": 1},
        {"metric": "count", "event": "order.paid", "net": True, "window": {"this": "quarter"}, "op": "gte", "value": 1},
    ]
    metrics[1] = metrics[1] | {"where": {"category": "c3"}}
    persons: list[dict[str, Any]] = [{"person": "trait.city", "op": "in", "value": list(CITIES[:3])}]
    persons += [{"person": "trait.level", "op": "gte", "value": 7}, {"has_tag": CITIES[0]}, {"has_tag": CITIES[5]}]
    persons += [
        {"person": "rfm.monetary_fen", "op": "gte", "value": 40_000},
        {"person": "rfm.frequency", "op": "gte", "value": 3},
    ]
    persons += [{"person": "first_touch.state", "op": "eq", "value": "x4"}]
    pairs = [{"all": [metrics[n], persons[n]]} for n in range(3)]
    return [*metrics, *persons, *pairs]


async def fill(db: Database, events: EventStore, persons: int) -> None:
    """Everything that rules read."""
    async with db.driver() as connection:
        for sql in _PROFILES:
            text = sql.format(persons, MERGED)
            await connection.execute(text, *([NOW, list(CITIES)] if "$2" in text else [NOW]), timeout=600)
        await connection.execute("ANALYZE", timeout=600)
    for start in range(0, persons * EVENTS, 1_000_000):
        count = min(1_000_000, persons * EVENTS - start)
        sql = _EVENTS.format(persons=persons, names=list(NAMES), start=start, count=count)
        await events.command(sql, settings={"max_partitions_per_insert_block": 0})
    await rebuild_mirror(db, events)
    await refresh_rfm(db, NOW, ZONE)


async def define(connection: Any) -> None:
    """50 segments: the ready ones and those that `more_rules` says; every second of these makes events."""
    rules = more_rules()[: SEGMENTS - len(READY)]
    more = [
        records.Definition(f"bench.{n:02}", f"bench {n}", rule, listed=False, announced=n % 2 == 0)
        for n, rule in enumerate(rules)
    ]
    async with connection.transaction():
        await records.begin_progress(connection, 0, NOW)
        for definition in (*READY, *more):
            await records.write_segment(connection, definition, NOW, "bench", changed=True)


async def floor(db: Database, source: Source) -> str:
    """The counts of all rules in one bare statement, and a bare COPY of the member rows."""
    async with db.driver() as connection:
        live, _ = live_of(await records.all_segments(connection), WORDS)
        rows = [tuple(row) for row in await connection.fetch("SELECT person, segments FROM person_segments")]
        metrics = sorted({metric for one in live.values() for metric in metrics_of(one.rule)}, key=repr)
        compiling = Compiling(Params(), Setting(NOW, ZONE), WORDS)
        figures = ", ".join(f"{figure_sql(metric, compiling)} AS v{n}" for n, metric in enumerate(metrics))
        where = prefilter_sql(metrics, compiling)
        sql = f"SELECT anchor, {figures} FROM events WHERE {where} GROUP BY anchor"
        # In two levels the engine takes twice as long for so many figures.
        settings = {"group_by_two_level_threshold": 0, "group_by_two_level_threshold_bytes": 0}
        settings |= {"max_memory_usage": 8_000_000_000, "max_execution_time": 600}
        scan = await measured(source.events.arrow(sql, compiling.params.values, settings=settings))
        await connection.execute("CREATE TABLE bench_floor (LIKE person_segments INCLUDING ALL)")
        copied = connection.copy_records_to_table(
            "bench_floor", records=rows, columns=["person", "segments"], timeout=600
        )
        copy = await measured(copied)
        await connection.execute("DROP TABLE bench_floor")
    return f"floor: {len(metrics)} figures in one statement {scan}\nfloor: COPY of {len(rows):,} member rows {copy}"


async def touched(db: Database, anchors: np.ndarray[Any, Any]) -> None:
    """As the processor notes whom a batch touches."""
    async with db.driver() as connection:
        await records.add_touch(connection, np.unique(anchors).astype(np.uint32).tobytes())


async def changed(events: EventStore, anchors: np.ndarray[Any, Any], at: datetime, number: int) -> None:
    """Each of these buys something."""
    size = len(anchors)
    times = pa.array(np.full(size, int(at.timestamp() * 1000)), pa.timestamp("ms", tz="UTC"))
    columns: dict[str, Any] = {
        "anchor": pa.array(anchors, pa.uint32()), "occurred_at": times, "received_at": times,
        "name": pa.array(["order.paid"] * size), "end": pa.array(["web"] * size), "source": pa.array(["s"] * size),
        "event_id": pa.array([f"more-{number}-{n}" for n in range(size)]),
        "others": pa.array([[]] * size, pa.list_(pa.uint32())), "value_fen": pa.array(np.full(size, 5_000), pa.int64()),
        "properties": pa.array(["{}"] * size), "context": pa.array(["{}"] * size),
        "batch": pa.array(np.full(size, 2), pa.uint64()),
    }  # fmt: skip
    await events.insert("events", pa.table(columns))


async def measure(persons: int) -> None:
    """Fill, build, build again, change, and print."""
    complete_metadata()
    clock = [NOW]

    def say(text: object) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    with own_engines() as (_, engines):
        db, events = await Database.open(engines.database_url), await EventStore.open(engines.events_url)
        await db.create_all()
        await events.create_all()
        made = await measured(fill(db, events, persons))
        say(f"{persons:,} persons, {persons * EVENTS:,} events, {SEGMENTS} segments; made in {made}")
        source = Source(db, events, WORDS)
        keeper = Keeper(source, PostgresStream(db), lambda: clock[0], ZONE)
        async with db.driver() as connection:
            await define(connection)
        say(f"all members found for the first time: {await measured(keeper.step())}")
        async with db.driver() as connection:
            count, kinds = await connection.fetchrow("SELECT count(*), count(DISTINCT segments) FROM person_segments")
            ready = await connection.fetchval("SELECT count(*) FROM segments WHERE built = version AND problem IS NULL")
            assert ready == SEGMENTS, ready
            say(f"{count:,} member rows of {kinds:,} different sets")
            await connection.execute("UPDATE segments SET built = 0")
        say(f"all again, nothing changed: {await measured(keeper.step())}")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        say(f"memory of this process at its peak: {peak:,} MB")
        rng = np.random.default_rng(5)
        for size in LOOKS:
            looks = []
            for turn in range(ROUNDS):
                clock[0] += timedelta(milliseconds=10)
                some = rng.choice(persons, min(size, persons), replace=False) + 1
                await changed(events, some, clock[0], size + turn)
                await touched(db, some)
                looks.append(await measured(keeper.step()))
            looks.sort(key=lambda one: sum(one.cpu.values()))
            say(f"{size:,} persons touched: {looks[ROUNDS // 2]}")
        say(await floor(db, source))
        await db.close()
        await events.close()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--persons", type=int, default=200_000)
    asyncio.run(measure(parser.parse_args().persons))


if __name__ == "__main__":
    main()
