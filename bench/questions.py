"""Questions against bare hand-written SQL: what the product's semantics cost over the engine itself.

    python -m bench.questions [--events 1000000 10000000] [--rounds 5] [--only rfm retention] [--home FOLDER]

With `--home` the engines and their data stay in that folder: the events are made once, and later runs only ask.

Events are made inside the engine by SQL from consecutive numbers, so every run has the same ones: 200,000 persons, 20
event names, 90 days, JSON properties, 5 % of the persons merged out of two identifiers. The floor is a statement an
expert would write on a table that stores the person and is sorted by it; engine and floor take turns in one run, and
the ratio of neighbours counts, so that other work on the machine touches both.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from siyu.analytics.actions import ask
from siyu.schema import complete_metadata
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.engines import open_engines
from siyu.store.postgres import Database

PERSONS = 200_000
MERGED = PERSONS // 20
FIRST_MS = 1_767_225_600_000
DAYS = 90
NOW = datetime.fromtimestamp(FIRST_MS / 1000 + DAYS * 86_400, UTC)
RANGE = {"from": "2026-01-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"}
NAMES = [
    "product_view",
    "page_view",
    "search",
    "app_open",
    "add_to_cart",
    "checkout",
    "pay",
    "share",
    "login",
    "checkin",
    "coupon_view",
    "message_open",
    "scan",
    "video_play",
    "comment",
    "favourite",
    "return_goods",
    "register",
    "group_join",
    "leave",
]
STEPS = ["page_view", "add_to_cart", "pay"]

EVENTS_SQL = f"""
INSERT INTO events SELECT
  toUInt32(1 + cityHash64(number, 1) % {PERSONS + MERGED}),
  fromUnixTimestamp64Milli(toInt64({FIRST_MS} + cityHash64(number, 2) % ({DAYS} * 86400000)), 'UTC') AS occurred_at,
  occurred_at,
  {[*NAMES]}[1 + least(cityHash64(number, 3) % 20, cityHash64(number, 4) % 20)] AS name,
  ['app', 'web', 'mini_program'][1 + number % 3], 'bench', toString(number), [],
  if(name = 'pay', toInt64(100 + cityHash64(number, 5) % 20000), 0),
  concat('{{"page":"/p/', toString(number % 1000), '","channel":"',
    ['wechat', 'douyin', 'store', 'ad'][1 + cityHash64(number, 6) % 4], '","price":', toString(number % 500), '}}'),
  '{{}}', 1
FROM numbers({{first:UInt64}}, {{count:UInt64}})
"""
MERGED_SQL = f"""
INSERT INTO person_map SELECT toUInt32({PERSONS} + 1 + number), toUInt32(1 + cityHash64(number, 7) % {PERSONS})
FROM numbers({MERGED})
"""
BARE_SQL = """
CREATE TABLE bare (person UInt32, at DateTime64(3, 'UTC'), name LowCardinality(String), value_fen Int64,
  properties String) ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY (person, at)
"""
FILL_BARE_SQL = """
INSERT INTO bare SELECT
  if(joinGet('person_map', 'person', anchor) = 0, anchor, joinGet('person_map', 'person', anchor)),
  occurred_at, name, value_fen, properties FROM events
"""

CONDITIONS = ", ".join(f"name = '{name}'" for name in STEPS)
IN_STEPS = f"name IN ({', '.join(repr(name) for name in STEPS)})"
FUNNEL_FLOOR = f"""
SELECT level, count() FROM (
  SELECT person, windowFunnel(1209600)(toDateTime(at), {CONDITIONS}) AS level FROM bare WHERE {IN_STEPS} GROUP BY person
) GROUP BY level
"""
STRICT_FLOOR = f"""
SELECT level, count() FROM (
  SELECT person, windowFunnel(1209600, 'strict_order')(toDateTime(at), {CONDITIONS}) AS level FROM bare GROUP BY person
) GROUP BY level
"""
RETENTION_FLOOR = """
SELECT first, later - first AS days, count() FROM (
  SELECT groupUniqArray(toUInt8(toDate(at, 'Asia/Shanghai') - toDate('2026-03-19'))) AS seen FROM bare
  WHERE name = 'app_open' AND at >= '2026-03-18 16:00:00' AND at < '2026-04-01 16:00:00' GROUP BY person
) ARRAY JOIN seen AS first ARRAY JOIN seen AS later WHERE later >= first GROUP BY first, days
"""
RFM_FIGURES = """
SELECT person, max(toDate(at, 'Asia/Shanghai')) AS recency, uniqExact(toDate(at, 'Asia/Shanghai')) AS days,
  sum(value_fen) AS total FROM bare WHERE name = 'pay' GROUP BY person
