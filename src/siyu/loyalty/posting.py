"""Requests as commands of the ledger: between which accounts of a person units go. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from siyu.ledger import AccountName, AtEnd, Command, End, Flow, Leg, Reverse, Role, State, derived_key
from siyu.ledger.read_records import DueLeg, DueLots
from siyu.loyalty.request import POINTS, Adjust, Decide, Earn, Give, Spend, WrongRequest
from siyu.loyalty.wallet import Wallets


class Stamp(NamedTuple):
    """Under which key, as what, when and by whom something is booked."""

    key: UUID
    request: UUID
    at: datetime
    by: str


def account(holder: str, role: Role, currency: str = POINTS) -> AccountName:
    """An account of a wallet."""
    return AccountName(currency, holder, role)


def all_of(wallets: Wallets, role: Role, currency: str = POINTS) -> tuple[AccountName, ...]:
    """The accounts of one role of a person, in drawing order."""
    return tuple(account(holder, role, currency) for holder in wallets.holders)


def earning(
    wallets: Wallets, amount: int, *, pending: tuple[datetime, AtEnd] | None = None,
    expires_at: datetime | None = None, currency: str = POINTS,
) -> Flow:  # fmt: skip
    """Points come to a person: debts first; or wait until an instant."""
    own = wallets.own
    held = account(own, Role.PENDING, currency) if pending else None
    leg = Leg(account(own, Role.ISSUED, currency), account(own, Role.AVAILABLE, currency), held)
    repay = all_of(wallets, Role.DEBT, currency)
    ends_at, at_end = pending or (None, AtEnd.POST)
    return Flow((leg,), amount, repay=repay, ends_at=ends_at, at_end=at_end, expires_at=expires_at)


def earn(request: Earn, wallets: Wallets, stamp: Stamp) -> Command:
    """Points given by a call."""
    until = request.pending_until
    if request.pending_s is not None:
        until = stamp.at + timedelta(seconds=request.pending_s)
    if request.expires_at is not None and request.expires_at <= max(stamp.at, until or stamp.at):
        raise WrongRequest("They would have expired before they can be used.", path="expires_at")
    pending = (until, AtEnd.POST) if until is not None and until > stamp.at else None
    currency = request.currency
    flow = earning(wallets, request.points, pending=pending, expires_at=request.expires_at, currency=currency)
    report = (*all_of(wallets, Role.AVAILABLE, currency), *all_of(wallets, Role.DEBT, currency))
    if pending:
        report = (*report, *all_of(wallets, Role.PENDING, currency))
    return _command("earn", (flow,), stamp, report)._replace(reason=request.reason, cause=request.cause)


def spend(request: Spend, wallets: Wallets, stamp: Stamp) -> Command:
    """Points used by a call, at once or set aside first."""
    held = request.hold_s is not None
    legs = tuple(
        Leg(
            account(holder, Role.AVAILABLE, request.currency),
            account(holder, Role.REDEEMED, request.currency),
            account(holder, Role.LOCKED, request.currency) if held else None,
        )
        for holder in wallets.holders
    )
    ends_at = stamp.at + timedelta(seconds=request.hold_s) if request.hold_s is not None else None
    flow = Flow(legs, request.points, ends_at=ends_at, at_end=AtEnd.EXPIRE)
    report = all_of(wallets, Role.AVAILABLE, request.currency)
    if held:
        report = (*report, *all_of(wallets, Role.LOCKED, request.currency))
    made = _command("lock" if held else "spend", (flow,), stamp, report)
    return made._replace(reason=request.reason, cause=request.cause)


def give(request: Give, giver: Wallets, taker: Wallets, stamp: Stamp) -> Command:
    """Points passed on. Raises WrongRequest when both are the same person."""
    if set(giver.holders) & set(taker.holders):
        raise WrongRequest("Giver and taker are the same person.", path="to")
    target = account(taker.own, Role.AVAILABLE, request.currency)
    legs = tuple(Leg(source, target) for source in all_of(giver, Role.AVAILABLE, request.currency))
    flow = Flow(legs, request.points, reversible=False)
    report = all_of(giver, Role.AVAILABLE, request.currency)
    return _command("transfer", (flow,), stamp, report)._replace(reason=request.reason)


def adjust(request: Adjust, wallets: Wallets, stamp: Stamp) -> Command:
    """A correction by hand."""
    other = account(wallets.own, Role.CORRECTED, request.currency)
    mine = all_of(wallets, Role.AVAILABLE, request.currency)
    debts = all_of(wallets, Role.DEBT, request.currency)
    if request.points > 0:
        target = account(wallets.own, Role.AVAILABLE, request.currency)
        flow = Flow((Leg(other, target),), request.points, repay=debts, reversible=False)
    else:
        flow = Flow(tuple(Leg(source, other) for source in mine), -request.points, reversible=False)
    return _command("adjust", (flow,), stamp, (*mine, *debts))._replace(reason=request.reason)


def take_back(transfer: int, amount: int, wallets: Wallets, currency: str, stamp: Stamp) -> Command:
    """Units of an earlier transfer go back; what is not there any more becomes a debt."""
    mine = all_of(wallets, Role.AVAILABLE, currency)
    debts = all_of(wallets, Role.DEBT, currency)
    part = Reverse(transfer, amount, mine, account(wallets.own, Role.DEBT, currency))
    return _command("refund", (part,), stamp, (*mine, *debts))._replace(corrects=transfer)


def decide(request: Decide, wallets: Wallets, currency: str, stamp: Stamp) -> Command:
    """The end of something pending."""
    state = State.POSTED if request.post else State.VOIDED
    debts = all_of(wallets, Role.DEBT, currency)
    part = End(request.transfer_id, state, request.points, debts)
    report = (*all_of(wallets, Role.AVAILABLE, currency), *debts)
    kind = "post" if request.post else "void"
    return _command(kind, (part,), stamp, report)._replace(corrects=request.transfer_id)


def settlements(due: Iterable[DueLeg | DueLots], debts: dict[str, Wallets], at: datetime) -> list[Command]:
    """What time brings: the end of what is pending, and of lots. `debts`: holder → wallets whose debts come first."""
    commands = []
    for one in due:
        if isinstance(one, DueLeg):
            posts = one.at_end == AtEnd.POST
            repay = all_of(debts[one.holder], Role.DEBT, one.currency) if posts and one.holder in debts else ()
            end = End(one.transfer, State.POSTED if posts else State.EXPIRED, None, repay, one.ends_at)
            stamp = Stamp(derived_key("end", one.transfer), derived_key("end"), at, "time")
            ended = _command("post" if posts else "expire", (end,), stamp)
            commands.append(ended._replace(corrects=one.transfer))
            continue
        legs = (
            Leg(account(one.holder, Role.AVAILABLE, one.currency), account(one.holder, Role.EXPIRED, one.currency)),
        )
        stamp = Stamp(derived_key("lots", one.account, one.version), derived_key("lots"), at, "time")
        flow = Flow(legs, one.amount, due_only=True, reversible=False)
        commands.append(_command("expire", (flow,), stamp))
    return commands


def _command(
    kind: str, parts: tuple[Flow | End | Reverse, ...], stamp: Stamp, report: tuple[AccountName, ...] = ()
) -> Command:
    return Command(stamp.key, stamp.request, kind, parts, stamp.at, by=stamp.by, report=report)
