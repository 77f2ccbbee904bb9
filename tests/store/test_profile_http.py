"""The profile over HTTP on the real engines."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

import httpx
import pyarrow as pa
import pytest
from litestar import Litestar
from litestar.di import Provide

import siyu.identity.tables
import siyu.store.tables
from siyu.api.problems import on_siyu_error
from siyu.collect.event import Effects
from siyu.errors import SiyuError
from siyu.ids import identifier_key, identifier_uid
from siyu.profile import ProfileChange, absorb, absorb_purchases
from siyu.profile.http import routes
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of

SECRET = b"test secret"
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
DAY_MS = 86_400_000


class World(NamedTuple):
    """A server with nothing in it, and its engines."""

    http: httpx.AsyncClient
    db: Database
    events: EventStore

    async def identifier(self, anchor: int, kind: str, value: str, days_ago: int = 1) -> str:
        """Register an identifier under a number; its public id."""
        uid = identifier_uid(identifier_key(kind, value), SECRET)
        async with self.db.driver() as connection:
            await connection.execute(
                """INSERT INTO identifiers (id, uid, kind, value, first_seen, last_seen, source)
                   VALUES ($1, $2, $3, $4, $5, $6, 'wk')""",
                anchor, uid, kind, value, NOW - timedelta(days=days_ago), NOW - timedelta(hours=1),
            )  # fmt: skip
        return str(uid)

    async def member(self, anchor: int, person: int, since_ms: int = 0) -> None:
        """Make an identifier a person's from a time on."""
        async with self.db.driver() as connection:
            await connection.execute(
                "INSERT INTO memberships (anchor, since, person) VALUES ($1, $2, $3)",
                anchor, datetime.fromtimestamp(since_ms / 1000, UTC), person,
            )  # fmt: skip

    async def change(self, anchor: int, at_ms: int, event_id: str, effects: Effects) -> None:
        """Absorb one event."""
        async with self.db.begin() as conn:
            await absorb(conn, [ProfileChange(anchor, at_ms, event_id, "wk", "web", effects)], NOW)

    async def happened(self, *rows: tuple[int, int, str]) -> None:
        """Store events (anchor, at_ms, event_id)."""
        time = pa.timestamp("ms", tz="UTC")
        await self.events.insert(
            "events",
            pa.table(
                {
                    "anchor": pa.array([row[0] for row in rows], pa.uint32()),
                    "occurred_at": pa.array([row[1] for row in rows], time),
                    "received_at": pa.array([row[1] for row in rows], time),
                    "name": ["viewed" for _ in rows],
                    "end": ["web" for _ in rows],
                    "source": ["wk" for _ in rows],
                    "event_id": [row[2] for row in rows],
                    "others": pa.array([[] for _ in rows], pa.list_(pa.uint32())),
                    "value_fen": pa.array([0 for _ in rows], pa.int64()),
                    "properties": ['{"n":1}' for _ in rows],
                    "context": ["{}" for _ in rows],
                    "batch": pa.array([0 for _ in rows], pa.uint64()),
                }
            ),
        )

    async def get(self, url: str, status: int = 200, **params: Any) -> Any:
        """The JSON of a GET."""
        answer = await self.http.get(url, params=params)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
async def world(db: Database, events: EventStore) -> AsyncIterator[World]:
    assert siyu.identity.tables.memberships.name == "memberships"
    await db.create_all()
    await events.create_all()

    def provided(value: Any) -> Provide:
        return Provide(lambda: value, sync_to_thread=False)

    given = {"db": db, "events": events, "now": lambda: NOW, "settings": Settings(), "secret": SECRET}
    app = Litestar(
        routes,
        debug=True,
        dependencies={name: provided(value) for name, value in given.items()},
        exception_handlers={SiyuError: on_siyu_error},
    )
    transport = httpx.ASGITransport(app=cast(Any, app))
    async with httpx.AsyncClient(transport=transport, base_url="http://siyu") as http:
        yield World(http, db, events)


