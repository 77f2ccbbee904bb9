"""Routes of currencies: what the ledger counts, as data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import get, put
from litestar.params import Parameter

from siyu.clock import Now
from siyu.idempotency import Key
from siyu.ledger import currencies
from siyu.ledger.currency import CODE_PATTERN, Currency, Rounding
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once

Unit = Annotated[str, msgspec.Meta(min_length=1, max_length=50, pattern=r"^[^\x00-\x1f]+$")]


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A currency as it is asked for."""

    unit_zh: Unit
    unit_en: Unit
    lots: bool | None = None
    """In lots, each with its time of expiry; null: as it is, of a new currency false. Never changes."""
    keep_months: Annotated[int, msgspec.Meta(ge=1, le=1_200)] | None = None
    """A lot ends so many months after it became available; null: never. Lots that are there keep their end."""
    rounding: Rounding = Rounding.EXACT
    """To the end of which local period that is put off."""
    non_negative: Literal[True] = True
    """What somebody has is never below zero; what they owe stands on an account of its own."""


class CurrencySeen(msgspec.Struct, frozen=True):
    """A currency."""

    code: str
    unit_zh: str
    unit_en: str
    lots: bool
    keep_months: int | None
    rounding: Rounding
    non_negative: bool = True


class CurrenciesPage(msgspec.Struct, frozen=True):
    """All currencies, by code."""

    items: list[CurrencySeen]


def _seen(one: Currency) -> CurrencySeen:
    return CurrencySeen(one.code, one.unit_zh, one.unit_en, one.lots, one.keep_months, one.rounding)


@get("/api/currencies", summary="What is counted", tags=["points"])
async def list_currencies(db: Database) -> CurrenciesPage:
    """Those that every installation begins with, and the brand's own."""
    async with db.driver() as connection:
        return CurrenciesPage([_seen(one) for one in await currencies.every(connection)])


@put("/api/currencies/{code:str}", summary="Add or change a currency", tags=["points"])
async def put_currency(
    *, code: Annotated[str, Parameter(pattern=CODE_PATTERN)], data: Terms, db: Database, now: Now,
    idempotency_key: Key = None,
) -> CurrencySeen:  # fmt: skip
    """422 INVALID_CURRENCY; 409 CURRENCY_IMMUTABLE for another `lots` than it has, LIMIT_REACHED."""

    async def store(connection: Any) -> CurrencySeen:
        wanted = currencies.Wanted(code, data.unit_zh, data.unit_en, data.lots, data.keep_months, data.rounding)
        return _seen(await currencies.put(connection, wanted))

    return await once(db, Asked(idempotency_key, f"currency {code}", data), CurrencySeen, store, now)


routes: list[Any] = [list_currencies, put_currency]
