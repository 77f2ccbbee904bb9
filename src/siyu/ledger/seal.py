"""A transfer with its entries as bytes that never change: what a seal stands for (docs/trust.md). Pure.

The leaf itself says what happened and when; reasons, entries and movements of lots stand in it as salted hashes, so
that a proof shows each payee their own part and nobody else's. Nothing in it is rewritten by a merge or an erasure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from json.encoder import encode_basestring as quoted
from typing import Any, Final, NamedTuple
from uuid import UUID

from siyu.trust import Opened, commits, salt_of

FORMAT: Final = "siyu-transfer/1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
WHY, RECORD, LOTS, ENTRIES = "why", "record", "lots", "entries"


class Facts(NamedTuple):
    """A row of ledger_transfers, as it is read for sealing."""

    id: int
    key: UUID
    request: UUID
    kind: str
    at: datetime
    occurred_at: datetime
    reason: str
    cause: str | None
    by: str
    corrects: int | None
    refused: str | None
    answer: str
    committed_in: int


class EntryFacts(NamedTuple):
    """A row of ledger_entries with the account it changed."""

    transfer: int
    account: int
    holder: str | None
    currency: str | None
    role: str | None
    """None in all three: there is no such account, which a check reports."""
    version: int
    amount: int
    balance_after: int
    at: datetime


class Sealable(NamedTuple):
    """All that is sealed of a transfer."""

    facts: Facts
    entries: Sequence[EntryFacts]
    """By account, then version."""
    moves: Sequence[tuple[int, int]]
    """(lot, units), by lot."""


def microseconds(at: datetime) -> int:
    """Since 1970-01-01T00:00:00Z, exactly."""
    past = at - _EPOCH
    return (past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds


def _text(value: str | None) -> str:
    return "null" if value is None else quoted(value)


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


def entry_text(entry: EntryFacts) -> str:
    """An entry as JSON."""
    return (
        f'{{"account":{entry.account},"holder":{_text(entry.holder)},"currency":{_text(entry.currency)},'
        f'"role":{_text(entry.role)},"version":{entry.version},"amount":{entry.amount},'
        f'"balance_after":{entry.balance_after},"at":{microseconds(entry.at)}}}'
    )


def parts_of(one: Sealable) -> dict[str, str]:
    """The parts that stand in the leaf as hashes: name → JSON."""
    facts = one.facts
    parts = {
        WHY: f'{{"reason":{quoted(facts.reason)},"cause":{_text(facts.cause)}}}',
        RECORD: (
            f'{{"key":"{facts.key}","request":"{facts.request}","by":{quoted(facts.by)},'
            f'"answer":{quoted(facts.answer)},"committed_in":{facts.committed_in}}}'
        ),
        LOTS: "[" + ",".join(f"[{lot},{units}]" for lot, units in one.moves) + "]",
    }
    for place, entry in enumerate(one.entries):
        parts[f"{ENTRIES}/{place}"] = entry_text(entry)
    return parts


def leaf_text(one: Sealable, salt: bytes) -> str:
    """The leaf: JSON in exactly this form. `salt`: of the transfer, 16 random bytes."""
    facts = one.facts
    why, record, lots, *entries = commits(salt, parts_of(one).items())
    hashes = '","'.join(entries)
    if hashes:
        hashes = f'"{hashes}"'
    return (
        f'{{"format":"{FORMAT}","transfer":{facts.id},"kind":{quoted(facts.kind)},"at":{microseconds(facts.at)},'
        f'"occurred_at":{microseconds(facts.occurred_at)},"corrects":{_number(facts.corrects)},'
        f'"refused":{_text(facts.refused)},"{WHY}":"{why}","{RECORD}":"{record}","{LOTS}":"{lots}",'
        f'"{ENTRIES}":[{hashes}]}}'
    )


def opened_parts(one: Sealable, salt: bytes, holders: frozenset[str] | None) -> list[Opened]:
    """What a proof shows in clear: to holders why it happened and their own entries; to the brand (None) everything."""
    shown: Mapping[str, Any] = {f"{ENTRIES}/{place}": entry.holder for place, entry in enumerate(one.entries)}
    return [
        Opened(part, salt_of(salt, part).hex(), text)
        for part, text in parts_of(one).items()
        if holders is None or part == WHY or shown.get(part) in holders
    ]
