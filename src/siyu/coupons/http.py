"""Routes of quotes, coupons and locks (INTERFACE 6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
from litestar import get, post
from litestar.params import Parameter

from siyu.clock import Now
from siyu.coupons import giving, locks, read, records
from siyu.coupons.actions import quote
from siyu.coupons.lock_records import Lock
from siyu.coupons.pricing import Pricing
from siyu.coupons.quote import Quote
from siyu.coupons.request import CouponSeen, LockRequest, LockSeen, Part, QuoteRequest, Redeem, lock_number
from siyu.coupons.template import Id
from siyu.coupons.till import Till
from siyu.errors import PersonNotFound
from siyu.idempotency import Key
from siyu.loyalty.newcomers import Call, Newcomers
from siyu.loyalty.request import PersonRef
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once

T = TypeVar("T")
Limit = Annotated[int, Parameter(ge=1, le=read.PAGE_MAX)]


@post("/api/quotes", summary="What a basket costs", status_code=200, tags=["coupons"])
async def quotes(data: QuoteRequest, db: Database, pricing: Pricing, now: Now) -> Quote:
    """Reads only: list price, discounts and their sources, what was asked for and refused with its reason, what it
    earns. The order in which coupons are named does not matter."""
    # In a transaction that is tried again: what time has brought to the person is written down first.
    return await once(db, Asked(None, "quote", data), Quote, lambda c: quote(c, pricing, data, now()), now)


class Given(msgspec.Struct, frozen=True):
    """What is kept under a key: the coupon's number, never its code."""

    coupon_id: int


class Issue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To whom."""

    person: PersonRef


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person takes."""

    template: Id
    person: PersonRef


@post("/api/coupons/{template:str}/issue", summary="Give a coupon", status_code=200, tags=["coupons"])
async def issue(
    *,
    template: str,
    data: Issue,
    db: Database,
    pricing: Pricing,
    newcomers: Newcomers,
    now: Now,
    idempotency_key: Key = None,
) -> CouponSeen:
    """Within the limits of its template. 409 LIMIT_REACHED, NOT_ELIGIBLE, NOT_STARTED, ENDED, OUT_OF_STOCK. Who is not
    known is enrolled: 503 ENROLMENT_PENDING."""

    async def give(connection: Any) -> Given:
        made = await giving.give(connection, pricing, template, data.person, now(), way="issued")
        return Given(made.id)

    asked = Asked(idempotency_key, f"issue {template}", data)
    made = await newcomers.met(data.person, Call("coupons/issue"), lambda: once(db, asked, Given, give, now))
    return await _given(db, pricing, made, now)


@post("/api/coupons/claim", summary="Take a coupon", status_code=200, tags=["coupons"])
async def claim(
    *, data: Claim, db: Database, pricing: Pricing, newcomers: Newcomers, now: Now, idempotency_key: Key = None
) -> CouponSeen:
    """As a person does it. 409 LIMIT_REACHED, NOT_ELIGIBLE, NOT_STARTED, ENDED, OUT_OF_STOCK. Who is not known is
    enrolled: 503 ENROLMENT_PENDING."""

    async def give(connection: Any) -> Given:
        made = await giving.give(connection, pricing, data.template, data.person, now(), way="claimed")
        return Given(made.id)

    asked = Asked(idempotency_key, "claim", data)
    made = await newcomers.met(data.person, Call("coupons/claim"), lambda: once(db, asked, Given, give, now))
    return await _given(db, pricing, made, now)


async def _given(db: Database, pricing: Pricing, made: Given, now: Now) -> CouponSeen:
    async with db.driver() as connection:
        coupon = await records.by_id(connection, made.coupon_id)
        if coupon is None:
            raise PersonNotFound("This person was erased.")
        return await read.one_seen(connection, pricing, coupon, now())


class CouponsPage(msgspec.Struct, frozen=True):
    """The coupons of a person, the newest first."""

    items: list[CouponSeen]


