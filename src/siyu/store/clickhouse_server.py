"""The embedded ClickHouse process: `python -m siyu.store.clickhouse_server CONFIG.json` (see `embedded_clickhouse`).

It owns the data folder, listens on loopback only, and knows one user with one password.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import sys
import threading
import time
from pathlib import Path
from typing import Final

import msgspec
import uvicorn

from siyu.store.chdb_pool import ChdbPool
from siyu.store.clickhouse_http import ClickHouseHttp
from siyu.store.priority import give_way_in_merges

READERS_MAX: Final = 6
WRITERS_MAX: Final = 3
GRACE_SECONDS: Final = 5


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the child is told, in a file only its user can read."""

    data: str
    """Folder of the data."""
    port: int
    password: str
    memory_bytes_max: int
    """All queries, inserts and caches together."""
    stuck_seconds: float
    """A statement this late counts as waiting for ever, and the process ends: it is started again at once."""


def address(config: ServerConfig) -> str:
    """chDB's connection string: the folder, and the limits of the whole process."""
    limits = {
        "max_server_memory_usage": config.memory_bytes_max,
        "mark_cache_size": 64 << 20,
        "index_mark_cache_size": 16 << 20,
        "mmap_cache_size": 0,
    }
    return config.data + "?" + "&".join(f"{name}={value}" for name, value in limits.items())


def _watch(app: ClickHouseHttp, seconds: float) -> None:
    """A statement that overstays its time may never end: it would keep its connection and, at last, stop all
    questions (decision 0004). And the engine starts the threads of its merges when it wants to."""
    while app.overdue_seconds() < seconds:
        give_way_in_merges()
        time.sleep(min(1.0, seconds))
    sys.stderr.write("A statement does not end: starting again.\n")
    sys.stderr.flush()
    os._exit(70)


def main() -> None:
    """Serve until SIGTERM."""
    config = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=ServerConfig)
    data = Path(config.data)
    data.mkdir(parents=True, exist_ok=True)
    with (data.parent / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for a predecessor that is still ending
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        where = address(config)
        readers, writers = ChdbPool(where, READERS_MAX), ChdbPool(where, WRITERS_MAX)
        writers.query("SELECT 1", "Null", database="default", settings={}, params={})
        app = ClickHouseHttp(
            readers, writers, password=config.password, readers_max=READERS_MAX, writers_max=WRITERS_MAX
        )
        threading.Thread(target=_watch, args=(app, config.stuck_seconds), daemon=True).start()
        gc.collect()
        gc.freeze()
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                host="127.0.0.1",
                port=config.port,
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=GRACE_SECONDS,
                timeout_keep_alive=75,
                server_header=False,
                date_header=False,
            )
        )
        asyncio.run(server.serve())
        # A statement that does not end must not keep the folder: the guard ends the process in any case.
        guard = threading.Timer(GRACE_SECONDS, os._exit, (0,))
        guard.daemon = True
        guard.start()
        app.close()


if __name__ == "__main__":
    main()
