"""Routes of points, accounts and statements (INTERFACE 6)."""

from __future__ import annotations

from datetime import datetime
from types import NoneType
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from litestar import Response, get, post, put
from litestar.params import Parameter

from siyu.clock import Now
from siyu.errors import WrongValue
from siyu.idempotency import Key
from siyu.identity.person_id import person_uuid
from siyu.ledger import Outcome
from siyu.ledger.proving import TransferNotFound
from siyu.loyalty import approval, read
from siyu.loyalty import estimate as estimating
from siyu.loyalty import explain as explaining
from siyu.loyalty.actions import Points
from siyu.loyalty.approval import Waiting
from siyu.loyalty.earning import EarnRule
from siyu.loyalty.estimate import Estimate, House
from siyu.loyalty.explain import Explained
from siyu.loyalty.holdings import Accounts, Statement, statement_csv
from siyu.loyalty.newcomers import Call, Newcomers
from siyu.loyalty.react import all_rules, store_rule
from siyu.loyalty.request import (
    POINTS,
    Adjust,
    Decide,
    Earn,
    Give,
    Refund,
    Request,
    Spend,
    Word,
    WrongRequest,
    checked,
)
from siyu.settings import Settings
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once
from siyu.trust import Proof

BY_API = "api"
Limit = Annotated[int, Parameter(ge=1, le=read.PAGE_MAX)]
Code = Annotated[str, Parameter(min_length=1, max_length=50)]


class Booked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was booked. The same key and body get the same answer again."""

    transfer_id: int
    state: str
    """`posted`, or `pending` until it is decided."""
    at: datetime
    currency: str
    available: int
    """What the person can use after it."""
    points: int | None = None
    pending: int | None = None
    locked: int | None = None
    debt: int | None = None


def _booked(outcome: Outcome, currency: str, points: int | None, *, pending: bool = False) -> Booked:
    sums = {name.partition(".")[2]: amount for name, amount in outcome.balances.items()}
    debt = sums.get("debt")
    return Booked(
        outcome.transfer,
        "pending" if pending else "posted",
        outcome.at,
        currency,
        sums.get("available", 0),
        points,
        sums.get("pending"),
        sums.get("locked"),
        None if debt is None else -debt,
    )


@post("/api/points/earn", summary="Give points", status_code=200, tags=["points"])
async def earn(data: Earn, desk: Points, newcomers: Newcomers, idempotency_key: Key = None) -> Booked:
    """At once, or pending for a time. Debts are paid first. Who is not known is enrolled: 503 ENROLMENT_PENDING."""
    outcome = await newcomers.met(
        data.person,
        Call("points/earn"),
        lambda: desk.ask(data, idempotency_key, BY_API),
        lambda: desk.may_enrol(idempotency_key),
    )
    return _booked(outcome, data.currency, data.points, pending="points.pending" in _roles(outcome))


@post("/api/points/spend", summary="Use points", status_code=200, tags=["points"])
async def spend(data: Spend, desk: Points, idempotency_key: Key = None) -> Booked:
    """Earliest expiry first, then earliest earned. 409 INSUFFICIENT. With `hold_s`: set aside until decided."""
    outcome = await desk.ask(data, idempotency_key, BY_API)
    return _booked(outcome, data.currency, data.points, pending=data.hold_s is not None)


@post("/api/points/transfer", summary="Pass points on to another person", status_code=200, tags=["points"])
async def transfer(data: Give, desk: Points, newcomers: Newcomers, idempotency_key: Key = None) -> Booked:
    """Each lot keeps its expiry. 409 INSUFFICIENT. Who gets them and is not known is enrolled."""
    outcome = await newcomers.met(
        data.taker,
        Call("points/transfer", path="to"),
        lambda: desk.ask(data, idempotency_key, BY_API),
        lambda: desk.may_enrol(idempotency_key, data.giver),
    )
    return _booked(outcome, data.currency, data.points)


@post("/api/points/adjust", summary="Correct points by hand", status_code=200, tags=["points"])
async def adjust(
    *,
    data: Adjust,
    db: Database,
    desk: Points,
    newcomers: Newcomers,
    now: Now,
    settings: Settings,
    idempotency_key: Key = None,
) -> Booked | Response[Waiting]:
    """With a reason. Above SIYU_POINTS_ADJUST_MAX: 202, and it waits for a second person. 409 INSUFFICIENT. Who is not
    known and gets some at once is enrolled; what waits gives nothing yet, and is 404."""
    checked(data)

    if abs(data.points) > settings.points_adjust_max:
        return Response(await approval.put_aside(db, desk, data, idempotency_key, now), status_code=202)

    async def do() -> Booked:
        return _booked(await desk.ask(data, idempotency_key, data.by), data.currency, data.points)

    if data.points < 0:
        return await do()
    return await newcomers.met(data.person, Call("points/adjust", data.by), do, lambda: desk.may_enrol(idempotency_key))


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who decides."""

    by: Word


