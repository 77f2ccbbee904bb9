"""Segments and rules over HTTP, and that docs/segments.md says everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import httpx
import pytest
from litestar import Litestar
from litestar.di import Provide

from siyu.api.problems import on_siyu_error
from siyu.errors import SiyuError
from siyu.loyalty.http_explain import routes as explain_routes
from siyu.segments.http import routes
from siyu.segments.keep import Keeper
from siyu.segments.population import Source
from siyu.segments.ready import READY
from siyu.segments.rules_http import routes as rule_routes
from siyu.segments.words import WORDS
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.stream.postgres import PostgresStream
from tests.reference.world import Happening, insert_events, register, uid_of

NOW = datetime(2026, 3, 10, 15, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
PAGE = (Path(__file__).parents[2] / "docs" / "segments.md").read_text()


@pytest.fixture
async def keeper(db: Database, events: EventStore) -> Keeper:
    """Three persons, of whom two bought."""
    await db.create_all()
    await events.create_all()
    await register(db, [1, 2, 3])
    await insert_events(
        events,
        [
            Happening(1, "order.paid", NOW_MS - 1, {}, 100),
            Happening(2, "PayOrder", NOW_MS),
            Happening(3, "page", NOW_MS),
        ],
    )
    return Keeper(Source(db, events, WORDS), PostgresStream(db), lambda: NOW, ZoneInfo("Asia/Shanghai"))


@pytest.fixture
async def http(keeper: Keeper, db: Database, events: EventStore) -> AsyncIterator[httpx.AsyncClient]:
    """The routes, without the guards of the whole application."""

    def provided(value: Any) -> Provide:
        return Provide(lambda: value, sync_to_thread=False)

    services = {"db": db, "events": events, "now": lambda: NOW, "settings": Settings(), "secret": b"secret"}
    app = Litestar(
        [*routes, *rule_routes, *explain_routes],
        dependencies={name: provided(value) for name, value in services.items()},
        exception_handlers={SiyuError: on_siyu_error},
    )
    transport = httpx.ASGITransport(cast(Any, app))
    async with httpx.AsyncClient(transport=transport, base_url="http://siyu") as client:
        yield client


async def test_a_segment_from_sentence_to_spreadsheet(http: httpx.AsyncClient, keeper: Keeper) -> None:
    text = "最近 7 天内“支付订单”的次数 至少 1"
    counted = (await http.post("/api/segments/preview", json={"text": text})).json()
    assert (counted["count"], counted["total"], counted["zh"]) == (2, 3, text)
    made = await http.post("/api/segments", json={"key": "buyers", "label": "买家", "text": text})
    assert (made.status_code, made.json()["ready"], made.json()["rule"]) == (201, False, counted["rule"])
    await keeper.step()
    found = (await http.get("/api/segments/buyers")).json()
    assert (found["ready"], found["size"], found["en"]) == (True, 2, counted["en"])
    page = (await http.get("/api/segments/buyers/members", params={"limit": 1})).json()
    assert page["persons"] == [{"person_id": str(uid_of(1))}]
    rest = (await http.get("/api/segments/buyers/members", params={"after": page["next_after"]})).json()
    assert (rest["persons"], rest["next_after"]) == ([{"person_id": str(uid_of(2))}], None)
    sheet = await http.get("/api/segments/buyers/members.csv")
    assert sheet.headers["content-type"].startswith("text/csv")
    assert [line.partition(",")[0] for line in sheet.text.lstrip("\ufeff").splitlines()] == [
        "person_id",
        str(uid_of(1)),
        str(uid_of(2)),
    ]
    nested = {"all": [{"segment": "buyers"}, {"metric": "sum", "op": "gte", "value": 100}]}
    assert (await http.post("/api/segments/preview", json={"rule": nested})).json()["count"] == 1
    changed = await http.put("/api/segments/buyers", json={"label": "买家们"})
    assert (changed.json()["version"], changed.json()["ready"], changed.json()["rule"]) == (2, True, counted["rule"])
    assert [one["label"] for one in (await http.get("/api/segments/buyers/versions")).json()] == ["买家们", "买家"]
    assert (await http.delete("/api/segments/buyers")).status_code == 204
    assert (await http.get("/api/segments/buyers")).json()["code"] == "SEGMENT_NOT_FOUND"


async def test_a_segment_is_changed_once_under_a_key(http: httpx.AsyncClient) -> None:
    body = {"key": "once", "label": "Once", "text": "最近 7 天内“支付订单”的次数 至少 1"}
    made = [await http.post("/api/segments", json=body, headers={"Idempotency-Key": "a"}) for _ in range(2)]
    assert [one.status_code for one in made] == [201, 201] and made[0].json() == made[1].json()
    taken = [await http.post("/api/segments", json=body, headers={"Idempotency-Key": "b"}) for _ in range(2)]
    assert {one.json()["code"] for one in taken} == {"SEGMENT_EXISTS"}
    rule = {"label": "Once", "text": "最近 7 天内“支付订单”的次数 至少 2"}
    at_once = [http.put("/api/segments/once", json=rule, headers={"Idempotency-Key": "c"}) for _ in range(4)]
    assert {one.json()["version"] for one in await asyncio.gather(*at_once)} == {2}
    assert len((await http.get("/api/segments/once/versions")).json()) == 2
    gone = [await http.delete("/api/segments/once", headers={"Idempotency-Key": "d"}) for _ in range(2)]
    assert [one.status_code for one in gone] == [204, 204]
    other = await http.delete("/api/segments/else", headers={"Idempotency-Key": "d"})
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")


async def test_an_upload_is_done_once_under_a_key(http: httpx.AsyncClient) -> None:
    await http.post("/api/segments", json={"key": "vip", "label": "VIP"})
    body, key = {"values": ["u1", "nobody"], "kind": "user_id"}, {"Idempotency-Key": "up"}
    done = [(await http.post("/api/segments/vip/list", json=body, headers=key)).json() for _ in range(2)]
    assert done[0] == done[1]
    assert (done[0]["added"], done[0]["unknown"]) == (1, ["nobody"])


async def test_what_is_wrong_is_said(http: httpx.AsyncClient) -> None:
    rule = {"any": [{"has_tag": "x"}, {"metric": "count", "op": "like", "value": 1}]}
    refused = await http.post("/api/segments", json={"key": "a", "label": "a", "rule": rule})
    assert (refused.status_code, refused.json()["code"], refused.json()["path"]) == (
        422,
        "INVALID_RULE",
        "rule.any[1].op",
    )
    refused = await http.post("/api/rules/read", json={"text": "生命周期 等于 新"})
    assert (refused.json()["code"], refused.json()["at"]) == ("INVALID_RULE", 8)
    refused = await http.post("/api/segments", json={"key": "A B", "label": "a"})
    assert refused.json()["path"] == "key"
    refused = await http.post("/api/segments", json={"key": "a", "label": "a", "rule": {"segment": "nobody"}})
    assert refused.json()["code"] == "INVALID_RULE"
    assert (await http.get("/api/segments")).json() == []


async def test_a_list_takes_what_people_have(http: httpx.AsyncClient, keeper: Keeper) -> None:
    await http.post("/api/segments", json={"key": "vips", "label": "名单"})
    done = await http.post("/api/segments/vips/list", json={"values": ["u3", "u9"]})
    assert done.json() == {"added": 1, "unknown": ["u9"], "unknown_count": 1}
    await keeper.step()
    assert (await http.get("/api/segments/vips")).json()["size"] == 1


async def test_both_forms_and_the_schema(http: httpx.AsyncClient) -> None:
    said = (await http.post("/api/rules/say", json={"rule": {"did": {"event": "order.paid"}}})).json()
    read = (await http.post("/api/rules/read", json={"text": said["en"], "lang": "en"})).json()
    assert read == said
    assert (await http.get("/api/rules/schema")).json()["$schema"].endswith("2020-12/schema")


async def test_a_rule_says_why_it_holds_of_a_person(http: httpx.AsyncClient) -> None:
    bought = {"metric": "count", "event": "order.paid", "op": "gte", "value": 1}
    paid = {"metric": "sum", "event": "order.paid", "op": "gte", "value": 200}
    city = {"person": "trait.city", "op": "eq", "value": "广州"}
    rule = {"all": [bought, {"any": [paid, city]}]}
    asked = {"rule": rule, "person": str(uid_of(1))}
    said = (await http.post("/api/rules/explain", json=asked)).json()
    assert (said["person_id"], said["held"], datetime.fromisoformat(said["at"])) == (str(uid_of(1)), False, NOW)
    assert [(one["held"], one["seen"], one["depth"]) for one in said["conditions"]] == [
        (True, 1, 0),
        (False, None, 0),
        (False, 100, 1),
        (False, None, 1),
    ]
    assert "广州" in said["conditions"][3]["zh"] and "广州" in said["conditions"][3]["en"]
    assert said["zh"] != said["en"]
    weekday = asked | {
        "rule": {"not": {"person": "time.weekday", "op": "eq", "value": 2}},
        "at": "2026-03-09T08:00:00Z",
    }
    (one,) = (await http.post("/api/rules/explain", json=weekday)).json()["conditions"]
    assert (one["held"], one["seen"], one["seen_zh"], one["seen_en"]) == (True, 1, "周一", "Monday")
    before = asked | {"rule": bought, "at": "2026-03-10T14:59:00Z"}
    said = (await http.post("/api/rules/explain", json=before)).json()
    assert (said["held"], said["conditions"][0]["seen"]) == (False, 0)


async def test_a_wrong_rule_is_refused_at_its_node_in_both_languages(http: httpx.AsyncClient) -> None:
    rule = {"all": [{"has_tag": "x"}, {"metric": "count", "op": "lt", "value": 0}]}
    for place, body in (("say", {"rule": rule}), ("explain", {"rule": rule, "person": str(uid_of(1))})):
        refused = (await http.post(f"/api/rules/{place}", json=body)).json()
        assert (refused["code"], refused["path"]) == ("INVALID_RULE", "rule.all[1].value")
        assert refused["detail"] == "count is never below 0: this can never be."
        assert refused["detail_zh"] == "count 不会小于 0：这个条件永远不成立。"
    for where, more in (("/api/segments", {"key": "never", "label": "never"}), ("/api/segments/preview", {})):
        refused = (await http.post(where, json={"rule": rule} | more)).json()
        assert (refused["code"], refused["path"]) == ("INVALID_RULE", "rule.all[1].value")


async def test_what_cannot_be_explained_is_refused(http: httpx.AsyncClient) -> None:
    rule = {"has_tag": "x"}
    for changed, status, code in (
        ({"person": str(uid_of(9))}, 404, "PERSON_NOT_FOUND"),
        ({"person": {"kind": "user_id", "value": "nobody"}}, 404, "PERSON_NOT_FOUND"),
        ({"rule": {"person": "nose", "op": "eq", "value": 1}}, 422, "INVALID_RULE"),
        ({"at": "2026-03-10T15:00:01Z"}, 422, "WRONG_REQUEST"),
        ({"at": "2000-12-31T23:59:59Z"}, 422, "WRONG_REQUEST"),
    ):
        refused = await http.post("/api/rules/explain", json={"rule": rule, "person": str(uid_of(1))} | changed)
        assert (refused.status_code, refused.json()["code"]) == (status, code)


def test_everything_is_documented() -> None:
    assert [one.key for one in READY if one.key.partition(".")[2] not in PAGE and not one.key.startswith("rfm.")] == []
    paths = {path.replace(":str", "") for route in routes for path in route.paths}
    assert [path for path in sorted(paths) if path not in PAGE] == []
