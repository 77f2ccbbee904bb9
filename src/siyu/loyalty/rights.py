"""What membership holds of a person, for their archive, and what of it an erasure removes.

The ledger itself stays as it is: its holders are numbers, and the identifiers that would lead from a number to somebody
are gone after an erasure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from siyu.identity.spans import END_MS
from siyu.ledger.read_records import balances, lots_seen, statement
from siyu.ledger.records import read_currencies
from siyu.loyalty import records
from siyu.loyalty.holdings import accounts_of, statement_line
from siyu.loyalty.read import EXPORT_MAX, find_wallets
from siyu.profile.rights import Erasing

ACCOUNTS_FILE: Final = "accounts.json"


async def accounts_file(connection: Any, person_id: UUID, at: datetime) -> tuple[str, Any]:
    """What the person has, and the statement of every currency. Raises PersonNotFound."""
    holders = list((await find_wallets(connection, person_id, at)).holders)
    currencies = await read_currencies(connection)
    accounts = accounts_of(await balances(connection, holders), await lots_seen(connection, holders), currencies, at)
    statements = {
        one.currency: [
            statement_line(line) for line in await statement(connection, holders, one.currency, limit=EXPORT_MAX)
        ]
        for one in accounts
    }
    return ACCOUNTS_FILE, {"accounts": accounts, "statements": statements}


async def scrub_points(connection: Any, erasing: Erasing) -> Mapping[str, int]:
    """Remove adjustments that wait and what is known of orders; of shared identifiers only while they are theirs."""
    return await records.forget(connection, sorted({one.anchor for one in erasing.spans if one.until_ms == END_MS}))
