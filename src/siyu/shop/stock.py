"""Stock as accounts of the ledger: what is sold, reserved and available is always what came in. Pure.

One SKU is one holder of the currency `stock`: what came in is `issued` (and `corrected` by hand), what is there
`available`, set aside `locked`, sold `redeemed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from siyu.ledger import AccountName, AtEnd, Command, End, Flow, Leg, Role, State, derived_key
from siyu.ledger.read_records import Holding

STOCK: Final = "stock"
OUT_OF_STOCK: Final = "OUT_OF_STOCK"
_SKU: Final = "sku/"


class StockView(msgspec.Struct, frozen=True):
    """Units of a SKU. sold + reserved + available = stock."""

    sku: str
    stock: int
    """What came in, and was not corrected away."""
    available: int
    reserved: int
    sold: int


class Told(NamedTuple):
    """Under which key, when, by whom and why something is booked."""

    key: UUID
    at: datetime
    by: str
    reason: str = ""
    cause: str | None = None
    request: UUID | None = None
    """Hash of what is asked for; None: of the units that move."""


def holder(sku: str) -> str:
    """Under which name the ledger counts a SKU."""
    return _SKU + sku


def sku_of(name: str) -> str:
    """Inverse of `holder`."""
    return name.removeprefix(_SKU)


@lru_cache(maxsize=16_384)
def account(sku: str, role: Role) -> AccountName:
    """An account of a SKU."""
    return AccountName(STOCK, holder(sku), role)


def reserve(units: Mapping[str, int], until: datetime | None, told: Told) -> Command:
    """Set units aside until an instant, all or none; OUT_OF_STOCK otherwise."""
    return _command("reserve", flows(units, until), told)


def flows(units: Mapping[str, int], until: datetime | None) -> tuple[Flow, ...]:
    """Units leave what is available: for good (`until` None), or set aside."""
    return tuple(
        Flow(
            (Leg(account(sku, Role.AVAILABLE), account(sku, Role.REDEEMED), account(sku, Role.LOCKED)),)
            if until is not None
            else (Leg(account(sku, Role.AVAILABLE), account(sku, Role.REDEEMED)),),
            quantity,
            ends_at=until,
            at_end=AtEnd.EXPIRE,
            short=OUT_OF_STOCK,
        )
        for sku, quantity in sorted(units.items())
    )


def sell(transfer: int, told: Told) -> Command:
    """What was set aside is sold. Refused ALREADY_DECIDED when its time was over."""
    return _command("sell", (End(transfer, State.POSTED),), told)._replace(corrects=transfer)


def release(transfer: int, told: Told) -> Command:
    """What was set aside goes back."""
    return _command("release", (End(transfer, State.VOIDED),), told)._replace(corrects=transfer)


def lapse(transfer: int, told: Told) -> Command:
    """The end that time brings: the same transfer, whoever books it first."""
    key = derived_key("end", transfer)
    made = _command("expire", (End(transfer, State.EXPIRED),), told._replace(key=key))
    return made._replace(corrects=transfer, request=derived_key("end"))


def take_back(units: Mapping[str, int], told: Told) -> Command:
    """Sold units come back."""
    parts = tuple(
        Flow((Leg(account(sku, Role.REDEEMED), account(sku, Role.AVAILABLE)),), quantity, reversible=False)
        for sku, quantity in sorted(units.items())
    )
    return _command("return", parts, told)


def add(sku: str, quantity: int, told: Told) -> Command:
    """Units come in."""
    return add_to(account(sku, Role.AVAILABLE), quantity, told)


def add_to(there: AccountName, quantity: int, told: Told) -> Command:
    """The same for whatever is counted."""
    flow = Flow((Leg(there._replace(role=Role.ISSUED), there),), quantity, reversible=False)
    return _command("receive", (flow,), told)


def correct(sku: str, change: int, told: Told) -> Command:
    """A correction by hand, up or down; never below what is set aside or sold."""
    here, other = account(sku, Role.AVAILABLE), account(sku, Role.CORRECTED)
    leg = Leg(other, here) if change > 0 else Leg(here, other)
    flow = Flow((leg,), abs(change), reversible=False, short=OUT_OF_STOCK)
    return _command("adjust", (flow,), told)


def view(sku: str, holdings: Iterable[Holding]) -> StockView:
    """What there is of a SKU."""
    sums = dict.fromkeys(Role, 0)
    for one in holdings:
        if one.holder == holder(sku) and one.currency == STOCK:
            sums[one.role] += one.balance
    came_in = -sums[Role.ISSUED] - sums[Role.CORRECTED] - sums[Role.EXPIRED]
    return StockView(sku, came_in, sums[Role.AVAILABLE], sums[Role.LOCKED], sums[Role.REDEEMED])


def _command(kind: str, parts: tuple[Flow | End, ...], told: Told) -> Command:
    request = told.request or derived_key(kind, msgspec.json.encode(parts).hex())
    return Command(told.key, request, kind, parts, told.at, reason=told.reason, cause=told.cause, by=told.by)
