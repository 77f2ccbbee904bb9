"""SQL of mini-programs. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

_COLUMNS: Final = "appid, label, secret, active, changed_at, used_at, problem, problem_at"


class MiniProgram(NamedTuple):
    """A mini-program that this brand has."""

    appid: str
    label: str
    secret: bytes
    """Sealed."""
    active: bool
    changed_at: datetime
    used_at: datetime | None
    problem: str
    problem_at: datetime | None


async def put(connection: Any, one: MiniProgram) -> None:
    """Store one, in place of what had its appid; what became of logins is forgotten with the old secret."""
    await connection.execute(
        f"INSERT INTO mini_programs ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (appid) DO UPDATE"
        " SET label = $2, secret = $3, active = $4, changed_at = $5, problem = $7, problem_at = $8",
        *one,
    )


async def find(connection: Any, appid: str) -> MiniProgram | None:
    """One of them."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM mini_programs WHERE appid = $1", appid)
    return None if row is None else MiniProgram(*row)


async def mini_programs(connection: Any) -> list[MiniProgram]:
    """All of them, by appid."""
    rows = await connection.fetch(f"SELECT {_COLUMNS} FROM mini_programs ORDER BY appid LIMIT 1000")
    return [MiniProgram(*row) for row in rows]


async def remove(connection: Any, appid: str) -> bool:
    """Whether there was one to remove."""
    return str(await connection.execute("DELETE FROM mini_programs WHERE appid = $1", appid)) == "DELETE 1"


async def note_use(connection: Any, appid: str, at: datetime) -> None:
    """A login went well. Written once a minute at most."""
    await connection.execute(
        "UPDATE mini_programs SET used_at = $2::timestamptz, problem = '', problem_at = NULL WHERE appid = $1"
        " AND (problem <> '' OR used_at IS NULL OR used_at < $2::timestamptz - interval '1 minute')",
        appid, at,
    )  # fmt: skip


async def note_problem(connection: Any, appid: str, problem: str, at: datetime) -> None:
    """What WeChat says against appid or secret; empty: nothing. Written once a minute at most."""
    await connection.execute(
        "UPDATE mini_programs SET problem = $2, problem_at = $3::timestamptz WHERE appid = $1"
        " AND (problem <> $2 OR problem_at IS NULL OR problem_at < $3::timestamptz - interval '1 minute')",
        appid, problem, at,
    )  # fmt: skip
