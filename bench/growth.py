"""Growth: the cost of an event while the store grows, and reads while ingest runs at half of its speed.

`python -m bench.growth [--millions N] [--persons N]`: a million events that each bring a new person, then behaviour of
these persons, a million at a time without a rest between, so that what a run leaves to be looked at is in the next one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from typing import NamedTuple

import numpy as np

from bench.ingest import floor, run
from bench.load import BEHAVIOUR, bodies, request, send_all
from bench.server import WRITE_KEY, Server, running_server

REPORTED = (2, 5, 10, 20, 30, 40, 50)
ROLES = ("doors", "web", "processor", "jobs", "PostgreSQL", "ClickHouse", "client")
_TAG = "m000000"


class _Million(NamedTuple):
    per_second: float
    cpu_us: dict[str, float]


def reads(server: Server, events_per_second: float, seconds: float, persons: int) -> dict[str, list[float]]:
    """Milliseconds of a handler that does nothing, person look-ups and timelines, one after the other, while a steady
    load comes in; without one when `events_per_second` is 0."""
    total = int(events_per_second * seconds / 100) * 100
    load = [request(body, WRITE_KEY) for body in bodies(total, persons, tag="steady", seed=11, mix=BEHAVIOUR)]

    async def both() -> bytes:
        argv = [sys.executable, "-m", "bench.reads", str(server.port), str(persons), str(seconds - 2)]
        # A shop's back end is no part of the load: a session of its own, where sessions share processors (0531).
        pipe = asyncio.subprocess.PIPE
        looking = await asyncio.create_subprocess_exec(*argv, stdout=pipe, start_new_session=True)
        if load:
            await send_all(server.port, load, connections=64, per_second=events_per_second / 100)
        answer, _ = await looking.communicate()
        return answer

    taken: dict[str, list[float]] = json.loads(asyncio.run(both()))
    return taken


def _million(server: Server, requests: list[bytes]) -> _Million:
    """Send a million events and wait until they are processed."""
    events = 1_000_000
    before, spent = server.get("/api/stream")["processed"], server.cpu_us()
    started, own = time.perf_counter(), time.process_time()
    asyncio.run(send_all(server.port, requests, connections=64))
    own = time.process_time() - own
    done = server.wait_processed(before + events)
    cpu = {role: (after - spent.get(role, 0)) / events for role, after in server.cpu_us().items()}
    return _Million(events / (done - started), cpu | {"client": own * 1e6 / events})


def _row(stored: int, done: list[_Million], bare: float, memory: float) -> str:
    rate = len(done) / sum(1 / one.per_second for one in done)
    cpu = {role: statistics.mean(one.cpu_us.get(role, 0) for one in done) for role in ROLES}
    spent = " | ".join(f"{cpu[role]:.1f}" for role in ROLES)
    return f"| {stored},000,000 | {rate:,.0f} | {bare:,.0f} | {spent} | {sum(cpu.values()):.1f} | {memory:,.0f} |"


def main() -> None:
    """Run and print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--millions", type=int, default=10)
    parser.add_argument("--persons", type=int, default=1_000_000)
    options = parser.parse_args()
    columns = ["events stored", "processed since the row above, events/s", "floor", *(f"{r}, µs" for r in ROLES)]
    print("| " + " | ".join([*columns, "all, µs", "memory, MB"]) + " |", flush=True)
    with running_server() as server:
        first = run(server, 1_000_000, options.persons, "first", each_once=True)
        print(f"| 1,000,000 (each a new person) | {first.processed:,.0f} | {first.cpu()} |", flush=True)
        sent = list(bodies(1_000_000, options.persons, tag=_TAG, seed=5, mix=BEHAVIOUR))
        server.settle()
        done: list[_Million] = []
        rate = first.processed
        for stored in range(2, options.millions + 1):
            tag = f"m{stored:06d}".encode()
            one = _million(server, [request(body.replace(_TAG.encode(), tag), WRITE_KEY) for body in sent])
            done.append(one)
            if stored in REPORTED or stored == options.millions:
                rate = len(done) / sum(1 / one.per_second for one in done)
                bare = floor(server, sent[:5_000]).events_per_second
                print(_row(stored, done, bare, sum(server.memory_mb().values())), flush=True)
                done = []
        server.settle()
        taken = {
            "idle": reads(server, 0, 20, options.persons),
            f"{rate / 2:,.0f} events/s": reads(server, rate / 2, 20, options.persons),
        }
    print("\n| reads | server | n | p50, ms | p95, ms | p99, ms |\n| --- | --- | ---: | ---: | ---: | ---: |")
    for state, kinds in taken.items():
        for name, ms in kinds.items():
            p50, p95, p99 = np.percentile(ms, (50, 95, 99))
            print(f"| {name} | {state} | {len(ms)} | {p50:.1f} | {p95:.1f} | {p99:.1f} |")


if __name__ == "__main__":
    main()
