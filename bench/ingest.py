"""Ingest, end to end: HTTP batches of 100 → durable → identified → in ClickHouse, against decode + bare Arrow insert.

Client, server and engines share the machine's cores. `python -m bench.ingest [--events N] [--persons N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import statistics
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import clickhouse_connect
import msgspec
import numpy as np
import pyarrow as pa

from bench.load import BEHAVIOUR, MIX, bodies, request, send_all
from bench.server import WRITE_KEY, Server, running_server


class Floor(NamedTuple):
    """What the bare parts do with the same bodies."""

    events_per_second: float
    decode_us: float
    insert_us: float


class _Item(msgspec.Struct):
    messageId: str
    userId: str
    event: str
    timestamp: str
    properties: msgspec.Raw
    context: msgspec.Raw


class _Body(msgspec.Struct):
    batch: list[_Item]


def floor(server: Server, sent: list[bytes]) -> Floor:
    """Decode with msgspec, then insert the same events as Arrow into a bare table of the same engine."""
    address = json.loads((server.home / "run" / "engines.json").read_text())["events_url"]
    from urllib.parse import urlsplit

    parts = urlsplit(address)
    client = clickhouse_connect.get_client(
        host=parts.hostname, port=parts.port, username=parts.username or "default", password=parts.password or ""
    )
    client.command(
        "CREATE TABLE IF NOT EXISTS bench_floor (id String, user String, name LowCardinality(String),"
        " at String, properties String, context String) ENGINE = MergeTree ORDER BY (user, at)"
    )
    decoder = msgspec.json.Decoder(_Body)
    started = time.perf_counter()
    items = [item for body in sent for item in decoder.decode(body).batch]
    decoded = time.perf_counter()
    for start in range(0, len(items), 50_000):
        part = items[start : start + 50_000]
        table = pa.table(
            {
                "id": [item.messageId for item in part],
                "user": [item.userId for item in part],
                "name": pa.array([item.event for item in part]).dictionary_encode(),
                "at": [item.timestamp for item in part],
                "properties": [bytes(item.properties) for item in part],
                "context": [bytes(item.context) for item in part],
            }
        )
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        client.raw_insert("bench_floor", table.column_names, sink.getvalue(), fmt="ArrowStream")
    ended = time.perf_counter()
    client.command("DROP TABLE bench_floor")
    count = len(items)
    return Floor(count / (ended - started), (decoded - started) / count * 1e6, (ended - decoded) / count * 1e6)


class Run(NamedTuple):
    """One load, sent as fast as it is taken."""

    processed: float
    """Events a second until the last one was processed."""
    acknowledged: float
    """Events a second until the last one was acknowledged."""
    refused: int
    """Answers other than 200; those requests were sent again."""
    cpu_us: dict[str, float]
    """CPU time per event, microseconds, by role."""
    bodies: list[bytes]

    def cpu(self) -> str:
        """The CPU times in one line."""
        return ", ".join(f"{role} {spent:.1f}" for role, spent in self.cpu_us.items() if spent >= 0.05)


def run(
    server: Server, events: int, persons: int, tag: str, *, each_once: bool = False, mix: Mapping[str, float] = MIX
) -> Run:
    """Send `events` in batches of 100 over 64 connections and wait until all are processed."""
    server.settle()
    sent = list(bodies(events, persons, tag=tag, seed=zlib.crc32(tag.encode()), each_once=each_once, mix=mix))
    requests = [request(body, WRITE_KEY) for body in sent]
    before, spent = server.get("/api/stream")["processed"], server.cpu_us()
    started, own = time.perf_counter(), time.process_time()
    result = asyncio.run(send_all(server.port, requests, connections=64))
    own = time.process_time() - own
    done = server.wait_processed(before + events)
    cpu = {role: (after - spent.get(role, 0)) / events for role, after in server.cpu_us().items()}
    return Run(
        events / (done - started), events / result.seconds, result.refused, cpu | {"client": own * 1e6 / events}, sent
    )


def visibility(server: Server, events_per_second: float, seconds: float, persons: int) -> tuple[float, float, float]:
    """(p50, p99, max) seconds from acknowledged to countable in ClickHouse, under a steady load."""
    total = int(events_per_second * seconds / 100) * 100
    requests = [request(body, WRITE_KEY) for body in bodies(total, persons, tag="half", seed=5, mix=BEHAVIOUR)]
    waits: list[float] = []

    async def probes() -> None:
        end = time.perf_counter() + seconds
        number = 0
        while time.perf_counter() < end:
            number += 1
            body = json.dumps({"batch": [{"type": "track", "userId": f"probe-{number}", "event": "probe"}]}).encode()
            await send_all(server.port, [request(body, WRITE_KEY)], connections=1)
            acknowledged = time.perf_counter()
            while True:
                try:
                    await asyncio.to_thread(server.get, f"/api/persons/lookup?kind=user_id&value=probe-{number}")
                    break
                except OSError:
                    await asyncio.sleep(0.01)
            waits.append(time.perf_counter() - acknowledged)
            await asyncio.sleep(0.2)

    async def both() -> None:
        await asyncio.gather(
            send_all(server.port, requests, connections=64, per_second=events_per_second / 100), probes()
        )

    asyncio.run(both())
    return statistics.median(waits), float(np.percentile(waits, 99)), max(waits)


def main() -> dict[str, Any]:
    """Run and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with running_server() as server:
        idle = server.memory_mb()
        new = run(server, options.persons, options.persons, "new", each_once=True)
        known = run(server, options.events, options.persons, "known", mix=BEHAVIOUR)
        peak = server.memory_mb()
        bare = floor(server, new.bodies)
        again = run(server, options.events, options.persons, "again", mix=BEHAVIOUR)
        shop = run(server, options.events, options.persons, "shop")
        bare2 = floor(server, new.bodies)
        best = max(known, again, key=lambda one: one.processed)
        ground = max(bare.events_per_second, bare2.events_per_second)
        server.settle()
        p50, p99, worst = visibility(server, best.processed / 2, 15, options.persons)
    rows = {
        "floor: msgspec decode + bare Arrow insert, events/s": f"{ground:,.0f}",
        "ingest, every person new, events/s": f"{new.processed:,.0f} ({new.processed / ground:.2f} of the floor)",
        "ingest, persons known, events/s": f"{best.processed:,.0f} ({best.processed / ground:.2f} of the floor)",
        "the same with orders, and check-ins that earn": f"{shop.processed:,.0f} ({shop.processed / ground:.2f})",
        "acknowledged to the client, events/s": f"{best.acknowledged:,.0f}",
        "answers other than 200 (sent again)": f"{new.refused + known.refused + again.refused + shop.refused}",
        "CPU per event, every person new, µs": new.cpu(),
        "CPU per event, persons known, µs": best.cpu(),
        "CPU per event, with orders and check-ins that earn, µs": shop.cpu(),
        "accepted → visible at half of that rate, s": f"p50 {p50:.2f}, p99 {p99:.2f}, max {worst:.2f}",
        "memory idle, MB": f"{sum(idle.values()):,.0f}",
        "memory at full ingest, MB": f"{sum(peak.values()):,.0f}",
    }
    print("| ingest | measured |\n| --- | --- |")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "idle": idle, "peak": peak}, indent=1))
    return {"rows": rows}


if __name__ == "__main__":
    main()
