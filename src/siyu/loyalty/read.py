"""Reading what persons have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from siyu.clock import Now
from siyu.errors import PersonNotFound
from siyu.identity.members import Named, named_by_uid
from siyu.ledger import Ledger
from siyu.ledger.proving import proof_of, public_key
from siyu.ledger.read_records import balances, due_of, holders_from, lots_seen, statement
from siyu.ledger.seal_records import sealed_among
from siyu.loyalty.actions import settle
from siyu.loyalty.holdings import Accounts, Statement, StatementLine, accounts_of, statement_line
from siyu.loyalty.wallet import Wallets, passing_anchors, wallets
from siyu.store.postgres import Database, driver_of
from siyu.trust import Proof

PAGE_MAX: Final = 500
EXPORT_MAX: Final = 100_000
"""Lines of an exported statement."""


async def find_named(connection: Any, person_id: UUID) -> Named:
    """The person with this id. Raises PersonNotFound."""
    found = (await named_by_uid(connection, [person_id])).get(person_id)
    if found is None:
        raise PersonNotFound(f"No person has the id {person_id}.")
    return found


async def find_wallets(connection: Any, person_id: UUID, now: datetime) -> Wallets:
    """The wallets of the person with this id. Raises PersonNotFound."""
    found = await find_named(connection, person_id)
    known = await holders_from(connection, list(anchors)) if (anchors := passing_anchors([found])) else {}
    return wallets(found, known, int(now.timestamp() * 1000))


async def accounts(db: Database, ledger: Ledger, person_id: UUID, now: Now, at: datetime | None) -> Accounts:
    """What a person has now, or had at an instant as it was booked until then. Raises PersonNotFound."""
    moment = now()
    past = at if at is not None and at < moment else None
    async with db.begin() as conn:
        connection = await driver_of(conn)
        mine = await find_wallets(connection, person_id, moment)
        holders = list(mine.holders)
        if past is None and await due_of(connection, holders, moment):
            await settle(connection, ledger, dict.fromkeys(holders, mine), moment)
        held = await balances(connection, holders, past)
        lots = await lots_seen(connection, holders, past)
        currencies = await ledger.currencies(connection, {one.currency for one in held})
    shown = past or moment
    return Accounts(str(mine.person_id), shown, accounts_of(held, lots, currencies, shown))


async def statement_page(
    db: Database, person_id: UUID, currency: str, now: datetime, *, before: int | None, limit: int
) -> Statement:
    """A page of a person's statement, newest first. Raises PersonNotFound."""
    async with db.driver() as connection:
        mine = await find_wallets(connection, person_id, now)
        lines = await statement(connection, list(mine.holders), currency, before=before or 2**63 - 1, limit=limit)
    items: list[StatementLine] = [statement_line(line) for line in lines]
    return Statement(str(mine.person_id), currency, items, items[-1].transfer_id if len(items) == limit else None)


async def proof(db: Database, person_id: UUID, transfer: int, now: datetime) -> Proof:
    """Proof of a transfer, the person's part in clear. Raises PersonNotFound, TransferNotFound, NotSealed."""
    async with db.driver() as connection:
        mine = await find_wallets(connection, person_id, now)
        return await proof_of(connection, transfer, frozenset(mine.holders))


async def sealed(db: Database, transfers: Sequence[int]) -> tuple[frozenset[int], str | None]:
    """Of these transfers those that are sealed, and the public key under which the newest was."""
    async with db.driver() as connection:
        found = await sealed_among(connection, transfers)
        return found, await public_key(connection)
