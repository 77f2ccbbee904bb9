"""What it costs to ask of whom earn rules are, per event of a batch: `python -m bench.audiences`.

Persons with events, traits, tags and purchases (those of bench.segments); batches of events at instants of their own
are asked about as the processor asks, with rules on attributes, on counted events, on dimensions, and with all of them.
CPU microseconds of one event in all processes, beside those of a batch without an audience: whose the events are.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from bench.segments import NOW, ZONE, fill, measured
from bench.server import own_engines
from siyu.identity.members import Named, named_by_anchor
from siyu.loyalty.audience import audiences_asked
from siyu.rules.parse import parse_rule
from siyu.rules.rule import Rule
from siyu.schema import complete_metadata
from siyu.segments.one import Question, holding
from siyu.segments.words import WORDS
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

PERSONS: Final = 20_000
BATCHES: Final = (1, 100, 1_000, 10_000)
AUDIENCES: Final[dict[str, list[dict[str, Any]]]] = {
    "attributes": [
        {"person": "trait.city", "op": "eq", "value": "广州"},
        {"person": "lifecycle", "op": "eq", "value": "active"},
    ],
    "counted events": [
        {"metric": "count", "event": "order.paid", "op": "eq", "value": 1},
        {"metric": "sum", "event": "order.paid", "window": {"last": 30, "unit": "day"}, "op": "gte", "value": 20_000},
    ],
    "dimensions": [{"person": "dim.orders", "op": "gte", "value": 2}],
}

Ask = Callable[[Any, EventStore, Sequence[tuple[Named, datetime]], dict[str, Rule]], Awaitable[Any]]


async def at_once(connection: Any, events: EventStore, looks: Sequence[tuple[Named, datetime]], rules: Any) -> None:
    """As the processor asks."""
    await holding(audiences_asked(connection, events, ZONE), [Question(named, at, rules) for named, at in looks])


async def measure(ways: dict[str, Ask], batches: Sequence[int] = BATCHES) -> None:
    """A line for each kind of audience and size of batch; `ways` take turns."""
    complete_metadata()
    chance = random.Random(7)
    kinds = AUDIENCES | {"all of them": [rule for some in AUDIENCES.values() for rule in some]}
    with own_engines() as (_, engines):
        db, events = await Database.open(engines.database_url), await EventStore.open(engines.events_url)
        await db.create_all()
        await events.create_all()
        await fill(db, events, PERSONS)
        async with db.driver() as connection:
            for size in batches:
                wanted = [
                    (chance.randrange(1, PERSONS), NOW - timedelta(seconds=chance.randrange(90 * 86_400)))
                    for _ in range(size)
                ]
                floor = await measured(named_by_anchor(connection, wanted))
                found = await named_by_anchor(connection, wanted)
                looks = [(one, at) for one, (_, at) in zip(found, wanted, strict=True) if one is not None]
                sys.stdout.write(f"{size:6} events  whose they are  {sum(floor.cpu.values()) / size * 1e6:9,.0f} us\n")
                for kind, some in kinds.items():
                    rules = {str(n): parse_rule(one, WORDS) for n, one in enumerate(some)}
                    for way, ask in ways.items():
                        spent = min(
                            [await measured(ask(connection, events, looks, rules)) for _ in range(3)],
                            key=lambda one: sum(one.cpu.values()),
                        )
                        cpu = sum(spent.cpu.values()) / size * 1e6
                        sys.stdout.write(f"{size:6} events  {kind:15} {way:8} {cpu:9,.0f} us an event\n")
                        sys.stdout.flush()
        await db.close()
        await events.close()


if __name__ == "__main__":
    asyncio.run(measure({"": at_once}))
