"""Evidence, retractions, aliases and conflicts over HTTP; the copy of who is who in ClickHouse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.di import Provide

import siyu.store.tables  # noqa: F401 - makes the table of replies
from identity_world import DAY0_MS, SECRET, Fact, Said, Seen, World, key
from siyu.api.problems import on_siyu_error
from siyu.errors import SiyuError
from siyu.identity import person_records
from siyu.identity.http import routes
from siyu.identity.mirror import mirror, person_sql, rebuild_mirror
from siyu.ids import identifier_uid
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def world(db: Database, events: EventStore) -> World:
    await db.create_all()
    await events.create_all()
    return World(db, events)


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    def given(value: object) -> Provide:
        return Provide(lambda: value, sync_to_thread=False)

    app = Litestar(
        routes,
        dependencies={
            "db": given(world.db),
            "events": given(world.events),
            "now": given(lambda: NOW),
            "settings": given(Settings()),
        },
        exception_handlers={SiyuError: on_siyu_error},
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://siyu") as test_client:
        yield test_client


def uid(text: str) -> str:
    return str(identifier_uid(key(text), SECRET))


def names(person: dict[str, Any]) -> set[str]:
    return {f"{i['kind']}={i['value']}" for i in person["identifiers"]}


async def test_evidence_names_each_link_with_its_event_and_the_path(world: World, client: httpx.AsyncClient) -> None:
    facts: list[Fact] = [
        Seen(1, ("user_id=u", "unionid=n")),
        Seen(2, ("unionid=n", "openid:m=o"), True),
        Seen(3, ("openid:m=o", "phone=p")),
        Seen(4, ("unionid=n2", "openid:m=o")),
    ]
    await world.absorb(facts)
    answer = (await client.get(f"/api/persons/{uid('phone=p')}/evidence")).json()
    assert answer["person_id"] == uid("user_id=u")
    assert names(answer) == {"user_id=u", "unionid=n", "openid:m=o", "phone=p"}
    links = {(link["a"]["value"], link["b"]["value"]): link for link in answer["links"]}
    assert {pair: link["status"] for pair, link in links.items()} == {
        ("u", "n"): "accepted",
        ("n", "o"): "accepted",
        ("o", "p"): "accepted",
        ("n2", "o"): "refused",
    }
    assert links["n", "o"]["rule"] == "bind"
    assert links["n2", "o"]["reason"] == "CONFLICT" and links["n2", "o"]["clash"] == "unionid"
    assert links["u", "n"]["event"]["event_id"].startswith("1/")
    path = await client.get(
        f"/api/persons/{answer['person_id']}/evidence", params={"a": uid("user_id=u"), "b": uid("phone=p")}
    )
    assert [link["b"]["value"] for link in path.json()["path"]] == ["n", "o", "p"]


async def test_conflicts_show_what_stands_against_them(world: World, client: httpx.AsyncClient) -> None:
    await world.absorb(
        [
            Seen(1, ("unionid=n1", "openid:m=o")),
            Seen(2, ("user_id=u", "unionid=n2")),
            Seen(9, ("user_id=u", "openid:m=o")),
        ]
    )
    page = (await client.get("/api/identity/conflicts")).json()
    assert page["next"] is None
    (conflict,) = page["items"]
    assert conflict["link"]["clash"] == "unionid"
    assert {value["value"] for value in conflict["values"]} == {"n1", "n2"}
    assert [{link["a"]["value"], link["b"]["value"]} for link in conflict["path"]] == [
        {"n2", "u"},
        {"u", "o"},
        {"n1", "o"},
    ]
    assert set(conflict["persons"]) == {uid("user_id=u"), uid("unionid=n1")}


async def test_a_retraction_answers_the_persons_that_result_and_can_be_undone(
    world: World, client: httpx.AsyncClient
) -> None:
    await world.absorb([Seen(1, ("user_id=u", "openid:m=o")), Seen(2, ("openid:m=o", "anonymous_id=x"))])
    (link,) = [
        one
        for one in (await client.get(f"/api/persons/{uid('user_id=u')}/evidence")).json()["links"]
        if one["a"]["kind"] == "user_id"
    ]
    body = {"link_id": link["link_id"], "reason": "two sisters"}
    for _ in range(2):
        answer = (await client.post("/api/identity/retractions", json=body)).json()
        assert sorted(map(sorted, map(names, answer["persons"]))) == [["anonymous_id=x", "openid:m=o"], ["user_id=u"]]
    shown = (await client.get(f"/api/persons/{uid('user_id=u')}/evidence")).json()["links"][0]
    assert (shown["status"], shown["reason"]) == ("retracted", "two sisters")
    answer = (await client.delete(f"/api/identity/retractions/{link['link_id']}")).json()
    assert [names(person) for person in answer["persons"]] == [{"user_id=u", "openid:m=o", "anonymous_id=x"}]


async def test_a_key_is_for_one_request(world: World, client: httpx.AsyncClient) -> None:
    await world.absorb([Seen(1, (f"user_id={name}",)) for name in "abc"])

    def alias(other: str) -> dict[str, Any]:
        return {"a": {"kind": "user_id", "value": "a"}, "b": {"kind": "user_id", "value": other}, "reason": "one"}

    key = {"Idempotency-Key": "k1"}
    assert (await client.post("/api/identity/aliases", json=alias("nobody"), headers=key)).status_code == 404
    first, again, other = [
        await client.post("/api/identity/aliases", json=alias(end), headers=key) for end in ("b", "b", "c")
    ]
    assert (first.status_code, again.json()) == (200, first.json())
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert [names(one) for one in first.json()["persons"]] == [{"user_id=a", "user_id=b"}]
    link = {"link_id": first.json()["link_id"], "reason": "two"}
    answers = [
        await client.post(
            "/api/identity/retractions", json=link | {"reason": reason}, headers={"Idempotency-Key": "k2"}
        )
        for reason in ("two", "two", "three")
    ]
    assert [one.status_code for one in answers] == [200, 200, 409]
    place = f"/api/identity/retractions/{link['link_id']}"
    back = [await client.delete(place, headers={"Idempotency-Key": "k3"}) for _ in range(2)]
    assert [names(person) for person in back[1].json()["persons"]] == [{"user_id=a", "user_id=b"}]
    late = await client.post(
        "/api/identity/retractions", json=link | {"reason": "two"}, headers={"Idempotency-Key": "k2"}
    )
    assert late.json() == back[0].json()  # what came late is not done again, and sees what was decided since


async def test_a_value_that_nobody_has_is_no_person(world: World, client: httpx.AsyncClient) -> None:
    """An alias names a value without its kind; taken back, the value itself is not answered as a person."""
    await world.absorb([Seen(1, ("user_id=a",)), Said(1, "alias", "any=b", "user_id=a"), Seen(2, ("user_id=b",))])
    links = (await client.get(f"/api/persons/{uid('user_id=a')}/evidence")).json()["links"]
    (link,) = [one["link_id"] for one in links if one["rule"] == "alias"]
    body = {"link_id": link, "reason": "not so"}
    answer = (await client.post("/api/identity/retractions", json=body)).json()
    assert sorted(map(sorted, map(names, answer["persons"]))) == [["user_id=a"], ["user_id=b"]]


async def test_an_operator_declares_an_alias(world: World, client: httpx.AsyncClient) -> None:
    await world.absorb([Seen(1, ("user_id=a", "phone=p")), Seen(2, ("user_id=b", "openid:m=o"))])
    body = {"a": {"kind": "phone", "value": "p"}, "b": {"kind": "openid:m", "value": "o"}, "reason": "same contract"}
    answer = (await client.post("/api/identity/aliases", json=body)).json()
    assert [names(person) for person in answer["persons"]] == [{"user_id=a", "user_id=b", "phone=p", "openid:m=o"}]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/persons/nonsense/evidence", None, 404, "PERSON_NOT_FOUND"),
        ("GET", f"/api/persons/{uid('user_id=nobody')}/evidence", None, 404, "PERSON_NOT_FOUND"),
        ("GET", f"/api/persons/{uid('user_id=u')}/evidence?a={uid('user_id=u')}", None, 400, "MALFORMED_REQUEST"),
        ("GET", f"/api/persons/{uid('user_id=u')}/evidence?a=x&b=y", None, 400, "MALFORMED_REQUEST"),
        ("GET", "/api/identity/conflicts?after=x", None, 400, "MALFORMED_REQUEST"),
        ("DELETE", "/api/identity/retractions/x", None, 400, "MALFORMED_REQUEST"),
        ("POST", "/api/identity/retractions", {"link_id": uid("user_id=u"), "reason": "?"}, 404, "LINK_NOT_FOUND"),
        (
            "POST",
            "/api/identity/aliases",
            {"a": {"kind": "phone", "value": "?"}, "b": {"kind": "user_id", "value": "u"}, "reason": "?"},
            404,
            "PERSON_NOT_FOUND",
        ),
    ],
)
async def test_refusals(
    world: World,
    client: httpx.AsyncClient,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    status: int,
    code: str,
) -> None:
    await world.absorb([Seen(1, ("user_id=u", "phone=p"))])
    answer = await client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_reads(world: World) -> None:
    await world.absorb([Seen(1, ("user_id=a", "phone=p")), Seen(9, ("user_id=b", "phone=p"))])
    early = datetime.fromtimestamp(DAY0_MS / 1000 + 5, UTC)
    async with world.db.connect() as connection:
        phone = await person_records.find_anchor(connection, "phone", "p")
        a = await person_records.find_anchor(connection, "user_id", "a")
        b = await person_records.find_anchor(connection, "user_id", "b")
        assert phone and a and b
        assert await person_records.find_anchor(connection, "phone", "q") is None
        assert await person_records.person_of(connection, [phone], early) == {phone: a}
        assert await person_records.person_of(connection, [phone], NOW) == {phone: b}
        assert await person_records.resolve_person_id(connection, identifier_uid(key("phone=p"), SECRET)) == b
        former = [m for m in await person_records.members(connection, a) if m.until is not None]
        assert [(m.kind, m.value) for m in former] == [("phone", "p")]


async def test_the_mirror_answers_as_postgresql_does(world: World) -> None:
    async def in_clickhouse() -> set[tuple[int, int]]:
        rows = await world.events.rows(f"SELECT anchor, {person_sql(spans=True)} FROM events")
        return set(rows)

    async def in_postgresql() -> set[tuple[int, int]]:
        rows = await world.events.rows("SELECT anchor, occurred_at FROM events")
        async with world.db.connect() as connection:
            return {(n, (await person_records.person_of(connection, [n], at))[n]) for n, at in rows}

    alone = [
        "anonymous_id=x",
        "anonymous_id=y",
        "user_id=a",
        "user_id=b",
        "unionid=n",
        "device=d",
    ]
    steps: list[list[Fact]] = [
        [Seen(at, (text,)) for text in alone for at in (1, 10, 25)],
        [Seen(5, ("user_id=a", "anonymous_id=x")), Seen(5, ("user_id=a", "unionid=n"))],
        [Seen(20, ("user_id=b", "anonymous_id=x")), Seen(21, ("anonymous_id=x", "device=d"))],
        [Said(22, "unbind", "unionid=n", "user_id=a")],
        [Said(23, "alias", "any=a", "user_id=b")],
    ]
    for n, step in enumerate(steps):
        await world.absorb(step)
        await mirror(world.db, world.events)
        assert await in_clickhouse() == await in_postgresql()
        assert await mirror(world.db, world.events) == 0
        if n == 2:
            await rebuild_mirror(world.db, world.events)
            assert await in_clickhouse() == await in_postgresql()
