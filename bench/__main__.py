"""All benchmarks, one after the other: `make bench`. Their tables belong into docs/benchmarks.md."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

MODULES = (
    "bench.ingest",
    "bench.live",
    "bench.growth",
    "bench.questions",
    "bench.ledger",
    "bench.seals",
    "bench.redeem",
    "bench.stock",
    "bench.rules",
    "bench.dimensions",
)


def main() -> None:
    """Name the machine, then run each benchmark in a process of its own."""
    cores = len([line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("processor")])
    print(f"{platform.platform()}, {cores} cores, Python {platform.python_version()}\n", flush=True)
    for module in MODULES:
        print(f"## {module}\n", flush=True)
        subprocess.run([sys.executable, "-m", module], check=True)
        print(flush=True)


if __name__ == "__main__":
    main()
