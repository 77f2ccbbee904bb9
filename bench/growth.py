"""Growth: the cost of an event while the store grows, and reads while ingest runs at half of its speed.

`python -m bench.growth [--millions N] [--persons N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys

import numpy as np

from bench.ingest import run
from bench.load import bodies, request, send_all
from bench.server import WRITE_KEY, Server, running_server

REPORTED = (1, 2, 5, 10, 20, 50)


def reads(server: Server, events_per_second: float, seconds: float, persons: int) -> dict[str, list[float]]:
    """Milliseconds of person look-ups and timelines, one after the other, while a steady load comes in; without one
    when `events_per_second` is 0."""
    total = int(events_per_second * seconds / 100) * 100
    load = [request(body, WRITE_KEY) for body in bodies(total, persons, tag="steady", seed=11)]

    async def both() -> bytes:
        argv = [sys.executable, "-m", "bench.reads", str(server.port), str(persons), str(seconds - 2)]
        looking = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        if load:
            await send_all(server.port, load, connections=64, per_second=events_per_second / 100)
        answer, _ = await looking.communicate()
        return answer

    taken: dict[str, list[float]] = json.loads(asyncio.run(both()))
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
        half = rate / 2
        taken = {
            "idle": reads(server, 0, 10, options.persons),
            f"{half:,.0f} events/s": reads(server, half, 20, options.persons),
        }
    print("\n| reads | server | n | p50, ms | p99, ms |\n| --- | --- | ---: | ---: | ---: |")
    for state, kinds in taken.items():
        for name, ms in kinds.items():
            print(f"| {name} | {state} | {len(ms)} | {statistics.median(ms):.1f} | {np.percentile(ms, 99):.1f} |")
    print(f"\nMemory of all processes at the end: {memory:,.0f} MB.")


if __name__ == "__main__":
    main()
