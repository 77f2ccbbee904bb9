"""Growth: the cost of an event while the store grows, and reads while ingest runs at half of its speed.

`python -m bench.growth [--millions N] [--persons N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from typing import Any

import numpy as np

from bench.ingest import run
from bench.load import bodies, request, send_all
from bench.server import WRITE_KEY, Server, running_server

REPORTED = (1, 2, 5, 10, 20, 50)


def reads(server: Server, events_per_second: float, seconds: float, persons: int) -> dict[str, list[float]]:
    """Milliseconds of person look-ups and timelines, one after the other, while a steady load comes in."""
    total = int(events_per_second * seconds / 100) * 100
    load = [request(body, WRITE_KEY) for body in bodies(total, persons, tag="steady", seed=11)]
    chosen = random.Random(3)
    taken: dict[str, list[float]] = {"lookup": [], "timeline": []}

    def timed(name: str, path: str) -> Any:
        started = time.perf_counter()
        answer = server.get(path)
        taken[name].append((time.perf_counter() - started) * 1000)
        return answer

    def look(until: float) -> None:
        while time.perf_counter() < until:
            member = f"member-{chosen.randrange(persons):08d}"
            person = timed("lookup", f"/api/persons/lookup?kind=user_id&value={member}")
            timed("timeline", f"/api/persons/{person['person_id']}/timeline?limit=50")

    async def both() -> None:
        until = time.perf_counter() + seconds - 1
        await asyncio.gather(
            send_all(server.port, load, connections=64, per_second=events_per_second / 100),
            asyncio.to_thread(look, until),
        )

    asyncio.run(both())
    return taken


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--millions", type=int, default=10)
    parser.add_argument("--persons", type=int, default=1_000_000)
    options = parser.parse_args()
    print("| events stored | processed, events/s | CPU per event, µs |\n| ---: | ---: | --- |", flush=True)
    with running_server() as server:
        rate = 0.0
        for million in range(1, options.millions + 1):
            one = run(server, 1_000_000, options.persons, f"m{million}", each_once=million == 1)
            rate = one.processed
            if million in REPORTED or million == options.millions:
                print(f"| {million},000,000 | {rate:,.0f} | {one.cpu()} |", flush=True)
        memory = sum(server.memory_mb().values())
        taken = reads(server, rate / 2, 20, options.persons)
    print("\n| reads at half of that speed | n | p50, ms | p99, ms |\n| --- | ---: | ---: | ---: |")
    for name, ms in taken.items():
        print(f"| {name} | {len(ms)} | {statistics.median(ms):.1f} | {np.percentile(ms, 99):.1f} |")
    print(f"\nMemory of all processes at the end: {memory:,.0f} MB.")


if __name__ == "__main__":
    main()
