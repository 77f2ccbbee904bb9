"""Posting: load what commands speak of, decide, write; one transaction for as many commands as there are."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from siyu.errors import Contended, IdempotencyConflict, MalformedRequest, Refused
from siyu.ledger import records
from siyu.ledger.account import Account, AccountName, Role
from siyu.ledger.book import Book, Posting
from siyu.ledger.command import Command, End, Flow, Outcome, Refusal, Reverse
from siyu.ledger.currency import DEFAULTS, Currency
from siyu.ledger.records import Stored, Written

_CURRENCY_SECONDS: Final = 5.0
"""A changed currency is noticed within this time by all processes."""
_ACCOUNTS_REMEMBERED_MAX: Final = 200_000
DUPLICATE: Final = "DUPLICATE"


class UnknownCurrency(MalformedRequest):
    """There is no such currency."""

    code = "UNKNOWN_CURRENCY"
    status = 422


class Ledger:
    """Posts commands. One per process; remembers the numbers of accounts and the currencies."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._ids: dict[AccountName, int] = {}
        self._currencies: dict[str, Currency] = {}
        self._read_at = float("-inf")

    async def currencies(self, connection: Any, needed: Collection[str] = ()) -> dict[str, Currency]:
        """All currencies, those every installation begins with included. Remembered for _CURRENCY_SECONDS, unless one
        that is needed is not among them: it may have been added since."""
        stale = time.monotonic() - self._read_at > _CURRENCY_SECONDS
        if stale or not self._currencies.keys() >= set(needed):
            known = await records.read_currencies(connection)
            if missing := [one for one in DEFAULTS if one.code not in known]:
                await records.ensure_currencies(connection, missing)
                known = {one.code: one for one in missing} | known
            else:
                self._read_at = time.monotonic()
            self._currencies = known
        return self._currencies

    async def post(self, connection: Any, commands: Sequence[Command]) -> list[Outcome]:
        """Decide and write commands, in their order; an outcome each. `connection`: a raw asyncpg one in a transaction.

        What a refused command asks for does not happen; that it was refused is kept under its key. Raises Contended:
        then the transaction must be rolled back and may be tried again. Raises UnknownCurrency."""
        if not commands:
            return []
        named = _Named.by(commands)
        book = Book(await self.currencies(connection, {name.currency for name in named.everything}), self.zone)
        await self._load(connection, book, named)
        keys = {key for command in commands for key in (command.key, *command.unless)}
        known, numbers = await records.known_keys(connection, list(keys), len(commands))
        before = list(book.accounts.values())
        ids = {account.name: account.id for account in before}
        written: dict[Any, Written] = {}
        outcomes = [
            _decide(book, command, number, known, written) for command, number in zip(commands, numbers, strict=True)
        ]
        if written and not await records.write(connection, before, list(written.values()), ids):
            raise Contended("Another request was faster; this one is tried again.", retry_after_s=1)
        return outcomes

    async def _load(self, connection: Any, book: Book, named: _Named) -> None:
        """Lock every account that the commands may touch, then read what is in them."""
        if wrong := {name.currency for name in named.everything} - book.currencies.keys():
            raise UnknownCurrency(f"There is no currency {min(wrong)!r}.", path="currency")
        if named.earlier:
            _, ids = await records.legs_of(connection, named.earlier)
            self._ids.update(ids)
            named.moved.update(ids)
            named.everything.update(ids)
            if named.taken_back:
                named.drawn.update(ids)
        ids, made = await self._numbers(connection, named)
        await self._lock(connection, book, ids)
        book.accounts.update((name, Account(number, name, 0, 0)) for name, number in made.items())
        # Debts arise under the lock of everything the debtor has, so they are seen now.
        if unseen := [name for name in named.debts if name not in book.accounts]:
            found = await records.find_accounts(connection, unseen)
            self._ids |= found
            await self._lock(connection, book, found)
        for place, name in enumerate(named.everything - book.accounts.keys(), 1):
            book.accounts[name] = Account(-place, name, 0, 0)
        drawn = [book.accounts[name] for name in named.drawn]
        if holding := [account.id for account in drawn if account.balance and book.has_lots(account)]:
            for lot in await records.lots_of(connection, holding):
                book.add_lot(lot)
        if named.earlier:
            await _load_earlier(connection, book, named.earlier)

    async def _lock(self, connection: Any, book: Book, ids: Mapping[AccountName, int]) -> None:
        if not ids:
            return
        locked = await records.lock_accounts(connection, {number: name for name, number in ids.items()})
        book.accounts.update((account.name, account) for account in locked)
        if len(locked) != len(ids):
            self._ids.clear()
            raise Contended("An account was remembered that was never made.", retry_after_s=1)

    async def _numbers(self, connection: Any, named: _Named) -> tuple[dict[AccountName, int], dict[AccountName, int]]:
        """Ids of the accounts that exist, and of those just made. Those that will be moved and do not exist are made (a
        row that is not there could not be locked); of others that do not exist nothing can be taken."""
        ids = {name: number for name in named.everything if (number := self._ids.get(name)) is not None}
        if asked := [name for name in named.everything if name not in ids and name not in named.debts]:
            found = await records.find_accounts(connection, asked)
            if len(self._ids) > _ACCOUNTS_REMEMBERED_MAX:
                self._ids.clear()
            self._ids |= found
            ids |= found
        made: dict[AccountName, int] = {}
        if missing := [name for name in named.moved if name not in ids]:
            # Not remembered: this transaction may still come to nothing.
            made = await records.open_accounts(connection, missing)
            if others := [name for name in missing if name not in made]:
                ids |= await records.find_accounts(connection, others)
        return ids, made


