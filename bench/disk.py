"""A disk that acknowledges later: PostgreSQL waits so long before it makes commits durable (`commit_delay`).

For the limits that are one over the time of a commit; floor and ours stand on the same server. `--commit-ms 3.3` is the
disk of the reference (3.5 ms).
"""

from __future__ import annotations

import asyncio
import json
import re
from argparse import ArgumentParser
from pathlib import Path
from urllib.parse import quote

import asyncpg


def add_option(parser: ArgumentParser) -> None:
    """`--commit-ms`."""
    parser.add_argument("--commit-ms", type=float, default=0.0, help="a commit takes so many milliseconds more")


def delay_commits(home: Path, dsn: str, commit_ms: float) -> None:
    """From now on, on the embedded server of `home`; up to 100 ms."""
    if commit_ms:
        asyncio.run(_delay(_as_admin(home, dsn), commit_ms))


def _as_admin(home: Path, dsn: str) -> str:
    known = json.loads((home / "postgres" / "credentials.json").read_text())
    return re.sub(r"//[^@/]*@", f"//{quote(known['admin_user'])}:{quote(known['admin_password'])}@", dsn)


async def _delay(dsn: str, commit_ms: float) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(f"ALTER SYSTEM SET commit_delay = {round(commit_ms * 1000):d}")
    await connection.execute("ALTER SYSTEM SET commit_siblings = 0")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()
