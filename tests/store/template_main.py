"""A template for tests, and what its processes do: `template_main.py template PADDING`."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siyu.store.template import forked_role


def calculate() -> dict[str, object]:
    """Arrow's pool of threads, its memory, its files, and numpy: imported before the fork, used after it."""
    table = pa.table({"n": np.arange(20_000), "k": pa.array([f"k{n % 7}" for n in range(20_000)])})
    sums = table.group_by("k", use_threads=True).aggregate([("n", "sum")])
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    read = pq.read_table(pa.BufferReader(sink.getvalue()), use_threads=True)
    return {
        "groups": sums.num_rows,
        "sum": pc.sum(sums["n_sum"]).as_py(),
        "read": pc.sum(read["n"]).as_py(),
        "chance": random.random(),
    }


def main(role: str) -> None:
    if role == "calculate":
        print(json.dumps(calculate()), flush=True)
    elif role == "tell":
        threads = len(list(Path(f"/proc/{os.environ['TEMPLATE']}/task").iterdir()))
        told = {
            "parent": os.getppid(),
            "threads of the template": threads,
            "session": os.getsid(0) == os.getpid(),
            "group": os.getpgid(0) == os.getpid(),
            "name": Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").decode().strip(),
            "read": os.read(int(os.environ["PIPE_FD"]), 5).decode(),
        }
        print(json.dumps(told), flush=True)
        print("to the other output", file=sys.stderr, flush=True)
        sys.exit(3)
    else:
        threading.Event().wait()


def prepare(role: str) -> None:
    """`killed`: the template ends before it has forked."""
    if role == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    pa.array(np.arange(1))  # loads pandas, where it is installed, once and not twenty times
    main(forked_role(prepare))
