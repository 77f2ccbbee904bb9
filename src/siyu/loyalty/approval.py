"""Adjustments above the limit wait until a second person approves them, and are booked then."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

from siyu.clock import Now
from siyu.errors import Conflict, IdempotencyConflict, NotFound
from siyu.ledger import Command, Outcome, derived_key
from siyu.loyalty import posting, records
from siyu.loyalty.actions import Points, wallets_of_anchor
from siyu.loyalty.posting import Stamp
from siyu.loyalty.records import Adjustment
from siyu.loyalty.request import Adjust, WrongRequest, request_hash
from siyu.store.postgres import Database, driver_of

WAITING: Final = "waiting"


class AdjustmentNotFound(NotFound):
    """No adjustment that waits has this id."""

    code = "ADJUSTMENT_NOT_FOUND"


class SecondPersonNeeded(Conflict):
    """Who asked for an adjustment cannot decide it, however they spell their name."""

    code = "SECOND_PERSON_NEEDED"


class Waiting(msgspec.Struct, frozen=True):
    """An adjustment that waits for a second person."""

    adjustment_id: UUID
    state: str
    points: int
    currency: str
    reason: str
    asked_by: str
    asked_at: datetime


async def put_aside(db: Database, points: Points, request: Adjust, key: str | None, now: Now) -> Waiting:
    """Write an adjustment down for a second person. The same key and request: the same one again.

    Raises PersonNotFound, IdempotencyConflict."""
    number, asked = uuid4() if key is None else derived_key("api", key), request_hash(request)
    async with db.begin() as conn:
        connection = await driver_of(conn)
        anchor = await points.anchor_of(connection, request.person)
        row = Adjustment(
            uuid4(), number, asked, anchor, request.currency, request.points, request.reason, request.by, now(), WAITING
        )
        kept = await records.add_adjustment(connection, row)
    if kept.request != asked:
        raise IdempotencyConflict("This idempotency key was used for another request.")
    return shown(kept)


def shown(row: Adjustment) -> Waiting:
    """As people see it."""
    return Waiting(row.id, row.state, row.points, row.currency, row.reason, row.asked_by, row.asked_at)


async def waiting(db: Database, limit: int) -> list[Waiting]:
    """Adjustments that wait, the oldest first."""
    async with db.driver() as connection:
        return [shown(row) for row in await records.waiting_adjustments(connection, limit)]


async def approve(connection: Any, points: Points, number: UUID, by: str, now: Now) -> Outcome:
    """Book an adjustment, in the caller's transaction. `connection`: raw asyncpg.

    Raises AdjustmentNotFound, SecondPersonNeeded, WrongRequest, Refused (then it waits on)."""
    row = await _decided(connection, number, "approved", by, now())
    command = await _command(connection, points, row, by, now())
    (outcome,) = await points.ledger.post(connection, [command])
    return outcome.settled()


async def reject(connection: Any, number: UUID, by: str, now: Now) -> None:
    """Turn an adjustment down, in the caller's transaction. Raises as `approve`."""
    await _decided(connection, number, "rejected", by, now())


def one_name(text: str) -> str:
    """A name as it is compared: full-width letters, capitals, blanks of any kind and marks nobody sees make no other.

    Of "\u3000Ｌi\u200b" it is "li"."""
    seen = (one for one in unicodedata.normalize("NFKC", text) if unicodedata.category(one) not in ("Cf", "Cc"))
    return "".join("".join(seen).casefold().split())


async def _decided(connection: Any, number: UUID, state: str, by: str, at: datetime) -> Adjustment:
    if not one_name(by):
        raise WrongRequest("Say who decides.", path="by")
    known = await records.find_adjustment(connection, number)
    if known is None or known.state != WAITING:
        raise AdjustmentNotFound("No adjustment with this id waits.")
    # Who asked never changes, so this may be looked at before the row is taken.
    if one_name(known.asked_by) == one_name(by):
        raise SecondPersonNeeded("Somebody else than who asked must decide.", asked_by=known.asked_by)
    row = await records.decide_adjustment(connection, number, state, by, at)
    if row is None:
        raise AdjustmentNotFound("No adjustment with this id waits.")
    return row


async def _command(connection: Any, points: Points, row: Adjustment, by: str, at: datetime) -> Command:
    mine = await wallets_of_anchor(connection, row.anchor, at)
    wanted = Adjust(person="", points=row.points, reason=row.reason, by=row.asked_by, currency=row.currency)
    # A key of its own: a refusal (too few points) leaves the adjustment waiting, to be approved later.
    key = derived_key("approved", row.id, at.isoformat())
    return posting.adjust(wanted, mine, Stamp(key, row.request, at, f"{row.asked_by} + {by}"))
