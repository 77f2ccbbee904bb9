"""The doors over real HTTP: answers, keys, CORS, limits, faults, group commit."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import urllib.parse
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from siyu.clock import system_now
from siyu.collect.actions import revoke_key
from siyu.store.postgres import Database
from tests.ends.door_server import DoorServer, serve_doors

PAYLOAD = {"type": "track", "event": "Clicked", "userId": "u1", "messageId": "m1", "properties": {"n": 1}}


@pytest.fixture
async def server(db: Database) -> AsyncIterator[DoorServer]:
    async with serve_doors(db) as running:
        yield running


@pytest.fixture
async def client(server: DoorServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as made:
        yield made


def basic(key: str, colon: str = ":") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode((key + colon).encode()).decode()}


def sensors_form(message: Any, name: str = "data", *, zipped: bool = True) -> bytes:
    raw = json.dumps(message).encode()
    data = base64.b64encode(gzip.compress(raw) if zipped else raw)
    return urllib.parse.urlencode({name: data, "gzip": "1" if zipped else "0"}).encode()


async def test_a_batch_is_durable_when_answered(server: DoorServer, client: httpx.AsyncClient) -> None:
    reply = await client.post("/v1/batch", json={"batch": [PAYLOAD]}, headers=basic(server.key))
    assert (reply.status_code, reply.json()) == (200, {"success": True})
    events, dead = await server.rows()
    assert [(e["event_id"], e["name"], e["anchor"], e["end"], e["source"]) for e in events] == [
        ("m1", "Clicked", "user_id\x1fu1", "web", server.source)
    ]
    assert dead == []


@pytest.mark.parametrize("colon", [":", "", ":secret"])
async def test_basic_with_and_without_colon(server: DoorServer, client: httpx.AsyncClient, colon: str) -> None:
    reply = await client.post("/v1/track", json=PAYLOAD, headers=basic(server.key, colon))
    assert reply.status_code == 200


async def test_key_in_body_bearer_or_query(server: DoorServer, client: httpx.AsyncClient) -> None:
    keyed = PAYLOAD | {"writeKey": server.key}
    bearer = {"Authorization": "Bearer oauth-token"}
    assert (await client.post("/v1/track", json=keyed)).status_code == 200
    assert (await client.post("/v1/t", json=keyed, headers=bearer)).status_code == 200
    assert (await client.post("/v1/batch", json={"batch": [PAYLOAD], "writeKey": server.key})).status_code == 200
    assert (await client.post(f"/beacon/v1/batch?writeKey={server.key}", json={"batch": [PAYLOAD]})).status_code == 200
    assert len((await server.rows())[0]) == 4


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/t", "/batch/", "/e/", "/i/v0/e", "/sa", "/debug"])
async def test_a_wrong_key_is_told(server: DoorServer, client: httpx.AsyncClient, path: str) -> None:
    body = {"batch": [PAYLOAD], "api_key": "x"} if "batch" in path else PAYLOAD | {"api_key": "x", "distinct_id": "d"}
    content = json.dumps(body).encode() if path not in {"/sa", "/debug"} else sensors_form(body)
    reply = await client.post(path + "?token=nope", content=content, headers=basic("nope"))
    assert (reply.status_code, reply.json()["code"]) == (401, "WRONG_KEY")
    assert await server.rows() == ([], [])


async def test_a_revoked_key_stops_working(server: DoorServer, client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/track", json=PAYLOAD, headers=basic(server.key))).status_code == 200
    await revoke_key(server.db, server.source, system_now())
    async with asyncio.timeout(10):
        while (await client.post("/v1/track", json=PAYLOAD, headers=basic(server.key))).status_code != 401:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_bad_events_do_not_sink_their_batch(server: DoorServer, client: httpx.AsyncClient) -> None:
    batch = [PAYLOAD, {"type": "track", "event": "x", "messageId": "bad"}, {**PAYLOAD, "timestamp": "2026-02-30"}, 7]
    reply = await client.post("/v1/batch", json={"batch": batch}, headers=basic(server.key))
    assert reply.status_code == 200
    assert reply.json()["success"] is True
    assert [reason["code"] for reason in reply.json()["reasons"]] == ["NO_IDENTIFIER", "BAD_TIME", "NOT_AN_OBJECT"]
    events, dead = await server.rows()
    assert [event["event_id"] for event in events] == ["m1"]
    assert [(letter["code"], letter["dialect"]) for letter in dead] == [
        ("NO_IDENTIFIER", "segment"), ("BAD_TIME", "segment"), ("NOT_AN_OBJECT", "segment"),
    ]  # fmt: skip
    assert json.loads(dead[0]["body"]) == batch[1]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "BAD_BODY"),
        (b"not json", 400, "BAD_BODY"),
        (b"{", 400, "BAD_JSON"),
        (b'{"batch":[]}', 400, "EMPTY_BATCH"),
        (b'{"batch":7}', 400, "BAD_BODY"),
        (b"[" * 100_000, 400, None),
        (b"\x1f\x8b broken", 400, "BAD_COMPRESSION"),
        (gzip.compress(b" " * 6_000_000 + b"{}"), 413, "REQUEST_TOO_LARGE"),
        (b" " * 4_200_000, 413, "REQUEST_TOO_LARGE"),
        (json.dumps({"batch": [PAYLOAD] * 6000}).encode(), 400, "BATCH_TOO_LARGE"),
        (json.dumps({"batch": [PAYLOAD], "x": "y" * 520_000}).encode(), 400, "BATCH_TOO_LARGE"),
        (json.dumps({"type": "nonsense", "userId": "u"}).encode(), 400, "UNKNOWN_TYPE"),
    ],
)
async def test_unusable_bodies(
    server: DoorServer, client: httpx.AsyncClient, content: bytes, status: int, code: str | None
) -> None:
    reply = await client.post("/v1/batch", content=content, headers=basic(server.key))
    assert reply.status_code == status
    assert reply.json()["message"]
    assert code in (None, reply.json()["code"])
    assert (await server.rows())[0] == []


async def test_a_single_event_over_the_limit_is_refused(server: DoorServer, client: httpx.AsyncClient) -> None:
    large = PAYLOAD | {"properties": {"text": "y" * 33_000}}
    reply = await client.post("/v1/track", json=large, headers=basic(server.key))
    assert (reply.status_code, reply.json()["code"]) == (400, "EVENT_TOO_LARGE")
    mixed = await client.post("/v1/batch", json={"batch": [large, PAYLOAD]}, headers=basic(server.key))
    assert mixed.status_code == 200
    assert [event["event_id"] for event in (await server.rows())[0]] == ["m1"]


async def test_sensors_body_that_cannot_be_read_is_kept(server: DoorServer, client: httpx.AsyncClient) -> None:
    reply = await client.post(f"/sa?project=default&token={server.key}", content=b"data=%%%", headers={})
    assert reply.status_code == 200
    events, dead = await server.rows()
    assert events == []
    assert [(letter["body"], letter["dialect"], letter["source"]) for letter in dead] == [
        (b"data=%%%", "sensors", server.source)
    ]


async def test_sensors_get_image_and_message_keys(server: DoorServer, client: httpx.AsyncClient) -> None:
    message = {"type": "track", "event": "ViewProduct", "distinct_id": "d1", "time": 1, "properties": {}}
    message["time"] = int(system_now().timestamp() * 1000)
    query = sensors_form(message, zipped=False).decode()
    reply = await client.get(f"/sa.gif?project={server.key}&{query}")
    assert (reply.status_code, reply.headers["content-type"], reply.content[:3]) == (200, "image/gif", b"GIF")
    inside = await client.post(
        "/sa?project=default", content=sensors_form([message | {"token": server.key}], "data_list")
    )
    assert inside.status_code == 200
    assert len(await server.named("ViewProduct")) == 2


async def test_debug_door_checks_and_a_dry_run_keeps_nothing(server: DoorServer, client: httpx.AsyncClient) -> None:
    good = {"type": "track", "event": "Buy", "distinct_id": "d1", "properties": {"date": 1}}
    url = f"/debug?project={server.key}"
    dry = await client.post(url, content=sensors_form(good), headers={"Dry-Run": "true"})
    assert dry.status_code == 200
    assert dry.json()["remarks"] == [{"odd_names": ["date"]}]
    assert await server.rows() == ([], [])
    bad = await client.post(url, content=sensors_form(good | {"type": "oops"}), headers={"Dry-Run": "true"})
    assert (bad.status_code, bad.json()["code"]) == (400, "UNKNOWN_TYPE")
    kept = await client.post(url, content=sensors_form(good), headers={"Dry-Run": "false"})
    assert kept.status_code == 200
    assert len(await server.named("Buy")) == 1


async def test_pixel(server: DoorServer, client: httpx.AsyncClient) -> None:
    reply = await client.get(
        "/pixel/v1/track",
        params={"writeKey": server.key, "anonymousId": "a1", "event": "Seen", "properties.price": "3", "plan": "pro"},
    )
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/gif")
    (event,) = await server.named("Seen")
    assert json.loads(event["properties"]) == {"price": "3", "plan": "pro"}
    assert event["anchor"] == "anonymous_id\x1fa1"


async def test_metrics_and_flags(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/m", json={"series": []})).json() == {"success": True}
    for path in ("/decide/?v=3", "/flags/?v=2"):
        reply = await client.post(path, json={"token": "x", "distinct_id": "d"})
        assert reply.status_code == 200
        assert reply.json()["featureFlags"] == {}


async def test_posthog_answers(server: DoorServer, client: httpx.AsyncClient) -> None:
    event = {"event": "$pageview", "distinct_id": "d1", "properties": {"token": server.key}, "uuid": "u-1"}
    raw = gzip.compress(json.dumps(event).encode())
    for path in ("/e/", "/e", "/i/v0/e/", "/capture/"):
        reply = await client.post(path, content=raw, headers={"Content-Type": "text/plain"})
        assert (reply.status_code, reply.json()) == (200, {"status": 1})
    batch = {"api_key": server.key, "batch": [event | {"uuid": "u-2"}]}
    assert (await client.post("/batch/", json=batch)).json() == {"status": 1}
    assert len((await server.rows())[0]) == 5
    bad = await client.post("/batch/", json={"api_key": server.key, "batch": [{"event": "x"}]})
    assert (bad.status_code, bad.json()["code"]) == (400, "NO_IDENTIFIER")


async def test_cors_head_and_methods(server: DoorServer, client: httpx.AsyncClient) -> None:
    preflight = await client.options(
        "/v1/t",
        headers={
            "Origin": "https://shop.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    posted = await client.post(
        "/v1/t", content=json.dumps(PAYLOAD | {"writeKey": server.key}), headers={"Origin": "https://shop.example"}
    )
    assert posted.headers["access-control-allow-origin"] == "https://shop.example"
    refused = await client.post("/v1/t", content=b"{", headers={"Origin": "https://shop.example"})
    assert refused.headers["access-control-allow-origin"] == "https://shop.example"
    assert (await client.head("/sa.gif")).status_code == 200
    wrong = await client.get("/v1/batch")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST, OPTIONS, HEAD")
    assert (await client.put("/v1/batch")).json()["code"] == "METHOD_NOT_ALLOWED"


async def test_overload_is_told_where_the_sdk_sends_again(server: DoorServer, client: httpx.AsyncClient) -> None:
    server.pending[0] = 10_000_000
    segment = await client.post("/v1/track", json=PAYLOAD, headers=basic(server.key))
    assert (segment.status_code, segment.headers["retry-after"]) == (429, "60")
    posthog = await client.post("/e/", json={"event": "x", "distinct_id": "d", "api_key": server.key})
    assert posthog.status_code == 503
    assert int(posthog.headers["retry-after"]) > 0
    message = {"type": "track", "event": "Kept", "distinct_id": "d1", "properties": {}}
    assert (await client.post(f"/sa?project={server.key}", content=sensors_form(message))).status_code == 200
    assert [event["name"] for event in (await server.rows())[0]] == ["Kept"]


async def test_nothing_is_acknowledged_that_cannot_be_kept(server: DoorServer, client: httpx.AsyncClient) -> None:
    await client.post("/v1/track", json=PAYLOAD, headers=basic(server.key))
    server.stream.away = True
    message = {"type": "track", "event": "Lost", "distinct_id": "d1", "properties": {}}
    for reply in (
        await client.post("/v1/track", json=PAYLOAD, headers=basic(server.key)),
        await client.post("/e/", json={"event": "x", "distinct_id": "d", "api_key": server.key}),
        await client.post(f"/sa?project={server.key}", content=sensors_form(message)),
    ):
        assert (reply.status_code, reply.json()["code"]) == (503, "ENGINE_UNAVAILABLE")
        assert int(reply.headers["retry-after"]) > 0
    server.stream.away = False
    assert (await client.post("/v1/track", json=PAYLOAD, headers=basic(server.key))).status_code == 200
    assert len((await server.rows())[0]) == 2


async def test_concurrent_requests_share_appends(server: DoorServer) -> None:
    limits = httpx.Limits(max_connections=50)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
        replies = await asyncio.gather(
            *(
                client.post("/v1/batch", json={"batch": [PAYLOAD | {"messageId": f"{i}-{j}"} for j in range(10)]},
                            headers=basic(server.key))
                for i in range(200)
            )
        )  # fmt: skip
    assert {reply.status_code for reply in replies} == {200}
    events, _ = await server.rows()
    assert len({event["event_id"] for event in events}) == len(events) == 2000
    assert server.stream.appends < 200