class WaitingPage(msgspec.Struct, frozen=True):
    """Adjustments that wait, the oldest first."""

    items: list[Waiting]


@get("/api/points/adjustments", summary="Adjustments that wait for a second person", tags=["points"])
async def adjustments(db: Database, limit: Limit = 50) -> WaitingPage:
    """The oldest first."""
    return WaitingPage(await approval.waiting(db, limit))


@post(
    "/api/points/adjustments/{number:uuid}/approve", summary="Approve an adjustment", status_code=200, tags=["points"]
)
async def approve(
    *, number: UUID, data: Decision, db: Database, desk: Points, now: Now, idempotency_key: Key = None
) -> Booked:
    """Books it. 409 SECOND_PERSON_NEEDED for who asked for it."""

    async def book(connection: Any) -> Booked:
        outcome = await approval.approve(connection, desk, number, data.by, now)
        return _booked(outcome, next(iter(outcome.balances), POINTS).partition(".")[0], None)

    return await once(db, Asked(idempotency_key, f"approve {number}", data), Booked, book, now)


@post(
    "/api/points/adjustments/{number:uuid}/reject", summary="Turn an adjustment down", status_code=204, tags=["points"]
)
async def reject(number: UUID, data: Decision, db: Database, now: Now, idempotency_key: Key = None) -> None:
    """Nothing is booked. 409 SECOND_PERSON_NEEDED for who asked for it."""
    asked = Asked(idempotency_key, f"reject {number}", data)
    await once(db, asked, NoneType, lambda connection: approval.reject(connection, number, data.by, now), now)


class RulesPage(msgspec.Struct, frozen=True):
    """What earns points."""

    items: list[EarnRule]


@get("/api/points/rules", summary="What earns points", tags=["points"])
async def rules(db: Database) -> RulesPage:
    """The newest version of each rule; those that are not active too."""
    async with db.driver() as connection:
        return RulesPage(await all_rules(connection))


@post("/api/points/rules/estimate", summary="What a rule would have given", status_code=200, tags=["points"])
async def estimate_rule(
    *,
    data: EarnRule,
    db: Database,
    events: EventStore,
    now: Now,
    settings: Settings,
    days: Annotated[int, Parameter(ge=1, le=estimating.DAYS_MAX)] = 30,
) -> Estimate:
    """In the last `days` times 24 hours, if it had been there. Nothing is stored. 422 QUERY_TOO_EXPENSIVE when it takes
    longer than 8 seconds."""
    house = House(db, events, ZoneInfo(settings.timezone))
    return await estimating.estimate(house, data, days, now())


@get("/api/points/rules/{rule_id:str}/explain", summary="Why an event gave nothing", tags=["points"])
async def explain_rule(
    *,
    rule_id: str,
    db: Database,
    events: EventStore,
    now: Now,
    settings: Settings,
    person: UUID,
    event_id: Annotated[
        str | None, Parameter(query="event", min_length=1, max_length=200, pattern=r"^[^\x00]+$")
    ] = None,
) -> Explained:
    """Each condition of the newest version of the rule, held or not, with what was seen; of an event of this person,
    else of the newest one that the rule means. 404 PERSON_NOT_FOUND, NOT_FOUND."""
    async with db.driver() as connection:
        house = explaining.House(connection, events, ZoneInfo(settings.timezone))
        named = await read.find_named(connection, person)
        return await explaining.explain(house, rule_id, named, event_id, now())


@put("/api/points/rules/{rule_id:str}", summary="Change what earns points", tags=["points"])
async def put_rule(
    *, rule_id: str, data: EarnRule, db: Database, desk: Points, now: Now, idempotency_key: Key = None
) -> EarnRule:
    """Stores the next version; earlier ones never change. 409 CONFLICT when that version exists already; 422
    UNKNOWN_CURRENCY."""
    if data.id != rule_id:
        raise WrongRequest("The rule has another id than the address.", path="id")

    async def store(connection: Any) -> EarnRule:
        return await store_rule(connection, desk.ledger, data, now())

    return await once(db, Asked(idempotency_key, f"points/rules/{rule_id}", data), EarnRule, store, now)


