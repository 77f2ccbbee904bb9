"""Export and erasure of a person on the real engines."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

import siyu.processor.tables
from siyu.collect.event import Effects
from siyu.errors import PersonNotFound
from siyu.ids import identifier_key, identifier_uid
from siyu.processor import work
from siyu.profile import ProfileChange, absorb, absorb_purchases, actions
from siyu.profile.portrait import Moment
from siyu.profile.rights import Erasing, Order, erase, open_export
from siyu.profile.rights_records import ERASURE_LOCK, Record
from siyu.profile.timeline import Page
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

SECRET = b"test secret"
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
HOUR_MS = 3_600_000
MOMENT = Moment(NOW, ZoneInfo("Asia/Shanghai"))
SHARED_FROM = NOW_MS - 10 * HOUR_MS
EVERYTHING = Effects(
    set={"city": "广州"},
    tags_add=["vip"],
    consent=[{"purpose": "marketing", "granted": True}],
    touch={"utm_source": "wx"},
)


def uid(kind: str, value: str) -> UUID:
    return identifier_uid(identifier_key(kind, value), SECRET)


def order(*scrubs: Any) -> Order:
    return Order(Record(uuid4(), [], NOW, "test"), "asked for", scrubs, 1_000)


async def count(db: Database, sql: str, *args: Any) -> int:
    async with db.driver() as connection:
        return int(await connection.fetchval(sql, *args))


async def store(db: Database, events: EventStore, *rows: tuple[int, int, str]) -> None:
    """Events (anchor, at_ms, event_id) in ClickHouse, each with effects and money in PostgreSQL."""
    time = pa.timestamp("ms", tz="UTC")
    size = len(rows)
    await events.insert(
        "events",
        pa.table(
            {
                "anchor": pa.array([row[0] for row in rows], pa.uint32()),
                "occurred_at": pa.array([row[1] for row in rows], time),
                "received_at": pa.array([row[1] for row in rows], time),
                "name": ["viewed"] * size,
                "end": ["web"] * size,
                "source": ["wk"] * size,
                "event_id": [row[2] for row in rows],
                "others": pa.array([[]] * size, pa.list_(pa.uint32())),
                "value_fen": pa.array([100] * size, pa.int64()),
                "properties": ["{}"] * size,
                "context": ["{}"] * size,
                "batch": pa.array([0] * size, pa.uint64()),
            }
        ),
    )
    async with db.begin() as conn:
        await absorb(conn, [ProfileChange(anchor, at, id_, "wk", "web", EVERYTHING) for anchor, at, id_ in rows], NOW)
        await absorb_purchases(conn, [(anchor, at, id_, 100) for anchor, at, id_ in rows])


@pytest.fixture
async def two_persons(db: Database, events: EventStore) -> tuple[Database, EventStore]:
    """1 has a user id (1), a phone (2) and had the tablet (3) until SHARED_FROM; 4 has it since."""
    assert siyu.processor.tables.dead_letters.name == "dead_letters"
    await db.create_all()
    await events.create_all()
    people = [(1, "user_id", "a"), (2, "phone", "+8613800138000"), (3, "device", "tablet"), (4, "user_id", "b")]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    async with db.driver() as connection:
        for anchor, kind, value in people:
            await connection.execute(
                """INSERT INTO identifiers (id, uid, kind, value, first_seen, last_seen, source)
                   VALUES ($1, $2, $3, $4, $5, $6, 'wk')""",
                anchor, uid(kind, value), kind, value, NOW - timedelta(days=9), NOW,
            )  # fmt: skip
        await connection.executemany(
            "INSERT INTO memberships (anchor, since, person) VALUES ($1, $2, $3)",
            [(1, epoch, 1), (2, epoch, 1), (3, epoch, 1), (3, NOW - timedelta(hours=10), 4)],
        )
    await store(
        db, events, (1, NOW_MS - HOUR_MS, "one"), (2, NOW_MS - HOUR_MS, "two"), (3, SHARED_FROM - 1, "before"),
        (3, SHARED_FROM, "after"), (4, NOW_MS - HOUR_MS, "four"),
    )  # fmt: skip
    return db, events


async def test_an_erasure_reaches_every_store_and_nobody_else(two_persons: tuple[Database, EventStore]) -> None:
    db, events = two_persons
    seen: list[Erasing] = []

    async def scrub(connection: Any, erasing: Erasing) -> Mapping[str, int]:
        seen.append(erasing)
        return {"elsewhere": 5}

    receipt = await erase(db, events, uid("phone", "+8613800138000"), order(scrub))
    assert receipt.rows == {
        "events": 3, "traits": 3, "tags": 3, "consents": 3, "touches": 3, "purchases": 3,
        "identifiers": 2, "links": 0, "elsewhere": 5, "exports": 0,
    }  # fmt: skip
    assert [one.identifiers for one in seen] == [[("user_id", "a"), ("phone", "+8613800138000")]]
    left = await events.rows("SELECT event_id FROM events ORDER BY event_id")
    assert left == [("after",), ("four",)]
    for table in ("trait_changes", "tag_ops", "consent_ops", "touches", "purchases"):
        assert await count(db, f"SELECT count(*) FROM {table}") == 2, table
    assert await count(db, "SELECT count(*) FROM identifiers WHERE value IN ('a', '+8613800138000')") == 0
    other = await actions.timeline(db, events, uid("user_id", "b"), Page(10))
    assert {item.event_id for item in other.items} == {"after", "four"}
    for kind, value in (("user_id", "a"), ("phone", "+8613800138000")):
        assert await count(db, "SELECT count(*) FROM tombstones WHERE uid = $1", uid(kind, value)) == 1
        with pytest.raises(PersonNotFound):
            await actions.lookup(db, kind, value, SECRET, MOMENT)


async def test_erasing_again_answers_zeros_and_never_known_ids_are_refused(
    two_persons: tuple[Database, EventStore],
) -> None:
    db, events = two_persons
    first = await erase(db, events, uid("user_id", "a"), order())
    for known in (uid("user_id", "a"), uid("phone", "+8613800138000")):
        again = await erase(db, events, known, order())
        assert again.receipt_id != first.receipt_id and set(again.rows.values()) == {0}
    with pytest.raises(PersonNotFound):
        await erase(db, events, uuid4(), order())
    assert await count(db, "SELECT count(*) FROM erasures WHERE reason = 'asked for'") == 3


async def test_an_erasure_removes_earlier_export_files(
    two_persons: tuple[Database, EventStore], tmp_path: Path
) -> None:
    db, events = two_persons
    file = tmp_path / "archive.zip"
    file.write_bytes(b"zip")
    await open_export(db, uid("user_id", "a"), MOMENT, Record(uuid4(), [], NOW, "test"), str(file))
    receipt = await erase(db, events, uid("user_id", "a"), order())
    assert receipt.rows["exports"] == 1 and not file.exists()
    assert await count(db, "SELECT count(*) FROM exports") == 0


async def test_a_scrub_that_fails_leaves_a_person_who_can_be_erased_again(
    two_persons: tuple[Database, EventStore],
) -> None:
    db, events = two_persons

    async def failing(connection: Any, erasing: Erasing) -> Mapping[str, int]:
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        await erase(db, events, uid("user_id", "a"), order(failing))
    receipt = await erase(db, events, uid("user_id", "a"), order())
    assert (receipt.rows["identifiers"], receipt.rows["traits"]) == (2, 3)
    assert (await events.rows("SELECT count() FROM events"))[0][0] == 2


async def test_an_erasure_waits_for_the_processor(two_persons: tuple[Database, EventStore]) -> None:
    assert work.ERASURE_LOCK == ERASURE_LOCK
    db, events = two_persons
    async with db.driver() as batch:
        await batch.execute("SELECT pg_advisory_lock_shared($1)", ERASURE_LOCK)
        erasing = asyncio.create_task(erase(db, events, uid("user_id", "a"), order()))
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while await count(db, waiting) == 0:
            assert not erasing.done()
            await asyncio.sleep(0.01)
        assert await count(db, "SELECT count(*) FROM trait_changes") == 5
        await batch.execute("SELECT pg_advisory_unlock_shared($1)", ERASURE_LOCK)
    assert (await erasing).rows["traits"] == 3