class _Named(NamedTuple):
    """The accounts of which commands speak."""

    moved: set[AccountName]
    """Those whose balance they may change."""
    drawn: set[AccountName]
    """Those of them that give."""
    debts: set[AccountName]
    """Those that are paid first where they owe, and not named otherwise."""
    everything: set[AccountName]
    earlier: list[int]
    """Transfers that they end or take back."""
    taken_back: bool

    @classmethod
    def by(cls, commands: Sequence[Command]) -> _Named:
        """What these commands name."""
        parts = [part for command in commands for part in command.parts]
        moved: set[AccountName] = set()
        drawn: set[AccountName] = set()
        debts: set[AccountName] = set()
        for part in parts:
            if isinstance(part, Flow):
                drawn.update(leg.source for leg in part.legs)
                moved.update(name for leg in part.legs for name in (leg.target, leg.held) if name is not None)
                debts.update(part.repay)
            elif isinstance(part, End):
                debts.update(part.repay)
            else:
                drawn.update(part.sources)
                if part.debt is not None:
                    moved.add(part.debt)
        moved |= drawn
        # Where a debt arises these are locked: who pays it first must wait for that.
        has = {AccountName(name.currency, name.holder, Role.AVAILABLE) for name in debts}
        everything = moved.union(debts, has, *(command.report for command in commands))
        earlier = sorted({part.transfer for part in parts if isinstance(part, End | Reverse)})
        return cls(moved, drawn, debts - moved, everything, earlier, any(isinstance(part, Reverse) for part in parts))


async def _load_earlier(connection: Any, book: Book, earlier: list[int]) -> None:
    """Legs of earlier transfers, read under the lock of their accounts, and the lots they took from."""
    legs, _ = await records.legs_of(connection, earlier)
    for leg in legs:
        book.legs.setdefault(leg.transfer, []).append(leg)
    for transfer, units, lot in await records.taken_lots(connection, earlier):
        book.add_lot(lot)
        book.taken.setdefault(transfer, {})[lot.id] = units


def _decide(
    book: Book, command: Command, number: int, known: dict[Any, Stored], written: dict[Any, Written]
) -> Outcome:
    """`number`: free for it."""
    if (stored := known.get(command.key)) is not None:
        return _again(command, stored)
    if command.unless and not known.keys().isdisjoint(command.unless):
        return Outcome(0, command.at, {}, Refusal(DUPLICATE, "This was given before.", {}))
    posting = Posting(book, number, command)
    refusal, change = None, None
    try:
        posting.apply()
        change = posting.finish()
    except Refused as error:
        refusal = Refusal(error.code, str(error), dict(error.details))
    balances = {} if refusal else _balances(book, command.report)
    answer = msgspec.json.encode(refusal or balances).decode()
    code = refusal.code if refusal else None
    row = (
        number, command.key, command.request, command.kind, command.at, command.occurred_at or command.at,
        command.reason, command.cause, command.by, command.corrects, code, answer,
    )  # fmt: skip
    written[command.key] = Written(row, number, command.at, change)
    known[command.key] = Stored(number, command.request, command.at, code, answer)
    return Outcome(number, command.at, balances, refusal)


def _again(command: Command, stored: Stored) -> Outcome:
    """The outcome of a key that was used before."""
    number, request, at, refused, answer = stored
    if request != command.request:
        message = "This idempotency key was used for another request."
        return Outcome(0, at, {}, Refusal(IdempotencyConflict.code, message, {}), False)
    if refused is not None:
        return Outcome(number, at, {}, msgspec.json.decode(answer, type=Refusal), False)
    return Outcome(number, at, msgspec.json.decode(answer, type=dict[str, int]), None, False)


def _balances(book: Book, report: Sequence[AccountName]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for name in report:
        label = _label(name.currency, name.role)
        sums[label] = sums.get(label, 0) + book.accounts[name].balance
    return sums


@lru_cache(maxsize=4_096)
def _label(currency: str, role: Role) -> str:
    return f"{currency}.{role.value}"
