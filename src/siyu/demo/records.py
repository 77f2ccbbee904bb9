"""SQL of the demo: the state of its load."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from siyu.demo.tables import demo_loads


class DemoLoad(NamedTuple):
    """How far a demo is loaded. Seed, persons, present of the first load and keys never change: a resumed load sends
    the same ids. `finished_at`: up to when the story is told; None while the first load is under way."""

    seed: int
    persons: int
    now: datetime
    keys: Mapping[str, str]
    requests_done: int
    events: int
    finished_at: datetime | None


async def find_load(connection: AsyncConnection, seed: int) -> DemoLoad | None:
    """The load begun with this seed, if any."""
    row = (await connection.execute(select(demo_loads).where(demo_loads.c.seed == seed))).one_or_none()
    return None if row is None else DemoLoad(**row._mapping)


async def add_load(connection: AsyncConnection, load: DemoLoad) -> None:
    """Begin a load; nothing happens when one has begun already."""
    await connection.execute(insert(demo_loads).values(load._asdict()).on_conflict_do_nothing())


async def save_progress(
    connection: AsyncConnection, seed: int, requests_done: int, events: int, finished_at: datetime | None
) -> None:
    """Remember how far the load is."""
    await connection.execute(
        update(demo_loads)
        .where(demo_loads.c.seed == seed)
        .values(requests_done=requests_done, events=events, finished_at=finished_at)
    )
