"""Payments and refunds of foreign orders that several ends tell, each under its own event id: counted once.

Who tells first is kept as a claim before the batch is stored; what repeats a claim of the same person is stored as an
echo (echoes.py), without money. The list of orders and points know repetitions themselves, by order and amount, and go
by what was told (`as_told`). Decision 0524.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from siyu.identity.anchors import Anchors
from siyu.identity.members import named_by_anchor
from siyu.processor.batch import Batch, object_of, retold, texts
from siyu.processor.echoes import carried, marked, told_by_others
from siyu.shop.claims import TELLERS_MAX, Claim, claim_of, first_of, key_of
from siyu.shop.foreign_records import add_claims, find_claims, lock_claims

FIRST: Final = "first_event_id"
"""The property of an echo that says which event told first."""


class _Telling(NamedTuple):
    key: UUID
    claim: Claim
    anchors: tuple[int, ...]
    """All identifiers that the event carries: what ties them together is stored after it."""
    said: dict[str, Any]


class _Known(NamedTuple):
    claim: Claim
    anchors: tuple[int, ...]


_Orders = dict[str, dict[UUID, _Known]]
"""Order id → its claims."""


async def with_repeats_marked(connection: Any, batch: Batch, anchors: Anchors) -> Batch:
    """The batch, in which money that was told before is an `order.echoed` worth 0. Writes who tells first; a batch that
    is repeated finds itself. Three statements for a batch that moves money of foreign orders, one more when a number
    occurs twice."""
    tellings = _tellings(batch, anchors)
    if not tellings:
        return batch
    order_ids = sorted({one.claim.order_id for one in tellings.values()})
    async with connection.transaction():
        await lock_claims(connection, order_ids)
        stored = _by_order(await find_claims(connection, order_ids, TELLERS_MAX))
        asked = _twice(stored, tellings)
        persons = await _persons(connection, asked, stored, tellings)
        firsts, new = _decided(stored, tellings, persons)
        if new:
            await add_claims(connection, new)
    if not firsts:
        return batch
    name, value = texts(batch, "name", list(firsts)), batch.events["value_fen"].to_numpy()
    again = {row: (called, int(value[row])) for row, called in zip(firsts, name, strict=True)}
    echoes = {row: tellings[row].said | {FIRST: first.event_id} for row, first in firsts.items()}
    return batch.with_events(marked(batch, echoes, []).events, again)


def as_told(batch: Batch) -> Batch:
    """The batch with the names and money that repetitions were told with."""
    if not batch.again:
        return batch
    names = {row: name for row, (name, _) in batch.again.items()}
    fen = {row: value for row, (_, value) in batch.again.items()}
    return batch.with_events(retold(batch, names, fen), {})


def _tellings(batch: Batch, anchors: Anchors) -> dict[int, _Telling]:
    """What the rows claim, in the order of arrival."""
    rows = told_by_others(batch)
    found = {}
    columns = (texts(batch, column, rows) for column in ("name", "properties", "source", "event_id"))
    for row, name, properties, source, event_id in zip(rows, *columns, strict=True):
        said, mine = object_of(properties), carried(batch, anchors, row)
        at = datetime.fromtimestamp(batch.occurred_ms[row] / 1000, UTC)
        claim = claim_of(name, said, source=source, anchor=mine[0], event_id=event_id, at=at)
        if claim is not None:
            found[row] = _Telling(key_of(claim), claim, mine, said)
    return found


def _by_order(claims: Iterable[Claim]) -> _Orders:
    known: _Orders = {}
    for one in claims:
        known.setdefault(one.order_id, {})[key_of(one)] = _Known(one, (one.anchor,))
    return known


def _twice(stored: _Orders, tellings: Mapping[int, _Telling]) -> set[str]:
    """Orders whose money may have been told twice: several claims (not more than an order can have), or several events
    that name one number."""
    keys = {order_id: set(claims) for order_id, claims in stored.items()}
    numbers: dict[UUID, set[str]] = {
        key: {one.claim.event_id} for claims in stored.values() for key, one in claims.items() if one.claim.reference
    }
    found = set()
    for key, one, *_ in tellings.values():
        mine = keys.setdefault(one.order_id, set())
        mine.add(key)
        if one.reference:
            numbers.setdefault(key, set()).add(one.event_id)
        if len(mine) > 1 or len(numbers.get(key, ())) > 1:
            found.add(one.order_id)
    return {order_id for order_id in found if len(keys[order_id]) < TELLERS_MAX}


async def _persons(
    connection: Any, asked: set[str], stored: _Orders, tellings: Mapping[int, _Telling]
) -> dict[tuple[int, datetime], int]:
    """Whose an identifier was at an instant, for all claims of these orders."""
    known = [_Known(one.claim, one.anchors) for one in tellings.values() if one.claim.order_id in asked]
    known += [one for order_id in asked for one in stored.get(order_id, {}).values()]
    wanted = sorted({(anchor, claim.at) for claim, anchors in known for anchor in anchors})
    named = await named_by_anchor(connection, wanted) if wanted else []
    return {whose: one.person for whose, one in zip(wanted, named, strict=True) if one is not None}


def _decided(
    known: _Orders, tellings: Mapping[int, _Telling], persons: Mapping[tuple[int, datetime], int]
) -> tuple[dict[int, Claim], dict[UUID, Claim]]:
    """Row → the claim that it repeats; and the new claims by their keys. In the order of arrival."""

    def whose(claim: Claim, anchors: Iterable[int]) -> set[int]:
        return {persons[anchor, claim.at] for anchor in anchors if (anchor, claim.at) in persons}

    firsts, new = {}, {}
    for row, (key, one, anchors, _) in tellings.items():
        claims = known.setdefault(one.order_id, {})
        kept = claims.get(key)
        itself = kept is not None and kept.claim.event_id == one.event_id
        if not itself and (mine := whose(one, anchors)):
            candidates = ((other.claim, whose(*other)) for other in claims.values())
            if (first := first_of(one, mine, candidates)) is not None:
                firsts[row] = first
                continue
        if kept is None and len(claims) < TELLERS_MAX:
            claims[key], new[key] = _Known(one, anchors), one
    return firsts, new
