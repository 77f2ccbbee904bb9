"""A write of the API under its caller's key: done once, answered the same, whatever happens between."""

from __future__ import annotations

import asyncio
import inspect
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from siyu.app.web import PLAIN_ROUTES, VALUE_ROUTES
from siyu.errors import IdempotencyConflict, NotFound, Refused
from siyu.store.postgres import Database
from siyu.store.replies import KEPT_DAYS, Asked, claim, forget, key_number, once, repeatable, request_number

AT = datetime(2026, 6, 1, tzinfo=UTC)


class Done(msgspec.Struct, frozen=True):
    number: int


@pytest.fixture
async def counted(db: Database) -> Database:
    await db.create_all()
    async with db.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE counted (n bigint NOT NULL)")
        await connection.exec_driver_sql("INSERT INTO counted VALUES (0)")
    return db


async def count(connection: Any) -> Done:
    return Done(await connection.fetchval("UPDATE counted SET n = n + 1 RETURNING n"))


async def value(db: Database) -> int:
    async with db.driver() as connection:
        return int(await connection.fetchval("SELECT n FROM counted"))


def now() -> datetime:
    return AT


async def test_the_same_key_and_body_are_done_once(counted: Database) -> None:
    first = await once(counted, Asked("k", "count", {"a": 1, "b": 2}), Done, count, now)
    again = await once(counted, Asked("k", "count", {"b": 2, "a": 1}), Done, count, now)
    assert first == again == Done(1)
    assert await once(counted, Asked("other", "count", {"a": 1}), Done, count, now) == Done(2)
    assert await once(counted, Asked(None, "count", {"a": 1}), Done, count, now) == Done(3)


async def test_at_once_too(counted: Database) -> None:
    replies = await asyncio.gather(*(once(counted, Asked("k", "count", {}), Done, count, now) for _ in range(20)))
    assert set(replies) == {Done(1)} and await value(counted) == 1


@pytest.mark.parametrize(("call", "body"), [("count", {"a": 2}), ("another", {"a": 1})])
async def test_another_request_under_the_key_is_a_conflict(counted: Database, call: str, body: object) -> None:
    await once(counted, Asked("k", "count", {"a": 1}), Done, count, now)
    with pytest.raises(IdempotencyConflict):
        await once(counted, Asked("k", call, body), Done, count, now)
    assert await value(counted) == 1


async def test_a_refusal_is_kept_and_its_work_undone(counted: Database) -> None:
    async def refuse(connection: Any) -> Done:
        await count(connection)
        raise Refused("OUT_OF_STOCK", "Nothing is left.", sku="S1")

    for do in (refuse, count):
        with pytest.raises(Refused, match=r"Nothing is left\.") as caught:
            await once(counted, Asked("k", "count", {}), Done, do, now)
        assert (caught.value.code, caught.value.details) == ("OUT_OF_STOCK", {"sku": "S1"})
    assert await value(counted) == 0


async def test_what_is_no_answer_is_not_kept(counted: Database) -> None:
    async def fail(connection: Any) -> Done:
        await count(connection)
        raise NotFound("No such thing.")

    with pytest.raises(NotFound):
        await once(counted, Asked("k", "count", {}), Done, fail, now)
    assert await once(counted, Asked("k", "count", {}), Done, count, now) == Done(1)


async def test_a_deadlock_is_done_again(counted: Database) -> None:
    await asyncio.gather(*(_swap(counted, first, 1 - first) for first in (0, 1)))
    assert await value(counted) == 2


async def _swap(db: Database, first: int, second: int) -> None:
    async def do(connection: Any) -> Done:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", first)
        await asyncio.sleep(0.2)
        await connection.execute("SELECT pg_advisory_xact_lock($1)", second)
        return await count(connection)

    await once(db, Asked(f"k{first}", "swap", {}), Done, do, now)


async def test_replies_are_forgotten_after_their_time(counted: Database) -> None:
    await once(counted, Asked("k", "count", {}), Done, count, now)
    assert await forget(counted, AT + timedelta(days=KEPT_DAYS)) == 0
    assert await forget(counted, AT + timedelta(days=KEPT_DAYS, milliseconds=1)) == 1
    assert await once(counted, Asked("k", "count", {}), Done, count, now) == Done(2)


async def slowly(db: Database) -> Done:
    """Work with transactions of its own."""
    async with db.transaction() as connection:
        done = await count(connection)
    await asyncio.sleep(0.2)
    return done


async def test_work_with_transactions_of_its_own_is_done_once_too(counted: Database) -> None:
    """More at once than there are connections: who waits holds none."""

    async def ask() -> Done:
        return await repeatable(counted, Asked("k", "count", {}), Done, lambda: slowly(counted), now)

    assert set(await asyncio.gather(*(ask() for _ in range(40)))) == {Done(1)}
    assert await value(counted) == 1
    with pytest.raises(IdempotencyConflict):
        await repeatable(counted, Asked("k", "count", {"a": 1}), Done, lambda: slowly(counted), now)


async def test_who_waits_for_what_fails_does_it(counted: Database) -> None:
    """A refusal is an answer to all; anything else is none."""
    asked: list[int] = []

    async def work() -> Done:
        asked.append(1)
        await asyncio.sleep(0.1)
        if len(asked) == 1:
            raise NotFound("No such thing.")
        raise Refused("OUT_OF_STOCK", "Nothing is left.")

    ways = [repeatable(counted, Asked("k", "count", {}), Done, work, now) for _ in range(3)]
    answers = await asyncio.gather(*ways, return_exceptions=True)
    assert sorted(getattr(one, "code", "") for one in answers) == ["NOT_FOUND", "OUT_OF_STOCK", "OUT_OF_STOCK"]
    assert len(asked) == 2


async def test_a_key_whose_holder_died_is_taken_over(counted: Database) -> None:
    async with counted.transaction() as connection:
        await claim(connection, {key_number("k"): request_number("count", {})}, AT)
    for _ in range(2):
        done = await repeatable(counted, Asked("k", "count", {}), Done, lambda: slowly(counted), now, patience_s=0.2)
        assert done == Done(1)


ONLY_READ = {
    "/api/questions", "/api/segments/preview", "/api/rules/say", "/api/rules/read", "/api/rules/explain", "/api/quotes",
    "/api/points/rules/estimate", "/api/persons/{person_id:str}/export", "/api/mini-programs/{appid:str}/check",
    "/api/clock",
}  # fmt: skip


def test_every_write_takes_a_key() -> None:
    """INTERFACE 4: writes accept Idempotency-Key."""
    routes = [route for route in (*PLAIN_ROUTES, *VALUE_ROUTES) if route.http_methods & {"POST", "PUT", "DELETE"}]
    without = {
        path
        for route in routes
        for path in route.paths
        if "idempotency_key" not in inspect.signature(route.fn).parameters
    }
    assert len(routes) > 60
    assert without == ONLY_READ
