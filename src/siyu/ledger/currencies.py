"""Verbs of currencies: see them, add one, change its terms. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from siyu.errors import MalformedRequest, Refused
from siyu.ledger import records
from siyu.ledger.currency import DEFAULTS, Currency, Rounding

CURRENCIES_MAX: Final = 200


class InvalidCurrency(MalformedRequest):
    """A currency that contradicts itself; `details["path"]` names the place."""

    code = "INVALID_CURRENCY"
    status = 422


class Wanted(NamedTuple):
    """A currency as it is asked for."""

    code: str
    unit_zh: str
    unit_en: str
    lots: bool | None = None
    """None: as it is; a new one has none."""
    keep_months: int | None = None
    rounding: Rounding = Rounding.EXACT


async def every(connection: Any) -> list[Currency]:
    """All currencies by code, those every installation begins with included."""
    known = {one.code: one for one in DEFAULTS} | await records.read_currencies(connection)
    return [known[code] for code in sorted(known)]


async def put(connection: Any, wanted: Wanted) -> Currency:
    """Add a currency or change its terms. What is in a currency already keeps its end.

    `connection`: in a transaction. Raises InvalidCurrency, Refused (CURRENCY_IMMUTABLE, LIMIT_REACHED)."""
    await records.lock_currencies(connection)
    await records.ensure_currencies(connection, DEFAULTS)
    known = await records.read_currencies(connection)
    before = known.get(wanted.code)
    if before is None and len(known) >= CURRENCIES_MAX:
        raise Refused("LIMIT_REACHED", f"There are at most {CURRENCIES_MAX} currencies.")
    lots = wanted.lots if wanted.lots is not None else before is not None and before.lots
    if wanted.keep_months is not None and not lots:
        raise InvalidCurrency("Only what is kept in lots can end: it needs lots.", path="keep_months")
    one = Currency(wanted.code, wanted.unit_zh, wanted.unit_en, lots, wanted.keep_months, wanted.rounding)
    if not await records.put_currency(connection, one):
        raise Refused(
            "CURRENCY_IMMUTABLE", "Whether a currency is kept in lots never changes: make another one.", field="lots"
        )
    return one