async def test_a_person_is_found_by_any_member_and_shown_whole(world: World) -> None:
    user = await world.identifier(1, "user_id", "u1", 10)
    phone = await world.identifier(2, "phone", "+8613800138000", 5)
    for anchor in (1, 2):
        await world.member(anchor, 1)
    await world.change(1, NOW_MS - 5000, "e1", Effects(set={"city": "广州", "age": "18"}, tags_add=["广州/广州天河店"]))
    await world.change(2, NOW_MS - 4000, "e2", Effects(set={"city": "深圳"}, touch={"utm_source": "wx"}))
    await world.change(
        2, NOW_MS - 3000, "e3", Effects(consent=[{"purpose": "marketing", "channel": "sms", "granted": True}])
    )
    async with world.db.begin() as conn:
        await absorb_purchases(conn, [(1, NOW_MS - DAY_MS, "o1", 10_000), (2, NOW_MS - 5 * DAY_MS, "o2", 5_000)])
    by_phone = await world.get("/api/persons/lookup", kind="phone", value="138 0013 8000")
    assert by_phone == await world.get(f"/api/persons/{user}") == await world.get(f"/api/persons/{phone}")
    assert by_phone["person_id"] == user
    assert [(one["kind"], one["value"]) for one in by_phone["identifiers"]] == [
        ("user_id", "u1"),
        ("phone", "+8613800138000"),
    ]
    assert by_phone["traits"] == {"age": 18, "city": "深圳"}
    assert by_phone["tags"] == ["广州/广州天河店"]
    assert by_phone["consent"]["marketing"]["sms"]["granted"] is True
    assert by_phone["first_touch"] == by_phone["last_touch"]
    assert by_phone["first_touch"]["fields"] == {"utm_source": "wx"}
    assert by_phone["rfm"] == {
        "recency_days": 1, "frequency": 2, "monetary_fen": 15_000, "r": None, "f": None, "m": None,
    }  # fmt: skip
    assert (by_phone["lifecycle"], by_phone["tier"], by_phone["trust_level"], by_phone["segments"]) == (
        "new", None, None, [],
    )  # fmt: skip


async def test_unknown_persons_are_404_with_their_code(world: World) -> None:
    for path in ("/api/persons/nobody", "/api/persons/8f14e45f-ceea-467f-a0a7-000000000000/timeline"):
        assert (await world.get(path, 404))["code"] == "PERSON_NOT_FOUND"
    assert (await world.get("/api/persons/lookup", 404, kind="user_id", value="0"))["code"] == "PERSON_NOT_FOUND"


async def test_a_recycled_phone_leaves_each_person_its_own_time(world: World) -> None:
    first, second = await world.identifier(1, "user_id", "a"), await world.identifier(2, "user_id", "b")
    await world.identifier(3, "phone", "+8613800138000")
    change = NOW_MS - 10 * DAY_MS
    await world.member(3, 1)
    await world.member(3, 2, change)
    await world.change(3, change - 1, "old", Effects(set={"city": "old"}, tags_add=["x"], touch={"scene": "1"}))
    await world.change(3, change, "new", Effects(set={"city": "new"}))
    await world.happened((3, change - 1, "old"), (3, change, "new"), (1, change + 5, "mine"))
    one, two = await world.get(f"/api/persons/{first}"), await world.get(f"/api/persons/{second}")
    assert (one["traits"], one["tags"], two["traits"], two["tags"]) == ({"city": "old"}, ["x"], {"city": "new"}, [])
    assert [item["value"] for item in one["former_identifiers"]] == ["+8613800138000"]
    assert [item["value"] for item in two["identifiers"]] == ["b", "+8613800138000"]
    assert (await world.get("/api/persons/lookup", kind="phone", value="13800138000"))["person_id"] == second
    lines = [(await world.get(f"/api/persons/{who}/timeline"))["items"] for who in (first, second)]
    assert [[item["event_id"] for item in items] for items in lines] == [["mine", "old"], ["new"]]