"""
RFM_FIGURES_FLOOR = f"SELECT avg(recency), avg(days), sum(total) FROM ({RFM_FIGURES})"
RFM_FLOOR = f"""
SELECT 1 + arrayCount(c -> c < x.1, rs), 1 + arrayCount(c -> c < x.2, fs), 1 + arrayCount(c -> c < x.3, ms),
  x.1 >= r AND x.2 >= f AND x.3 >= m, count(), sum(x.3)
FROM (
  SELECT arrayJoin(groupArray((recency, days, total))) AS x, avg(recency) AS r, avg(days) AS f, avg(total) AS m,
    quantilesExact(0.2, 0.4, 0.6, 0.8)(recency) AS rs, quantilesExact(0.2, 0.4, 0.6, 0.8)(days) AS fs,
    quantilesExact(0.2, 0.4, 0.6, 0.8)(total) AS ms
  FROM (SELECT toUInt32(recency) AS recency, days, total FROM ({RFM_FIGURES}))
) GROUP BY 1, 2, 3, 4
"""
TREND_FLOOR = """
SELECT toDate(at, 'Asia/Shanghai') AS day, count(), uniqExact(person) FROM bare WHERE name = 'app_open' GROUP BY day
"""
TREND_BREAKDOWN_FLOOR = """
SELECT JSONExtractString(properties, 'channel') AS channel, toDate(at, 'Asia/Shanghai') AS day, count(),
  uniqExact(person)