@post("/api/points/refund", summary="Undo an earlier transfer, whole or in part", status_code=200, tags=["points"])
async def refund(data: Refund, desk: Points, idempotency_key: Key = None) -> Booked:
    """What was spent returns to the lots it came from; what was earned is taken back, beyond the balance as a debt."""
    return await _earlier(data, desk, idempotency_key, data.points)


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of something pending is posted; null: all."""

    points: Annotated[int, msgspec.Meta(ge=1, le=10**12)] | None = None


@post("/api/points/pending/{transfer_id:int}/post", summary="Post something pending", status_code=200, tags=["points"])
async def post_pending(transfer_id: int, desk: Points, data: Part | None = None, idempotency_key: Key = None) -> Booked:
    """Whole or in part; the rest goes back. 409 ALREADY_DECIDED."""
    points = None if data is None else data.points
    return await _earlier(Decide(transfer_id=transfer_id, post=True, points=points), desk, idempotency_key)


@post("/api/points/pending/{transfer_id:int}/void", summary="Void something pending", status_code=200, tags=["points"])
async def void_pending(transfer_id: int, desk: Points, idempotency_key: Key = None) -> Booked:
    """Everything goes back where it came from. 409 ALREADY_DECIDED."""
    return await _earlier(Decide(transfer_id=transfer_id, post=False), desk, idempotency_key)


_NUMBER_MAX = 2**52
"""Numbers of transfers stay far below it."""


async def _earlier(request: Request, desk: Points, key: str | None, amount: int | None = None) -> Booked:
    if isinstance(request, Decide) and not 0 < request.transfer_id < _NUMBER_MAX:
        raise TransferNotFound(f"There is no transfer {request.transfer_id}.")
    outcome = await desk.ask(request, key, BY_API)
    currency = next(iter(outcome.balances), POINTS).partition(".")[0]
    return _booked(outcome, currency, amount)


def _roles(outcome: Outcome) -> set[str]:
    return {f"points.{name.partition('.')[2]}" for name in outcome.balances}


@get("/api/persons/{person_id:str}/accounts", summary="What a person has", tags=["points"])
async def person_accounts(person_id: str, db: Database, desk: Points, now: Now, at: datetime | None = None) -> Accounts:
    """Every currency, with lots and their expiry; with `at` as it was booked at that instant."""
    if at is not None and at.tzinfo is None:
        raise WrongValue("`at` needs a time zone.", path="at")
    return await read.accounts(db, desk.ledger, person_uuid(person_id), now, at)


@get("/api/persons/{person_id:str}/statement", summary="A person's statement", tags=["points"])
async def person_statement(
    *,
    person_id: str,
    db: Database,
    now: Now,
    currency: Code = POINTS,
    limit: Limit = 50,
    before: Annotated[int | None, Parameter(ge=1, lt=2**62)] = None,
) -> Statement:
    """Transfers, newest first, each with what it changed and what was there after it."""
    return await read.statement_page(db, person_uuid(person_id), currency, now(), before=before, limit=limit)


@get("/api/persons/{person_id:str}/statement.csv", summary="A person's statement as CSV", tags=["points"])
async def export_statement(person_id: str, db: Database, now: Now, currency: Code = POINTS) -> Response[str]:
    """All of it, newest first."""
    page = await read.statement_page(db, person_uuid(person_id), currency, now(), before=None, limit=read.EXPORT_MAX)
    headers = {"Content-Disposition": f'attachment; filename="statement-{page.person_id}.csv"'}
    return Response(statement_csv(page.items), media_type="text/csv; charset=utf-8", headers=headers)


@get("/api/persons/{person_id:str}/proofs/{transfer_id:int}", summary="Proof of a person's transfer", tags=["points"])
async def person_proof(person_id: str, transfer_id: int, db: Database, now: Now) -> Proof:
    """To give to the person: why, and their own entries in clear. 404 TRANSFER_NOT_FOUND, 409 NOT_SEALED at first."""
    return await read.proof(db, person_uuid(person_id), transfer_id, now())


routes: list[Any] = [
    earn,
    spend,
    transfer,
    adjust,
    adjustments,
    approve,
    reject,
    rules,
    estimate_rule,
    explain_rule,
    put_rule,
    refund,
    post_pending,
    void_pending,
    person_accounts,
    person_statement,
    export_statement,
    person_proof,
]
