"""What a person has, as people and programs are shown it. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from siyu.cells import harmless
from siyu.ledger import Currency, Role
from siyu.ledger.read_records import Holding, Line, LotSeen
from siyu.loyalty.request import POINTS


class LotView(msgspec.Struct, frozen=True):
    """A part of what is available, with the instant from which it is gone (null: never)."""

    amount: int
    earned_at: datetime
    expires_at: datetime | None


class AccountView(msgspec.Struct, frozen=True):
    """One currency of a person; sums over all of their identifiers."""

    currency: str
    unit_zh: str
    unit_en: str
    available: int
    pending: int
    locked: int
    debt: int
    """Taken back after it was spent; later earnings pay it first. Never negative."""
    issued: int
    redeemed: int
    expired: int
    lots: list[LotView]
    """In the order in which they are spent."""


class Accounts(msgspec.Struct, frozen=True):
    """Everything a person has, now or as it was booked at an instant."""

    person_id: str
    at: datetime
    accounts: list[AccountView]


class StatementLine(msgspec.Struct, frozen=True):
    """One transfer: what it changed, and what the person had after it."""

    transfer_id: int
    at: datetime
    occurred_at: datetime
    kind: str
    """earn, spend, lock, post, void, expire, refund, take_back, transfer, adjust."""
    reason: str
    cause: str | None
    by: str
    corrects: int | None
    """The transfer it ends or takes back."""
    available: int
    pending: int
    locked: int
    debt: int
    available_after: int
    pending_after: int
    locked_after: int
    debt_after: int


class Statement(msgspec.Struct, frozen=True):
    """A page of a statement, newest first; pass `next_before` as `before` for the next."""

    person_id: str
    currency: str
    items: list[StatementLine]
    next_before: int | None


def accounts_of(
    holdings: Iterable[Holding], lots: Sequence[LotSeen], currencies: Mapping[str, Currency], at: datetime
) -> list[AccountView]:
    """By currency, points first. Lots that have ended by `at` count as expired, also before anybody booked it."""
    sums: dict[str, dict[Role, int]] = {}
    for one in holdings:
        roles = sums.setdefault(one.currency, {})
        roles[one.role] = roles.get(one.role, 0) + one.balance
    views = []
    for code, roles in sorted(sums.items(), key=lambda one: (one[0] != POINTS, one[0])):
        currency = currencies[code]
        mine = [lot for lot in lots if lot.currency == code]
        ended = sum(lot.remaining for lot in mine if lot.expires_at is not None and lot.expires_at <= at)
        views.append(
            AccountView(
                code,
                currency.unit_zh,
                currency.unit_en,
                roles.get(Role.AVAILABLE, 0) - ended,
                roles.get(Role.PENDING, 0),
                roles.get(Role.LOCKED, 0),
                -roles.get(Role.DEBT, 0),
                -roles.get(Role.ISSUED, 0),
                roles.get(Role.REDEEMED, 0),
                roles.get(Role.EXPIRED, 0) + ended,
                [
                    LotView(lot.remaining, lot.earned_at, lot.expires_at)
                    for lot in mine
                    if lot.expires_at is None or lot.expires_at > at
                ],
            )
        )
    return views


def statement_line(line: Line) -> StatementLine:
    """A line as it is shown: debts as what is owed."""
    fields = line._asdict()
    fields["transfer_id"] = fields.pop("transfer")
    fields["debt"], fields["debt_after"] = -line.debt, -line.debt_after
    return StatementLine(**fields)


def statement_csv(lines: Iterable[StatementLine]) -> str:
    """A statement as CSV (RFC 4180, with a byte order mark: spreadsheets then read Chinese). Text that a spreadsheet
    would take for a formula is marked as text."""
    out = io.StringIO()
    writer = csv.writer(out)
    names = StatementLine.__struct_fields__
    writer.writerow(names)
    for line in lines:
        writer.writerow([_cell(getattr(line, name)) for name in names])
    return "\ufeff" + out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else harmless(value)