@get("/api/persons/{person_id:str}/coupons", summary="A person's coupons", tags=["coupons"])
async def person_coupons(person_id: str, db: Database, pricing: Pricing, now: Now, limit: Limit = 100) -> CouponsPage:
    """All they have or had, whichever of their identifiers got them."""
    async with db.driver() as connection:
        return CouponsPage(await read.coupons_of(connection, pricing, person_id, now(), limit))


@get("/api/coupons/codes/{code:str}", summary="Look a code up", tags=["coupons"])
async def coupon_by_code(
    code: Annotated[str, Parameter(max_length=128)], db: Database, pricing: Pricing, now: Now
) -> CouponSeen:
    """What it is, whose, and in which state. 404 COUPON_NOT_FOUND."""
    async with db.driver() as connection:
        return await read.by_code(connection, pricing, code, now())


@post("/api/locks", summary="Set a coupon or points aside", status_code=200, tags=["coupons"])
async def lock(data: LockRequest, db: Database, pricing: Pricing, now: Now, idempotency_key: Key = None) -> LockSeen:
    """Counted while locked, free again when the time is over. 409 with the true reason; 422 WRONG_REQUEST when
    there is nothing to set aside."""

    async def hold(connection: Any) -> LockSeen:
        at = now()
        return await read.lock_seen(connection, await locks.lock(connection, pricing, data, at), at)

    return await once(db, Asked(idempotency_key, "lock", data), LockSeen, hold, now)


async def _end(
    db: Database, pricing: Pricing, asked: Asked, verb: Callable[[Any], Awaitable[Lock]], now: Now
) -> LockSeen:
    async def end(connection: Any) -> LockSeen:
        return await read.lock_seen(connection, await verb(connection), now())

    return await once(db, asked, LockSeen, end, now)


@post("/api/locks/{lock_id:str}/commit", summary="Use what is set aside", status_code=200, tags=["coupons"])
async def commit(lock_id: str, db: Database, pricing: Pricing, now: Now, idempotency_key: Key = None) -> LockSeen:
    """核销. 409 ENDED when its time is over. Committing twice is committing once."""
    number = lock_number(lock_id)
    asked = Asked(idempotency_key, "commit", number)
    return await _end(db, pricing, asked, lambda c: locks.commit(c, pricing, number, now()), now)


@post("/api/locks/{lock_id:str}/release", summary="Free what is set aside", status_code=200, tags=["coupons"])
async def release(lock_id: str, db: Database, pricing: Pricing, now: Now, idempotency_key: Key = None) -> LockSeen:
    """409 ALREADY_DECIDED when it was committed."""
    number = lock_number(lock_id)
    asked = Asked(idempotency_key, "release", number)
    return await _end(db, pricing, asked, lambda c: locks.release(c, pricing, number, now()), now)


@post("/api/locks/{lock_id:str}/rollback", summary="Give back what was used", status_code=200, tags=["coupons"])
async def rollback(
    *, lock_id: str, db: Database, pricing: Pricing, now: Now, data: Part | None = None, idempotency_key: Key = None
) -> LockSeen:
    """All of it, or the part that the body names: points return to their lots, coupons as their template says."""
    number = lock_number(lock_id)
    asked = Asked(idempotency_key, "rollback", [number, data or Part()])
    return await _end(db, pricing, asked, lambda c: locks.rollback(c, pricing, number, now(), data), now)


@get("/api/locks/{lock_id:str}", summary="A lock", tags=["coupons"])
async def show_lock(lock_id: str, db: Database, now: Now) -> LockSeen:
    """What it holds or used. 404 LOCK_NOT_FOUND."""
    async with db.driver() as connection:
        return await read.lock_seen(connection, await locks.find(connection, lock_number(lock_id)), now())


@post("/api/coupons/redeem", summary="Use a coupon at once", status_code=200, tags=["coupons"])
async def redeem(data: Redeem, till: Till, idempotency_key: Key = None) -> LockSeen:
    """核销 in one step, for who has nothing to do between setting aside and using. 409 with the true reason."""
    return await till.redeem(data, idempotency_key)


routes: list[Any] = [
    quotes, redeem, issue, claim, person_coupons, coupon_by_code, lock, commit, release, rollback, show_lock,
]  # fmt: skip