FROM bare WHERE name = 'app_open' GROUP BY channel, day
"""
SCAN_FLOOR = "SELECT max(person), max(at), max(name) FROM bare"
BREAKDOWN_FLOOR = f"""
SELECT channel, level, count() FROM (
  SELECT person, argMin(JSONExtractString(properties, 'channel'), at) AS channel,
    windowFunnel(1209600)(toDateTime(at), {CONDITIONS}) AS level FROM bare WHERE {IN_STEPS} GROUP BY person
) GROUP BY channel, level
"""
BY_EVENT_FLOOR = f"""
SELECT channel, level, count() FROM (
  SELECT person, JSONExtractString(properties, 'channel') AS channel,
    windowFunnel(1209600)(toDateTime(at), {CONDITIONS}) AS level FROM bare WHERE {IN_STEPS} GROUP BY person, channel
) GROUP BY channel, level
"""


def funnel(**more: Any) -> dict[str, Any]:
    """The three-step funnel."""
    return {"kind": "funnel", "steps": [{"event": name} for name in STEPS], "range": RANGE, **more}


class Race(NamedTuple):
    """A question, its floor, and the ratio that is the goal."""

    name: str
    question: dict[str, Any]
    floor: str
    goal: str


RACES = (
    Race("funnel, plain, with conversion times", funnel(), FUNNEL_FLOOR, "≤ 1.3"),
    Race(
        "retention, 14 days",
        {
            "kind": "retention",
            "target": "app_open",
            "returning": "app_open",
            "intervals": 14,
            "end": "2026-04-01T12:00:00+08:00",
        },
        RETENTION_FLOOR,
        "≤ 1.3",
    ),
    Race("rfm, scores and cells", {"kind": "rfm", "event": "pay"}, RFM_FLOOR, "≤ 1.3"),
    Race("rfm (floor: the figures, no scores)", {"kind": "rfm", "event": "pay"}, RFM_FIGURES_FLOOR, ""),
    Race("funnel, strict", funnel(order="strict"), FUNNEL_FLOOR, "≤ 2.5"),
    Race("funnel, strict (floor: strict_order, all rows)", funnel(order="strict"), STRICT_FLOOR, ""),
    Race("funnel, unordered", funnel(order="unordered"), FUNNEL_FLOOR, "≤ 2.5"),
    Race(
        "funnel, exclusion",
        funnel(exclusions=[{"event": "leave", "from": 0, "to": 2}]),
        FUNNEL_FLOOR,
        "≤ 2.5",
    ),
    Race(
        "funnel, breakdown first_touch (floor: JSON too)",
        funnel(breakdown={"event_prop": "channel", "attribution": "first_touch"}),
        BREAKDOWN_FLOOR,
        "≤ 2.5",
    ),
    Race(
        "funnel, breakdown all_events (floor: JSON too)",
        funnel(breakdown={"event_prop": "channel", "attribution": "all_events"}),
        BY_EVENT_FLOOR,
        "≤ 2.5",
    ),
    Race(
        "funnel, breakdown step:1 (floor: JSON too)",
        funnel(breakdown={"event_prop": "channel", "attribution": "step:1"}),
        BREAKDOWN_FLOOR,
        "≤ 2.5",
    ),
    Race(
        "trend, count and persons a day",
        {
            "kind": "trend",
            "series": [{"event": "app_open"}, {"event": "app_open", "math": "persons"}],
            "range": RANGE,
        },
        TREND_FLOOR,
        "",
    ),
    Race(
        "trend, the same by channel (floor: JSON too)",
        {
            "kind": "trend",
            "series": [{"event": "app_open"}, {"event": "app_open", "math": "persons"}],
            "range": RANGE,
            "breakdown": {"event_prop": "channel"},
        },
        TREND_BREAKDOWN_FLOOR,
        "",
    ),
    Race("paths, 5 steps (floor: a bare scan)", {"kind": "paths", "range": RANGE}, SCAN_FLOOR, "≤ 1 s"),
    Race("lifecycle, weeks (floor: a bare scan)", {"kind": "lifecycle", "range": RANGE}, SCAN_FLOOR, ""),
    Race("stickiness, days (floor: a bare scan)", {"kind": "stickiness", "range": RANGE}, SCAN_FLOOR, ""),
)


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


async def fill(events: EventStore, count: int) -> None:
    """Both tables with `count` events."""
    settings = {"max_execution_time": 0, "max_partitions_per_insert_block": 0}
    step = 2_000_000
    for start in range(0, count, step):
        await events.command(EVENTS_SQL, {"first": start, "count": min(step, count - start)}, settings=settings)
    await events.command(MERGED_SQL)
    await events.command(BARE_SQL)
    await events.command(FILL_BARE_SQL, settings=settings)
    for table in ("events", "bare"):
        await events.command(f"OPTIMIZE TABLE {table} FINAL", settings=settings)


async def measure(db: Database, events: EventStore, rounds: int, only: list[str]) -> list[str]:
    """One table row per race whose name begins with one of `only`; none named: all."""
    rows = []
    for race in RACES:
        if only and not race.name.startswith(tuple(only)):
            continue

        async def engine(question: dict[str, Any] = race.question) -> None:
            await ask(db, events, question, NOW, "Asia/Shanghai")

        async def floor(sql: str = race.floor) -> None:
            await events.rows(sql)

        await engine()
        await floor()
        pairs = [(await timed(floor), await timed(engine)) for _ in range(rounds)]
        ratio = statistics.median(mine / bare for bare, mine in pairs)
        bare, mine = (min(pair[i] for pair in pairs) for i in (0, 1))
        rows.append(f"| {race.name} | {bare:.3f} | {mine:.3f} | {ratio:.2f} | {race.goal} |")
        print(rows[-1], flush=True)
    return rows


async def open_filled(events_url: str, count: int) -> EventStore:
    """A database with `count` events, made now when there is none yet."""
    admin = await EventStore.open(events_url)
    name = f"bench_{count}"
    filled = "SELECT sum(rows) FROM system.parts WHERE database = {name:String} AND table = 'bare' AND active"
    ((rows,),) = await admin.rows(filled, {"name": name})
    if rows != count:
        await admin.command(f"DROP DATABASE IF EXISTS {name}")
        await admin.command(f"CREATE DATABASE {name}")
    events = await EventStore.open(f"{events_url.rpartition('/')[0]}/{name}")
    if rows != count:
        print(f"filling {count:,} events", flush=True)
        await events.create_all()
        await fill(events, count)
    await admin.close()
    return events


async def bench(database_url: str, events_url: str, chosen: argparse.Namespace) -> list[str]:
    """The Markdown of all sizes."""
    complete_metadata()
    db = await Database.open(database_url)
    await db.create_all()
    lines = []
    for count in chosen.events:
        events = await open_filled(events_url, count)
        lines += [
            f"### {count:,} events, {PERSONS:,} persons, {MERGED:,} merged identities",
            "",
            "| question | floor, s (best) | answer, s (best) | ratio (median of neighbours) | goal |",
            "| --- | ---: | ---: | ---: | --- |",
            *([] if chosen.fill else await measure(db, events, chosen.rounds, chosen.only)),
            "",
        ]
        await events.close()
    await db.close()
    return lines


def machine() -> str:
    """What this was measured on."""
    facts = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    cpu = next((line.split(":")[1].strip() for line in facts.splitlines() if "model name" in line), platform.machine())
    return f"{os.cpu_count()} cores of {cpu}, load {os.getloadavg()[0]:.1f} at the start, {datetime.now(UTC):%Y-%m-%d}"


def main() -> None:
    """Run and print, and write the page where `--out` names one."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--only", nargs="*", default=[], help="beginnings of the names of the questions to ask")
    options.add_argument("--home", type=Path, help="a folder that keeps the events for the next run")
    options.add_argument("--fill", action="store_true", help="make the events, ask nothing")
    chosen = options.parse_args()
    print(f"{machine()}\n", flush=True)
    with tempfile.TemporaryDirectory() as home, open_engines(Settings(home=str(chosen.home or home))) as engines:
        lines = asyncio.run(bench(engines.database_url, engines.events_url, chosen))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
