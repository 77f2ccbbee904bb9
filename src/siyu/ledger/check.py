"""The ledger's invariants, looked at in the database itself: `siyu doctor --ledger`, and after every test.

Each statement finds rows that may not be. They read everything: minutes on a large ledger, at any time, without locks.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from siyu.ledger.seal_check import Kept, first_broken
from siyu.ledger.tables import APPEND_ONLY

EXAMPLES_MAX: Final = 5


class Violation(NamedTuple):
    """An invariant that does not hold, with where."""

    invariant: str
    detail: str


_CHECKS: Final = (
    (
        "I1 every transfer adds up to zero in every currency",
        "SELECT e.transfer, a.currency, sum(e.amount) FROM ledger_entries e"
        " LEFT JOIN ledger_accounts a ON a.id = e.account GROUP BY e.transfer, a.currency"
        " HAVING sum(e.amount) <> 0 OR a.currency IS NULL",
    ),
    (
        "I1 all accounts of a currency add up to zero",
        "SELECT currency, sum(balance) FROM ledger_accounts GROUP BY currency HAVING sum(balance) <> 0",
    ),
    (
        "I2 a balance is the sum of its entries, and its version counts them",
        "SELECT a.id, a.balance, a.version, coalesce(sum(e.amount), 0), count(e.version) FROM ledger_accounts a"
        " LEFT JOIN ledger_entries e ON e.account = a.id GROUP BY a.id"
        " HAVING a.balance <> coalesce(sum(e.amount), 0) OR a.version <> count(e.version)"
        " OR a.version <> coalesce(max(e.version), 0)",
    ),
    (
        "I2 versions have no gap, and every entry says the balance after it",
        "SELECT account, version, balance_after, running FROM (SELECT account, version, balance_after,"
        " row_number() OVER w AS place, sum(amount) OVER w AS running FROM ledger_entries"
        " WINDOW w AS (PARTITION BY account ORDER BY version)) s WHERE version <> place OR balance_after <> running",
    ),
    (
        "I3 no account is on the wrong side of zero",
        "SELECT id, balance, sign FROM ledger_accounts WHERE balance * sign < 0",
    ),
    (
        "I3 nor was it ever",
        "SELECT e.account, e.version, e.balance_after FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account"
        " WHERE e.balance_after * a.sign < 0",
    ),
    (
        "I4 an idempotency key has one effect",
        "SELECT key, count(*) FROM ledger_transfers GROUP BY key HAVING count(*) > 1",
    ),
    (
        "I4 a refused transfer moved nothing, one that was not moved something",
        "SELECT t.id, t.refused, count(e.account) FROM ledger_transfers t"
        " LEFT JOIN ledger_entries e ON e.transfer = t.id GROUP BY t.id"
        " HAVING (t.refused IS NULL) <> (count(e.account) > 0)",
    ),
    (
        "I4 every entry belongs to a transfer",
        "SELECT e.account, e.version, e.transfer FROM ledger_entries e"
        " LEFT JOIN ledger_transfers t ON t.id = e.transfer WHERE t.id IS NULL",
    ),
    (
        "I5 corrections name a transfer that is there",
        "SELECT c.id, c.corrects FROM ledger_transfers c LEFT JOIN ledger_transfers t ON t.id = c.corrects"
        " WHERE c.corrects IS NOT NULL AND c.refused IS NULL AND t.id IS NULL",
    ),
    (
        "I6 a leg is decided whole, and once",
        "SELECT transfer, place, state, amount, posted, returned FROM ledger_legs"
        " WHERE state NOT IN ('pending', 'posted', 'voided', 'expired') OR posted + returned > amount"
        " OR (state <> 'pending' AND posted + returned <> amount) OR reversed NOT BETWEEN 0 AND posted",
    ),
    (
        "I6 one transfer at most ends a pending one",
        "SELECT corrects, count(*) FROM ledger_transfers WHERE kind IN ('post', 'void', 'expire')"
        " AND corrects IS NOT NULL AND refused IS NULL GROUP BY corrects HAVING count(*) > 1",
    ),
    (
        "I7 the lots of an account are what it has",
        "SELECT a.id, a.balance, coalesce(sum(l.remaining), 0) FROM ledger_accounts a"
        " JOIN ledger_currencies c ON c.code = a.currency AND c.lots"
        " LEFT JOIN ledger_lots l ON l.account = a.id WHERE a.role = 'available' GROUP BY a.id"
        " HAVING a.balance <> coalesce(sum(l.remaining), 0)",
    ),
    (
        "I7 a lot is what was put in and taken",
        "SELECT l.id, l.remaining, coalesce(sum(m.amount), 0) FROM ledger_lots l"
        " LEFT JOIN ledger_lot_moves m ON m.lot = l.id GROUP BY l.id"
        " HAVING l.remaining <> coalesce(sum(m.amount), 0) OR l.remaining NOT BETWEEN 0 AND l.amount",
    ),
    (
        "I7 an entry in an account with lots is what it moved in them",
        "SELECT e.account, e.transfer, e.amount, m.amount FROM ledger_entries e"
        " JOIN ledger_accounts a ON a.id = e.account AND a.role = 'available'"
        " JOIN ledger_currencies c ON c.code = a.currency AND c.lots"
        " LEFT JOIN (SELECT m.transfer, l.account, sum(m.amount) AS amount FROM ledger_lot_moves m"
        " JOIN ledger_lots l ON l.id = m.lot GROUP BY m.transfer, l.account) m"
        " ON m.transfer = e.transfer AND m.account = e.account WHERE e.amount IS DISTINCT FROM m.amount",
    ),
    (
        "I9, I10 what waits between two accounts is what its legs say",
        "SELECT a.id, a.balance, coalesce(sum(l.amount - l.posted - l.returned), 0) FROM ledger_accounts a"
        " LEFT JOIN ledger_legs l ON l.held = a.id AND l.state = 'pending' WHERE a.role IN ('pending', 'locked')"
        " GROUP BY a.id HAVING a.balance <> coalesce(sum(l.amount - l.posted - l.returned), 0)",
    ),
)

_GUARDED: Final = """
SELECT t.name, t.guard FROM (
  SELECT unnest($1::text[]), 'ledger_append_only' UNION ALL SELECT 'ledger_entries', 'ledger_balanced'
) AS t(name, guard)
WHERE NOT EXISTS (
  SELECT FROM pg_trigger g WHERE g.tgrelid = t.name::regclass AND g.tgname = t.guard AND g.tgenabled = 'O')
"""


async def violations(connection: Any, kept: Kept | None = None) -> list[Violation]:
    """Every breach of I1–I10 (docs/ledger.md), a few examples of each, of I8 the first. `connection`: raw asyncpg.

    All statements see one moment of the ledger. `kept`: a checkpoint from outside, which it must contain."""
    found: list[Violation] = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for table, guard in await connection.fetch(_GUARDED, [table.name for table in APPEND_ONLY]):
            found.append(Violation("I5 entries are only added, and balanced", f"{table} is without trigger {guard}"))
        for invariant, sql in _CHECKS:
            rows = await connection.fetch(f"{sql} LIMIT {EXAMPLES_MAX}")
            found += [Violation(invariant, ", ".join(f"{name}={value}" for name, value in row.items())) for row in rows]
        if (broken := await first_broken(connection, kept)) is not None:
            found.append(Violation("I8 nothing that was sealed has changed", broken))
    return found
