"""The accounts that commands speak of, and what each command does to them. Pure: what is loaded goes in, what is to be
written comes out, and the order of commands is the order of their effects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from siyu.errors import Refused
from siyu.ledger.account import SIGN, Account, AccountName, Role
from siyu.ledger.command import AMOUNT_MAX, AtEnd, Command, End, Flow, Leg, Reverse, State
from siyu.ledger.currency import Currency, lot_expiry
from siyu.ledger.lot import PER_TRANSFER_MAX, Lot, Part, give_back, spend_order, take


class KeptLeg(NamedTuple):
    """A leg of an earlier transfer: what may still be decided about it, or taken back."""

    transfer: int
    place: int
    source: AccountName
    held: AccountName | None
    target: AccountName
    amount: int
    posted: int
    returned: int
    reversed: int
    state: State
    ends_at: datetime | None
    at_end: AtEnd
    lot_expires_at: datetime | None

    @property
    def open(self) -> int:
        """Units that still wait."""
        return self.amount - self.posted - self.returned if self.state is State.PENDING else 0

    @property
    def reversible(self) -> int:
        """Units that arrived and were not taken back."""
        return self.posted - self.reversed


class Entry(NamedTuple):
    """A change of one account by one transfer."""

    account: int
    version: int
    amount: int
    balance_after: int


class LotMove(NamedTuple):
    """Units put into a lot (positive) or taken."""

    before: int
    """What was in it."""
    units: int


class Book:
    """Working copies of what was loaded."""

    def __init__(self, currencies: Mapping[str, Currency], zone: ZoneInfo) -> None:
        self.currencies = currencies
        self.zone = zone
        self.accounts: dict[AccountName, Account] = {}
        self.lots: dict[int, Lot] = {}
        self._lots_of: dict[int, list[int]] = {}
        self.legs: dict[int, list[KeptLeg]] = {}
        """Transfer → its legs in order."""
        self.taken: dict[int, dict[int, int]] = {}
        """Transfer → lot → units its lots gave and did not get back (negative: units it made)."""

    def add_lot(self, lot: Lot) -> None:
        """Take in a lot."""
        if lot.id not in self.lots:
            self._lots_of.setdefault(lot.account, []).append(lot.id)
        self.lots[lot.id] = lot

    def lots_of(self, account: Account) -> list[Lot]:
        """Its lots, empty ones too."""
        return [self.lots[number] for number in self._lots_of.get(account.id, ())]

    def has_lots(self, account: Account) -> bool:
        """Whether an account is kept in lots."""
        return account.name.role is Role.AVAILABLE and self.currencies[account.name.currency].lots


class Change(NamedTuple):
    """What one command does, to be written."""

    entries: list[Entry]
    lots: list[Lot]
    """New ones."""
    lot_moves: dict[int, LotMove]
    """By lot."""
    new_legs: list[KeptLeg]
    legs: list[tuple[KeptLeg, KeptLeg]]
    """(before, after)"""


class Posting:
    """One command at work on a book; `finish` makes its changes the book's."""

    def __init__(self, book: Book, transfer: int, command: Command) -> None:
        self._book = book
        self._transfer = transfer
        self._command = command
        self._at = command.at
        self._since = command.occurred_at or command.at
        self._delta: dict[AccountName, int] = {}
        self._moved: dict[int, int] = {}
        self._fresh: dict[int, Lot] = {}
        self._new_legs: list[KeptLeg] = []
        self._legs: dict[tuple[int, int], KeptLeg] = {}

    # What is so, with the changes of this command.

    def _balance(self, name: AccountName) -> int:
        return self._book.accounts[name].balance + self._delta.get(name, 0)

    def _lot(self, lot: Lot) -> Lot:
        return lot._replace(remaining=lot.remaining + self._moved.get(lot.id, 0))

    def _legs_of(self, transfer: int) -> list[KeptLeg]:
        legs = self._book.legs.get(transfer, [])
        return [self._legs.get((leg.transfer, leg.place), leg) for leg in legs]

    # Single steps.

    def _move(self, source: AccountName, target: AccountName, amount: int) -> None:
        delta, accounts = self._delta, self._book.accounts
        for name, change in ((source, -amount), (target, amount)):
            moved = delta[name] = delta.get(name, 0) + change
            if (accounts[name].balance + moved) * SIGN[name.role] < 0:
                raise Refused("INSUFFICIENT", f"The {name.role} account does not have {amount}.", role=name.role.value)

    def _add_lot(self, account: Account, amount: int, earned_at: datetime, expires_at: datetime | None) -> None:
        if len(self._fresh) >= PER_TRANSFER_MAX:
            raise Refused("TOO_MANY_LOTS", f"A transfer makes at most {PER_TRANSFER_MAX} lots; move less at once.")
        lot = Lot(self._transfer * PER_TRANSFER_MAX + len(self._fresh), account.id, earned_at, expires_at, amount, 0)
        self._fresh[lot.id] = lot
        self._moved[lot.id] = amount

    def _move_lots(self, parts: Iterable[Part], sign: int) -> None:
        for lot, amount in parts:
            self._moved[lot.id] = self._moved.get(lot.id, 0) + sign * amount

    def _arrive(self, leg: Leg, amount: int, parts: Sequence[Part], expires_at: datetime | None, at: datetime) -> None:
        """Units reach their target: with the terms of the lots they were in, or in a new lot."""
        self._move(leg.source, leg.target, amount)
        target = self._book.accounts[leg.target]
        if not self._book.has_lots(target):
            return
        if parts:
            for lot, units in parts:
                self._add_lot(target, units, lot.earned_at, lot.expires_at)
            return
        currency = self._book.currencies[target.name.currency]
        self._add_lot(target, amount, at, expires_at or lot_expiry(currency, at, self._book.zone))

    def _repay(self, source: AccountName, debts: Sequence[AccountName], amount: int) -> int:
        """Pay debts first; what is left."""
        for debt in debts:
            if paid := min(amount, -self._balance(debt)):
                self._move(source, debt, paid)
                amount -= paid
        return amount

    # Verbs.

    def flow(self, flow: Flow) -> None:
        """Raises Refused."""
        if not 0 < flow.amount <= AMOUNT_MAX:
            raise Refused("AMOUNT_OUT_OF_RANGE", f"The amount must be between 1 and {AMOUNT_MAX}.")
        drawn = self._draw([leg.source for leg in flow.legs], flow.amount, due=flow.due_only)
        missing = flow.amount - (drawn[0][0] if len(drawn) == 1 else sum(amount for amount, _ in drawn))
        if missing:
            raise Refused(
                flow.short,
                f"{flow.amount} are asked for, {flow.amount - missing} are there.",
                asked=flow.amount,
                there=flow.amount - missing,
            )
        for leg, (amount, parts) in zip(flow.legs, drawn, strict=True):
            if not amount:
                continue
            if parts:
                self._move_lots(parts, -1)
            if leg.held is not None:
                self._move(leg.source, leg.held, amount)
            elif left := self._repay(leg.source, flow.repay, amount):
                self._arrive(leg, left, parts, flow.expires_at, self._since)
            if flow.reversible or leg.held is not None:
                self._keep(flow, leg, amount)

    def _keep(self, flow: Flow, leg: Leg, amount: int) -> None:
        waits = leg.held is not None
        self._new_legs.append(
            KeptLeg(
                self._transfer,
                len(self._new_legs),
                leg.source,
                leg.held,
                leg.target,
                amount,
                0 if waits else amount,
                0,
                0,
                State.PENDING if waits else State.POSTED,
                flow.ends_at if waits else None,
                flow.at_end,
                flow.expires_at,
            )
        )

    def _draw(
        self, names: Sequence[AccountName], amount: int, *, due: bool = False, own: Sequence[int] = ()
    ) -> list[tuple[int, list[Part]]]:
        """How much each account gives, and from which lots (those in `own` first)."""
        accounts = [self._book.accounts[name] for name in names]
        if len(accounts) == 1 and not self._book.has_lots(accounts[0]):
            return [(self._part(accounts[0], amount), [])]
        places: dict[int, int] = {}
        for place, account in enumerate(accounts):
            if self._book.has_lots(account):
                places.setdefault(account.id, place)
        lots = [
            self._lot(lot)
            for account in {account.id: account for account in accounts if account.id in places}.values()
            for lot in (*self._book.lots_of(account), *self._fresh.values())
            if lot.account == account.id and lot.due(self._at) is due
        ]
        lots.sort(key=lambda lot: (lot.id not in own, *spend_order(lot, places[lot.account])))
        parts = take(lots, amount)
        left = amount - sum(part.amount for part in parts)
        given: list[tuple[int, list[Part]]] = []
        for place, account in enumerate(accounts):
            if account.id in places:
                mine = [part for part in parts if part.lot.account == account.id and places[account.id] == place]
                given.append((sum(part.amount for part in mine), mine))
                continue
            part = self._part(account, left)
            left -= part
            given.append((part, []))
        return given

    def _part(self, account: Account, amount: int) -> int:
        """How much of `amount` an account without lots gives."""
        return amount if SIGN[account.name.role] <= 0 else min(amount, max(self._balance(account.name), 0))

    def end(self, end: End) -> None:
        """Raises Refused."""
        known = self._legs_of(end.transfer)
        if not known or any(leg.held is None for leg in known):
            raise Refused("NOT_PENDING", "There is nothing pending under this number.", transfer=end.transfer)
        legs = [leg for leg in known if leg.state is State.PENDING]
        if not legs:
            raise Refused("ALREADY_DECIDED", f"It was {known[0].state.value} before.", state=known[0].state.value)
        waiting = sum(leg.open for leg in legs)
        post = 0 if end.state is not State.POSTED else waiting if end.amount is None else end.amount
        if not 0 <= post <= waiting:
            raise Refused("AMOUNT_OUT_OF_RANGE", f"Between 0 and {waiting} can be posted.", waiting=waiting)
        at = end.at or self._since
        for leg in legs:
            assert leg.held is not None
            posted = min(post, leg.open)
            post -= posted
            if posted and (left := self._repay(leg.held, end.repay, posted)):
                self._arrive(Leg(leg.held, leg.target), left, [], leg.lot_expires_at, at)
            back = leg.open - posted
            self._return(leg, back)
            self._change(leg, posted=leg.posted + posted, returned=leg.returned + back, state=end.state)

    def reverse(self, reverse: Reverse) -> None:
        """Raises Refused."""
        legs = self._legs_of(reverse.transfer)
        possible = sum(leg.open or leg.reversible for leg in legs)
        if not 0 < reverse.amount <= possible:
            raise Refused("AMOUNT_OUT_OF_RANGE", f"Between 1 and {possible} can be taken back.", possible=possible)
        left = reverse.amount
        for leg in reversed(legs):
            amount = min(left, leg.open or leg.reversible)
            left -= amount
            if not amount:
                continue
            if leg.open:
                self._return(leg, amount)
                gone = amount == leg.open
                self._change(leg, returned=leg.returned + amount, state=State.VOIDED if gone else leg.state)
                continue
            if self._book.has_lots(self._book.accounts[leg.target]):
                self._claw_back(leg, amount, reverse)
            else:
                self._move(leg.target, leg.source, amount)
                self._restore(leg, amount)
            self._change(leg, reversed=leg.reversed + amount)

    def _return(self, leg: KeptLeg, amount: int) -> None:
        """What waited goes back to where it came from."""
        if amount and leg.held is not None:
            self._move(leg.held, leg.source, amount)
            self._restore(leg, amount)

    def _restore(self, leg: KeptLeg, amount: int) -> None:
        """Put units back into the lots that a leg took them from."""
        source = self._book.accounts[leg.source]
        if not self._book.has_lots(source):
            return
        taken = [
            Part(lot, units - self._moved.get(lot.id, 0))
            for number, units in self._book.taken.get(leg.transfer, {}).items()
            if units > 0 and (lot := self._book.lots[number]).account == source.id
        ]
        parts = give_back(taken, amount)
        if sum(part.amount for part in parts) != amount:
            raise Refused("AMOUNT_OUT_OF_RANGE", "More than was taken cannot go back.")
        self._move_lots(parts, +1)

    def _claw_back(self, leg: KeptLeg, amount: int, reverse: Reverse) -> None:
        made = [lot for lot, units in self._book.taken.get(leg.transfer, {}).items() if units < 0]
        sources = reverse.sources or (leg.target,)
        for name, (given, parts) in zip(sources, self._draw(sources, amount, own=made), strict=True):
            if given:
                self._move_lots(parts, -1)
                self._move(name, leg.source, given)
                amount -= given
        if amount:
            if reverse.debt is None:
                raise Refused("INSUFFICIENT", f"{amount} of it were spent.", missing=amount)
            self._move(reverse.debt, leg.source, amount)

    def _change(self, leg: KeptLeg, **fields: object) -> None:
        self._legs[leg.transfer, leg.place] = leg._replace(**fields)  # type: ignore[arg-type]  # names of KeptLeg

    # The end.

    def apply(self) -> None:
        """Do every part. Raises Refused: then the book is as it was."""
        for part in self._command.parts:
            if isinstance(part, Flow):
                self.flow(part)
            elif isinstance(part, End):
                self.end(part)
            else:
                self.reverse(part)

    def finish(self) -> Change:
        """Make the changes the book's; what is to be written."""
        book = self._book
        entries = []
        for name, amount in self._delta.items():
            if not amount:
                continue
            account = book.accounts[name]
            after = Account(account.id, name, account.balance + amount, account.version + 1)
            book.accounts[name] = after
            entries.append(Entry(after.id, after.version, amount, after.balance))
        if self._new_legs:
            book.legs[self._transfer] = list(self._new_legs)
        if not self._moved and not self._legs:
            return Change(entries, [], {}, self._new_legs, [])
        for lot in self._fresh.values():
            book.add_lot(lot)
        moves = {lot: LotMove(book.lots[lot].remaining, units) for lot, units in self._moved.items() if units}
        for number, (before, units) in moves.items():
            book.lots[number] = book.lots[number]._replace(remaining=before + units)
        changed = [(book.legs[transfer][place], leg) for (transfer, place), leg in self._legs.items()]
        for _, leg in changed:
            book.legs[leg.transfer][leg.place] = leg
        if moves:
            self._remember_taken(moves)
        return Change(entries, list(self._fresh.values()), moves, self._new_legs, changed)

    def _remember_taken(self, moves: Mapping[int, LotMove]) -> None:
        """What lots gave to a transfer, and got back by those that correct it."""
        roots = {self._transfer}
        if self._command.corrects is not None:
            roots.add(self._command.corrects)
        for root in roots:
            known = self._book.taken.setdefault(root, {})
            for lot, move in moves.items():
                known[lot] = known.get(lot, 0) - move.units
