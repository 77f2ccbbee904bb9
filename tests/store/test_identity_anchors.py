"""The registry of identifiers: one number for ever, whoever registers first."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest

from siyu.identity.anchors import AnchorRegistry, Sightings
from siyu.ids import identifier_key
from siyu.store.postgres import Database

SECRET = b"s" * 32
T0 = 1_700_000_000_000


@pytest.fixture
async def house(db: Database) -> Database:
    await db.create_all()
    return db


def seen(names: list[str], low: int = T0, high: int = T0 + 5, source: str = "k1") -> Sightings:
    count = len(names)
    keys = [identifier_key("user_id", name) for name in names]
    return Sightings(keys, np.full(count, low), np.full(count, high), [source] * count)


async def register(db: Database, registry: AnchorRegistry, sightings: Sightings) -> list[int]:
    async with db.driver() as connection:
        await registry.notice_erasures(connection)
        async with connection.transaction():
            return [int(anchor) for anchor in await registry.register(connection, sightings)]


async def stored(db: Database) -> dict[str, tuple[int, datetime, datetime, str]]:
    async with db.driver() as connection:
        rows = await connection.fetch("SELECT kind, value, id, first_seen, last_seen, source FROM identifiers")
    return {f"{row[0]}:{row[1]}": tuple(row)[2:] for row in rows}


async def test_what_is_registered_is_what_was_seen(house: Database) -> None:
    (anchor,) = await register(house, AnchorRegistry(SECRET), seen(["小明 \N{GRINNING FACE}"], T0 + 1, T0 + 2, "key-é"))
    first, last = (datetime.fromtimestamp((T0 + ms) / 1000, UTC) for ms in (1, 2))
    assert await stored(house) == {"user_id:小明 \N{GRINNING FACE}": (anchor, first, last, "key-é")}


async def test_a_second_process_finds_the_numbers_of_the_first(house: Database) -> None:
    one, two = AnchorRegistry(SECRET), AnchorRegistry(SECRET)
    first = await register(house, one, seen(["a", "b"]))
    assert await register(house, two, seen(["b", "c", "a"])) == [first[1], max(first) + 1, first[0]]
    # Both have met nothing but new ones last time, and add without looking: the clash is noticed.
    assert await register(house, one, seen(["x"])) != await register(house, two, seen(["y"]))
    p, q = await register(house, one, seen(["p", "q"]))
    answer = await register(house, two, seen(["q", "r", "p"]))
    assert (answer[0], answer[2]) == (q, p)
    assert len(await stored(house)) == len({"a", "b", "c", "x", "y", "p", "q", "r"})


async def test_many_processes_at_once_agree(house: Database) -> None:
    registries = [AnchorRegistry(SECRET) for _ in range(6)]
    for turn in range(4):
        names = [f"n{turn}-{i}" for i in range(50)]
        sightings = [seen(names[start:] + names[:start]) for start in range(0, 48, 8)]
        answers = await asyncio.gather(
            *(register(house, registry, part) for registry, part in zip(registries, sightings, strict=True))
        )
        numbers = [dict(zip(part.keys, answer, strict=True)) for part, answer in zip(sightings, answers, strict=True)]
        assert all(each == numbers[0] for each in numbers)
        assert len(set(numbers[0].values())) == 50
    assert len(await stored(house)) == 200


async def test_first_and_last_sight_widen_and_never_narrow(house: Database) -> None:
    day = 86_400_000
    registry, cold = AnchorRegistry(SECRET), AnchorRegistry(SECRET)
    await register(house, registry, seen(["a"], T0, T0 + 5, "k1"))
    await register(house, cold, seen(["a"], T0 + 1, T0 + 2 * day, "k2"))
    await register(house, registry, seen(["a"], T0 - 7, T0 - 7, "k3"))
    first, last = (datetime.fromtimestamp((T0 + ms) / 1000, UTC) for ms in (-7, 2 * day))
    assert (await stored(house))["user_id:a"] == (1, first, last, "k3")