async def test_timeline_pages_neither_skip_nor_repeat_equal_times(world: World) -> None:
    person = await world.identifier(1, "user_id", "a")
    at = NOW_MS - DAY_MS
    rows = [(1, at + (n // 100), f"e{n:03}") for n in range(350)]
    await world.happened(*rows)
    for limit in (1, 7, 50, 1000):
        seen: list[str] = []
        before: str | None = None
        while True:
            more = {} if before is None else {"before": before}
            page = await world.get(f"/api/persons/{person}/timeline", limit=limit, **more)
            seen += [item["event_id"] for item in page["items"]]
            if (before := page["next_before"]) is None:
                break
        assert sorted(seen) == [row[2] for row in rows]
    item = page["items"][0]
    assert item["identifier"] == {"kind": "user_id", "value": "a"} and item["properties"] == {"n": 1}
    wrong = await world.get(f"/api/persons/{person}/timeline", 400, before="yesterday")
    assert wrong["code"] == "MALFORMED_REQUEST"


async def test_tags_by_hand_move_with_the_tree(world: World) -> None:
    person = await world.identifier(1, "user_id", "a")
    path = f"/api/persons/{person}/tags"
    assert (await world.http.post(path, json={"path": "天河店"}, headers={"Idempotency-Key": "k"})).status_code == 200
    given = (await world.http.post(path, json={"path": "天河店"}, headers={"Idempotency-Key": "k"})).json()
    assert [one["path"] for one in given["history"]] == ["天河店"]
    other = await world.http.post(path, json={"path": "番禺店"}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    node = next(one for one in (await world.get("/api/tags"))["items"] if one["path"] == "天河店")
    moved = await world.http.put(f"/api/tags/{node['id']}", json={"path": "广州/天河店"})
    assert moved.json()["path"] == "广州/天河店"
    assert (await world.get(f"/api/persons/{person}"))["tags"] == ["广州/天河店"]
    await world.change(1, NOW_MS + 1000, "late", Effects(tags_add=["天河店/二楼"]))
    assert (await world.get(f"/api/persons/{person}"))["tags"] == ["广州/天河店", "广州/天河店/二楼"]
    found = await world.get("/api/tags/persons", path="广州")
    assert [one["person_id"] for one in found["items"]] == [person]
    left = await world.http.delete(path, params={"path": "广州"})
    assert left.status_code == 200 and left.json()["tags"] == []
    assert (await world.get("/api/tags/persons", path="广州"))["items"] == []
    assert (await world.get("/api/tags/persons", 404, path="上海"))["code"] == "TAG_NOT_FOUND"
    loop = await world.http.put(f"/api/tags/{node['id']}", json={"path": "广州/天河店/二楼/x"})
    assert loop.json()["code"] == "WRONG_TAG"


async def test_consent_history_and_withdrawal(world: World) -> None:
    person = await world.identifier(1, "user_id", "a")
    await world.change(1, NOW_MS - 10, "e1", Effects(consent=[{"purpose": "marketing", "granted": True}]))
    answer = await world.http.post(
        f"/api/persons/{person}/consent", json={"purpose": "marketing", "granted": False, "text_version": "v2"}
    )
    assert answer.status_code == 200
    body = answer.json()
    assert body["consent"]["marketing"]["*"]["granted"] is False
    assert [one["granted"] for one in body["history"]] == [False, True]
    await world.change(1, NOW_MS - 20, "late", Effects(consent=[{"purpose": "marketing", "granted": True}]))
    assert (await world.get(f"/api/persons/{person}"))["consent"]["marketing"]["*"]["granted"] is False


async def test_trait_history_declarations_and_problems(world: World) -> None:
    person = await world.identifier(1, "user_id", "a")
    await world.change(1, NOW_MS - 30, "e1", Effects(set={"shoe size": "42", "age": "old"}))
    await world.change(1, NOW_MS - 20, "e2", Effects(increment={"shoe size": 1}))
    await world.change(1, NOW_MS - 10, "e3", Effects(append={"pets": ["cat"]}))
    assert (await world.get(f"/api/persons/{person}/traits"))["traits"] == {
        "age": "old", "pets": ["cat"], "shoe size": "42",
    }  # fmt: skip
    await world.http.put("/api/traits/shoe size", json={"type": "number", "label_zh": "鞋码"})
    answer = await world.get(f"/api/persons/{person}/traits")
    assert (answer["traits"]["shoe size"], answer["problems"]) == (43, {"age": "NOT_A_NUMBER"})
    history = await world.get(f"/api/persons/{person}/traits/shoe size")
    assert (history["value"], [one["operation"] for one in history["history"]]) == (43, ["increment", "set"])
    assert (await world.get(f"/api/persons/{person}/traits/nothing"))["value"] is None


async def test_search_by_identifier_prefix_and_name(world: World) -> None:
    ids = [await world.identifier(n, "user_id", f"user-{n}") for n in range(1, 6)]
    await world.identifier(9, "phone", "+8613800138000")
    await world.member(9, 2)
    await world.member(2, 2)
    await world.change(3, NOW_MS, "e", Effects(set={"name": "王小明"}))

    async def found(query: str) -> list[str]:
        return [one["person_id"] for one in (await world.get("/api/persons", query=query))["items"]]

    assert await found("") == [ids[1], ids[4], ids[3], ids[2], ids[0]]
    assert await found("13800138000") == [ids[1]]
    assert await found("+86138") == [ids[1]]
    assert await found("user-4") == [ids[3]]
    assert set(await found("user-")) == set(ids)
    assert await found("王小") == [ids[2]]
    assert await found("%") == []


async def test_export_holds_everything(world: World) -> None:
    person = await world.identifier(1, "user_id", "a")
    await world.change(1, NOW_MS - 30, "e1", Effects(set={"city": "广州"}, touch={"scene": "1"}, tags_add=["vip"]))
    await world.happened(*[(1, NOW_MS - n, f"e{n}") for n in range(2_500)])
    answer = await world.http.post(f"/api/persons/{person}/export")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        files = {name: json.loads(archive.read(name)) for name in archive.namelist()}
    events = [item["event_id"] for name, part in sorted(files.items()) if name.startswith("events-") for item in part]
    assert sorted(events) == sorted(f"e{n}" for n in range(2_500))
    assert files["manifest.json"]["rows"]["events"] == 2_500
    assert files["traits.json"]["history"][0]["operations"] == {"set": {"city": "广州"}}
    assert files["touches-00001.json"][0]["fields"] == {"scene": "1"}


async def rows_of(db: Database, table: str) -> int:
    async with db.begin() as conn:
        return int(await (await driver_of(conn)).fetchval(f"SELECT count(*) FROM {table}"))
