"""Writing profiles on real PostgreSQL: idempotent, whole, in any order; and the jobs that keep them fast."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from siyu.collect.event import Effects
from siyu.identity.spans import Span
from siyu.profile import ProfileChange, absorb, absorb_purchases, actions, jobs, many, read
from siyu.profile.portrait import Moment, Portrait
from siyu.store.postgres import Database

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
DAY_MS = 86_400_000


@pytest.fixture
async def profiles(db: Database) -> Database:
    """A database with identifiers 1 to 9 (user ids), each its own person."""
    await db.create_all()
    async with db.driver() as connection:
        for anchor in range(1, 10):
            await connection.execute(
                """INSERT INTO identifiers (id, uid, kind, value, first_seen, last_seen, source)
                   VALUES ($1, $2, 'user_id', $3, $4, $4, 'wk')""",
                anchor, UUID(int=anchor), f"u{anchor}", NOW - timedelta(days=1),
            )  # fmt: skip
    return db


async def write(
    db: Database, changes: list[ProfileChange], money: list[tuple[int, int, str, int]] | None = None
) -> None:
    async with db.begin() as conn:
        await absorb(conn, changes, NOW)
        await absorb_purchases(conn, money or [])


async def portraits(db: Database, *persons: int) -> dict[str, Portrait]:
    async with db.driver() as connection:
        found = await actions.portraits(connection, [Span(one, one) for one in persons], Moment(NOW, ZONE))
    return {one.person_id: one for _, one in found}


async def sizes(db: Database) -> dict[str, int]:
    async with db.driver() as connection:
        return {
            table: await connection.fetchval(f"SELECT count(*) FROM {table}")
            for table in ("trait_changes", "tag_ops", "tags", "consent_ops", "touches", "purchases")
        }


def history() -> list[ProfileChange]:
    """Sixty events of three people with everything an event can bring."""
    rng = random.Random(7)
    cities = ["广州", "深圳", "北京"]
    return [
        ProfileChange(
            rng.randrange(1, 4),
            NOW_MS - rng.randrange(5) * 1000,
            f"e{n}",
            "wk",
            "web",
            Effects(
                set={"city": rng.choice(cities)},
                set_once={"first": n},
                increment={"visits": 1},
                append={"pets": [rng.choice("ab")]},
                tags_add=[rng.choice(["广州/天河", "vip"])],
                tags_remove=[rng.choice(["广州/天河", "vip"])],
                consent=[{"purpose": "marketing", "granted": rng.random() < 0.5}],
                touch={"utm_source": f"s{n}"},
            ),
        )
        for n in range(60)
    ]


async def test_any_order_any_batches_and_replays_give_the_same(profiles: Database) -> None:
    changes = history()
    money = [(one.anchor, one.at_ms, one.event_id, 100) for one in changes]
    await write(profiles, changes, money)
    once, counted = await portraits(profiles, 1, 2, 3), await sizes(profiles)
    async with profiles.driver() as connection:
        await connection.execute("TRUNCATE trait_changes, tag_ops, tags, tag_paths, consent_ops, touches, purchases")
    shuffled = changes[:]
    random.Random(8).shuffle(shuffled)
    for start in range(0, 60, 13):
        part = shuffled[start : start + 13]
        bought = [(one.anchor, one.at_ms, one.event_id, 100) for one in part]
        await write(profiles, part + part[:3], bought + bought[:2])
        await write(profiles, part, bought)
    assert await portraits(profiles, 1, 2, 3) == once
    assert await sizes(profiles) == counted


async def test_what_is_absorbed_goes_with_the_transaction(profiles: Database) -> None:
    with pytest.raises(RuntimeError):
        async with profiles.begin() as conn:
            await absorb(conn, history(), NOW)
            raise RuntimeError("the batch failed")
    assert set((await sizes(profiles)).values()) == {0}


async def test_a_bad_part_harms_nothing_else(profiles: Database) -> None:
    bad = Effects(
        set={"ok": 1, "n" * 101: 1, "nul": "a\x00b"},
        tags_add=["", "good"],
        consent=[{"purpose": "", "granted": True}, {"purpose": "sms", "granted": "yes"}],
        increment={"inf": float("nan")},
    )
    async with profiles.begin() as conn:
        problems = await absorb(
            conn,
            [
                ProfileChange(1, NOW_MS, "a\x00", "wk", "web", bad),
                ProfileChange(1, 10**18, "never", "wk", "web", Effects(set={"x": 1})),
            ],
            NOW,
        )
    assert sorted(one.code for one in problems) == [
        "IMPOSSIBLE_TIME", "NOT_A_NUMBER", "WRONG_CONSENT", "WRONG_CONSENT", "WRONG_TAG", "WRONG_TRAIT_NAME",
    ]  # fmt: skip
    one = (await portraits(profiles, 1))[str(UUID(int=1))]
    assert one.traits == {"nul": "a\x00b", "ok": 1} and one.tags == ["good"] and one.consent == {}


async def test_rfm_cuts_come_from_persons_and_scores_from_cuts(profiles: Database) -> None:
    async with profiles.driver() as connection:
        await connection.execute("INSERT INTO memberships VALUES (9, 'epoch', 5), (5, 'epoch', 5)")
    await write(
        profiles, [], [(n, NOW_MS - n * DAY_MS, f"o{n}", n * 1000) for n in range(1, 6)]
        + [(9, NOW_MS - 9 * DAY_MS, "o9", 500), (5, NOW_MS, "refund", -200), (6, NOW_MS, "only refund", -5)],
    )  # fmt: skip
    cuts = await jobs.refresh_rfm(profiles, NOW, ZONE)
    assert cuts == ((5, 4, 3, 2), (1, 1, 1, 1), (1000, 2000, 3000, 4000), date(2026, 11, 1))
    async with profiles.driver() as connection:
        found = await actions.portraits(connection, [Span(1, 1), Span(5, 5), Span(5, 9), Span(6, 6)], Moment(NOW, ZONE))
    figures = {person: one.rfm for person, one in found}
    assert (figures[1].recency_days, figures[1].r, figures[1].f, figures[1].m) == (1, 5, 1, 1)
    five = figures[5]
    assert (five.recency_days, five.frequency, five.monetary_fen) == (5, 2, 5_300)
    assert (five.r, five.f, five.m) == (1, 5, 5)
    assert (figures[6].recency_days, figures[6].monetary_fen, figures[6].r) == (None, -5, None)


async def test_putting_aside_changes_no_portrait_and_keeps_the_history(profiles: Database) -> None:
    many: list[Any] = [
        ProfileChange(1, NOW_MS - n, f"e{n}", "wk", "web", Effects(set={"city": f"c{n}"}, unset=["x"]))
        for n in range(100)
    ]
    await write(profiles, many)
    before = await portraits(profiles, 1)
    assert await jobs.put_aside_superseded(profiles) == 99
    assert await jobs.put_aside_superseded(profiles) == 0
    assert await portraits(profiles, 1) == before
    async with profiles.driver() as connection:
        assert len(await read.trait_events(connection, [Span(1, 1)])) == 100
    await write(profiles, many)
    assert await portraits(profiles, 1) == before
    async with profiles.driver() as connection:
        assert len(await read.trait_events(connection, [Span(1, 1)])) == 100


async def test_tags_of_concurrent_batches_become_one_node(profiles: Database) -> None:
    async def batch(anchor: int) -> None:
        async with profiles.begin() as conn:
            changes = [ProfileChange(anchor, NOW_MS, f"e{anchor}", "wk", "web", Effects(tags_add=["x/y", "a/b"]))]
            await absorb(conn, changes, NOW)

    await asyncio.gather(*(batch(anchor) for anchor in range(1, 9)))
    assert (await sizes(profiles))["tags"] == 4
    assert {tuple(one.tags) for one in (await portraits(profiles, *range(1, 9))).values()} == {("a/b", "x/y")}


async def test_one_trait_of_everybody_is_what_the_portraits_say(profiles: Database) -> None:
    await write(profiles, history())
    forgets, odd = Effects(delete=True), Effects(set={'ci"ty': "x"})
    await write(profiles, [ProfileChange(3, NOW_MS + 1, "z", "wk", "web", forgets)])
    await write(profiles, [ProfileChange(4, NOW_MS + 1, "y", "wk", "web", odd)])
    async with profiles.driver() as connection:
        await connection.execute("INSERT INTO memberships VALUES (2, 'epoch', 1), (1, 'epoch', 1)")
        spans = [Span(1, 1), Span(1, 2), Span(3, 3), Span(4, 4)]
        found = dict(await actions.portraits(connection, spans, Moment(NOW, ZONE)))
    for name in ("city", "first", "visits", "pets", 'ci"ty'):
        expected = {person: one.traits[name] for person, one in found.items() if name in one.traits}
        assert await many.trait_of_all(profiles, name) == expected
