"""The same request twice is done once: a write of the API under the `Idempotency-Key` of its caller.

A reply is kept in the transaction that does the work, so there is none without the other, also after a crash. A second
request under the key waits until the first is committed, and gets its reply. A refusal (409) is a reply too: it is kept
while the work is rolled back (decision 0203). What is no answer (malformed, unknown, engine away) is not kept. A kept
reply must hold no identifier's value and no trait: an erasure does not look for them here.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy.exc import DBAPIError

from siyu.clock import Now
from siyu.errors import Conflict, Contended, IdempotencyConflict, Refused
from siyu.store.postgres import Database, transient

T = TypeVar("T")

KEPT_DAYS: Final = 30
"""How long a reply is remembered (others promise 24 hours)."""
ATTEMPTS_MAX: Final = 8
PATIENCE_SECONDS: Final = 10.0
"""How long a repeated request waits for the answer to the first one."""
_PAUSE_SECONDS: Final = 0.05
_FORGOTTEN_AT_ONCE: Final = 10_000

_CLAIM: Final = """
INSERT INTO replies (key, request, at)
SELECT asked.key, asked.request, $3 FROM unnest($1::uuid[], $2::uuid[]) AS asked(key, request) ORDER BY 1
ON CONFLICT DO NOTHING RETURNING key"""
_KEPT: Final = "SELECT key, request, body, refused FROM replies WHERE key = ANY($1::uuid[])"
_ADD: Final = """
INSERT INTO replies (key, request, body, refused, at)
SELECT *, $5 FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::text[]) ORDER BY 1 ON CONFLICT DO NOTHING"""
_KEEP: Final = """
UPDATE replies SET body = kept.body, refused = kept.refused
FROM unnest($1::uuid[], $2::bytea[], $3::text[]) AS kept(key, body, refused)
WHERE replies.key = kept.key AND replies.body IS NULL"""
_FORGET: Final = """
DELETE FROM replies WHERE key IN (SELECT key FROM replies WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)"""


class Asked(NamedTuple):
    """A write that somebody asks for: under which key, by which call, with what."""

    key: str | None
    call: str
    body: object


class Kept(NamedTuple):
    """What was answered under a key."""

    request: UUID
    body: bytes | None
    """None: the work is being done (only `repeatable` lets others see that)."""
    refused: str | None

    def again(self, request: UUID, reply: type[T]) -> T:
        """The reply. Raises the refusal that was the answer; IdempotencyConflict when `request` is another one."""
        if request != self.request:
            raise IdempotencyConflict("This idempotency key was used for another request.")
        assert self.body is not None  # who asks has waited for it
        if self.refused is not None:
            told = msgspec.json.decode(self.body)
            raise Refused(self.refused, told["message"], **told["details"])
        return msgspec.json.decode(self.body, type=reply)


def key_number(key: str) -> UUID:
    """A caller's key as a number."""
    return UUID(bytes=hashlib.blake2b(b"reply\n" + key.encode(), digest_size=16).digest())


def request_number(call: str, body: object) -> UUID:
    """Equal requests, equal number, whatever the order of their fields was. `call` names what is asked for."""
    text = call.encode() + b"\n" + msgspec.json.encode(body, order="deterministic")
    return UUID(bytes=hashlib.blake2b(text, digest_size=16).digest())


async def claim(connection: Any, asked: Mapping[UUID, UUID], now: datetime) -> dict[UUID, Kept]:
    """Take keys (key → request) for this transaction; those answered before, with what was answered.

    `connection`: raw asyncpg, in a transaction. Waits for others that have claimed one of them."""
    fresh = {row["key"] for row in await connection.fetch(_CLAIM, list(asked), list(asked.values()), now)}
    return await kept_under(connection, [key for key in asked if key not in fresh])


async def keep(connection: Any, answers: Collection[tuple[UUID, object | Conflict]]) -> None:
    """Write down what is answered to claimed keys: replies, and refusals as the error that says them."""
    kept = [(number, *_body(answer)) for number, answer in answers]
    await connection.execute(_KEEP, *zip(*kept, strict=True))


async def kept_under(connection: Any, keys: Collection[UUID]) -> dict[UUID, Kept]:
    """What was answered under keys, for a group that does not claim them but calls `add` as the last thing it does."""
    rows = await connection.fetch(_KEPT, list(keys)) if keys else ()
    return {row["key"]: Kept(row["request"], row["body"], row["refused"]) for row in rows}


