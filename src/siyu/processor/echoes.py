"""What ends tell of our own shop's orders once more: kept as what it is, an echo, before anything counts it.

The shop tells of every step itself, once. An end (the SDK of the mini-program, a till) that tells `order.paid` of the
same order too would double it in every figure; so its event is stored as `order.echoed`, without money (decision 0500).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siyu.identity.anchors import Anchors
from siyu.identity.members import named_by_anchor
from siyu.processor.batch import Batch, object_of, replaced, retold, texts
from siyu.shop.events import SOURCE
from siyu.shop.foreign import MONEY, UNNAMED, about_of
from siyu.shop.foreign_records import ours, voided_owners
from siyu.shop.order import OURS

ECHO: Final = "order.echoed"
ECHO_OF: Final = "echo_of"
"""The property that says what the end called it."""


async def with_echoes_marked(connection: Any, batch: Batch, anchors: Anchors) -> Batch:
    """The batch, in which a payment, refund or cancellation of one of the teller's own orders in our shop that the
    shop did not tell is an `order.echoed` worth 0, and a refund of a foreign order whose rest `order.voided`
    has told is worth 0. Reads; three statements for a batch that has any such event."""
    rows = told_by_others(batch)
    if not rows:
        return batch
    said = dict(zip(rows, map(object_of, texts(batch, "properties", rows)), strict=True))
    abouts = {row: about for row, one in said.items() if (about := about_of(one)) is not None}
    unnamed = {row: about.order_id for row, about in abouts.items() if about.source in (UNNAMED, OURS)}
    owners = await ours(connection, sorted(set(unnamed.values()))) if unnamed else {}
    own = {row: owner for row, order in unnamed.items() if (owner := owners.get(order)) is not None}
    value = batch.events["value_fen"].to_numpy()
    backs = {row: about for row, about in abouts.items() if row not in own and value[row] < 0}
    gone = await voided_owners(connection, sorted(set(backs.values()))) if backs else {}
    foreign = [(row, owner) for row, about in backs.items() for owner in gone.get(about, ())]
    if not own and not foreign:
        return batch
    mine = await _of_who_ordered(connection, batch, anchors, [*own.items(), *foreign])
    worthless = sorted({row for row, _ in foreign} & mine)
    return marked(batch, {row: said[row] for row in sorted(own) if row in mine}, worthless)


async def _of_who_ordered(
    connection: Any, batch: Batch, anchors: Anchors, owners: Sequence[tuple[int, int]]
) -> set[int]:
    """The rows whose person is the one that one of these identifiers belongs to."""
    asked = []
    for row, owner in owners:
        at = datetime.fromtimestamp(batch.occurred_ms[row] / 1000, UTC)
        asked += [(row, (teller, at), (owner, at)) for teller in carried(batch, anchors, row)]
    wanted = sorted({pair for _, *pairs in asked for pair in pairs})
    named = zip(wanted, await named_by_anchor(connection, wanted), strict=True)
    persons = {pair: one.person for pair, one in named if one is not None}
    return {row for row, teller, buyer in asked if teller in persons and persons[teller] == persons.get(buyer)}


def carried(batch: Batch, anchors: Anchors, row: int) -> tuple[int, ...]:
    """The identifiers that an event carries, the one it stands under first."""
    return tuple(int(anchors[place]) for place in (batch.place[row], *batch.others.get(row, ())))


def told_by_others(batch: Batch) -> list[int]:
    """Rows that tell of money of orders and do not come from our shop."""
    name, source = batch.events["name"].combine_chunks(), batch.events["source"].combine_chunks()
    money = np.array([one in MONEY for one in name.dictionary.to_pylist()], np.bool_)
    if not money.any():
        return []
    others = np.array([one != SOURCE for one in source.dictionary.to_pylist()], np.bool_)
    rows: list[int] = np.flatnonzero(money[name.indices.to_numpy()] & others[source.indices.to_numpy()]).tolist()
    return rows


def marked(batch: Batch, echoes: Mapping[int, dict[str, Any]], worthless: Sequence[int]) -> Batch:
    """The batch with rows as echoes (with their properties; in rising order), and others worth 0."""
    if not echoes and not worthless:
        return batch
    rows = list(echoes)
    events = retold(batch, dict.fromkeys(rows, ECHO), dict.fromkeys([*rows, *worthless], 0))
    if rows:
        called = zip(echoes.values(), texts(batch, "name", rows), strict=True)
        said = [msgspec.json.encode(one | {ECHO_OF: name}).decode() for one, name in called]
        mask = np.zeros(len(batch), np.bool_)
        mask[rows] = True
        properties = events["properties"].combine_chunks()
        events = replaced(
            events, "properties", pc.replace_with_mask(properties, pa.array(mask), pa.array(said, pa.string()))
        )
    return batch.with_events(events, batch.again)
