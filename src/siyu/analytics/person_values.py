"""A property of persons, lent to the engine for the time of one question: a small table person → text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import uuid4

import pyarrow as pa

from siyu.store.clickhouse import EventStore

_PREFIX = "question_values_"
_FORGOTTEN = f"""
SELECT name FROM system.tables
WHERE database = currentDatabase() AND startsWith(name, '{_PREFIX}') AND metadata_modification_time < now() - 3600
"""


@asynccontextmanager
async def person_values(events: EventStore, texts: Mapping[int, str]) -> AsyncIterator[str]:
    """The name of a Join table with column `value`, dropped at the end; so are tables that a crash left behind."""
    for (name,) in await events.rows(_FORGOTTEN):
        await events.command(f"DROP TABLE IF EXISTS `{name}`")
    table = _PREFIX + uuid4().hex
    await events.command(
        f"CREATE TABLE {table} (person UInt32, value String) ENGINE = Join(ANY, LEFT, person) SETTINGS persistent = 0"
    )
    try:
        rows = {"person": pa.array(list(texts), pa.uint32()), "value": pa.array(list(texts.values()), pa.string())}
        await events.insert(table, pa.table(rows))
        yield table
    finally:
        await events.command(f"DROP TABLE IF EXISTS {table}")