async def add(connection: Any, answers: Collection[tuple[UUID, UUID, object | Conflict]], now: datetime) -> None:
    """Write down what is answered (key, request, answer) where nothing was under these keys.

    Waits for others that have one of them. Raises Contended when they answered: then the transaction must be rolled
    back, with all that was done for these answers, and may be tried again."""
    if not answers:
        return
    rows = [(number, request, *_body(answer)) for number, request, answer in answers]
    status = await connection.execute(_ADD, *zip(*rows, strict=True), now)
    if int(str(status).rpartition(" ")[2]) != len(rows):
        raise Contended("One of these requests was answered meanwhile; this is tried again.", retry_after_s=1)


def _body(answer: object | Conflict) -> tuple[bytes, str | None]:
    if isinstance(answer, Conflict):
        return msgspec.json.encode({"message": str(answer), "details": answer.details}), answer.code
    return msgspec.json.encode(answer), None


async def release(connection: Any, keys: Collection[UUID]) -> None:
    """Give claimed keys back: what was asked under them got no answer."""
    await connection.execute("DELETE FROM replies WHERE key = ANY($1::uuid[]) AND body IS NULL", list(keys))


async def known(db: Database, key: str) -> bool:
    """Whether something was answered under a caller's key."""
    async with db.driver() as connection:
        found: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM replies WHERE key = $1)", key_number(key))
    return found


async def once(db: Database, asked: Asked, reply: type[T], do: Callable[[Any], Awaitable[T]], now: Now) -> T:
    """Do `do(connection)` in a transaction of its own, once per key; without a key whenever it is asked.

    `connection` is raw asyncpg; `do` may be called again after a rollback (deadlock, serialisation). Raises what `do`
    raises; IdempotencyConflict when the key was used for another call or body."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            return await _once(db, asked, reply, do, now())
        except (Contended, DBAPIError, asyncpg.PostgresError) as error:
            if attempt == ATTEMPTS_MAX or not transient(error):
                raise
    raise AssertionError("unreachable")


async def _once(db: Database, asked: Asked, reply: type[T], do: Callable[[Any], Awaitable[T]], now: datetime) -> T:
    async with db.transaction() as connection:
        if asked.key is None:
            return await do(connection)
        number, request = key_number(asked.key), request_number(asked.call, asked.body)
        if (kept := (await claim(connection, {number: request}, now)).get(number)) is not None:
            return kept.again(request, reply)
        answer: T | Conflict
        try:
            async with connection.transaction():
                answer = await do(connection)
        except Conflict as refusal:
            answer = refusal
        await keep(connection, [(number, answer)])
    if isinstance(answer, Conflict):
        raise answer
    return answer


async def repeatable(
    db: Database,
    asked: Asked,
    reply: type[T],
    do: Callable[[], Awaitable[T]],
    now: Now,
    *,
    patience_s: float = PATIENCE_SECONDS,
) -> T:
    """As `once`, for work that has transactions of its own and does no harm when it is done again after a crash.

    The key is claimed before the work and given back when there is no answer. A second request waits for the first's
    answer, without a connection in hand; after `patience_s` it takes the first for dead, and does the work."""
    if asked.key is None:
        return await do()
    number, request = key_number(asked.key), request_number(asked.call, asked.body)
    kept = await _claimed(db, number, request, now, round(patience_s / _PAUSE_SECONDS))
    if kept is not None:
        return kept.again(request, reply)
    answer: T | Conflict
    try:
        answer = await do()
    except Conflict as refusal:
        answer = refusal
    except BaseException:
        async with db.driver() as connection:
            await release(connection, [number])
        raise
    async with db.driver() as connection:
        await keep(connection, [(number, answer)])
    if isinstance(answer, Conflict):
        raise answer
    return answer


async def _claimed(db: Database, number: UUID, request: UUID, now: Now, looks: int) -> Kept | None:
    """What was answered under a key; None: nothing, and it is claimed for this request."""
    for _ in range(looks):
        async with db.driver() as connection:
            if await connection.fetch(_CLAIM, [number], [request], now()):
                return None
            kept = (await kept_under(connection, [number])).get(number)
        if kept is not None and (kept.request != request or kept.body is not None):
            return kept
        await asyncio.sleep(_PAUSE_SECONDS)
    return None


async def forget(db: Database, now: datetime) -> int:
    """Remove replies older than KEPT_DAYS; how many."""
    gone = 0
    while True:
        async with db.driver() as connection:
            status = await connection.execute(_FORGET, now - timedelta(days=KEPT_DAYS), _FORGOTTEN_AT_ONCE)
        removed = int(status.rpartition(" ")[2])
        gone += removed
        if removed < _FORGOTTEN_AT_ONCE:
            return gone
