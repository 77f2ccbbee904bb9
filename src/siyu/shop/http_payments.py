"""Routes of money that moves later: what failed is sent again, and providers who call back."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import post
from litestar.params import Parameter

from siyu.clock import Now
from siyu.idempotency import Key
from siyu.shop import intent_records, retrying
from siyu.shop.request import OrderView, Retry, Word
from siyu.store.postgres import Database

Provider = Annotated[str, Parameter(pattern=r"^[a-z][a-z0-9_]{0,29}$")]


class Knock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A provider says that something happened to a payment."""

    payment_id: Word


class Heard(msgspec.Struct, frozen=True):
    """It was heard; no more is said to strangers."""

    received: bool


@post("/api/orders/{order_id:str}/refund/retry", summary="Send money again", status_code=200, tags=["orders"])
async def retry_refund(
    *, order_id: str, db: Database, now: Now, data: Retry | None = None, idempotency_key: Key = None
) -> OrderView:
    """Refunds and returns that `failed` are `planned` again; what is planned, on its way or done stays as it is.
    Payments that are `unclear` are asked for at once. 404 ORDER_NOT_FOUND, REFUND_NOT_FOUND."""
    return await retrying.retry(db, order_id, data or Retry(), idempotency_key, now)


@post("/callbacks/payments/{provider:str}", summary="A payment provider calls back", status_code=200, tags=["orders"])
async def called_back(provider: Provider, data: Knock, db: Database, now: Now) -> Heard:
    """Nothing that is said here is believed: the provider is asked what became of the payment, at once instead of
    later. So a callback may come early, late, twice or from a stranger."""
    async with db.driver() as connection:
        await intent_records.knock(connection, provider, data.payment_id, now())
    return Heard(True)


routes: list[Any] = [retry_refund]
callbacks: list[Any] = [called_back]
