"""Processor and keeper over real engines, with all that membership does in them, and a clock."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from siyu.collect.event import Effects, Event, Link
from siyu.collect.frame import Arrival, frames_of
from siyu.identity.actions import retract
from siyu.identity.anchors import AnchorRegistry
from siyu.identity.members import Named, named_by_uid
from siyu.identity.outbox import send_waiting
from siyu.ids import identifier_key, identifier_uid
from siyu.ledger import Ledger
from siyu.ledger.read_records import balances, lots_seen
from siyu.loyalty.holdings import accounts_of
from siyu.loyalty.read import find_wallets
from siyu.membership import tiers
from siyu.membership.ladder import Ladder
from siyu.membership.tier_follow import TierFollower
from siyu.membership.tiers import TierShown
from siyu.processor import records as processor_records
from siyu.processor.checkins import CheckinReaction
from siyu.processor.orders import OrderReaction
from siyu.processor.points import PointsReaction
from siyu.processor.reactions import IdentityReaction, ProfileReaction, SegmentReaction
from siyu.processor.voiding import void_once
from siyu.processor.work import Reaction, Worker
from siyu.profile import actions as profile
from siyu.profile.portrait import Moment, Portrait
from siyu.schema import complete_metadata
from siyu.segments.keep import Keeper
from siyu.segments.population import Source
from siyu.segments.words import WORDS
from siyu.shop.react import listen_once
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of
from siyu.stream.postgres import PostgresStream

complete_metadata()

SECRET = b"test secret of thirty-two bytes!"
ZONE = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 6, 1, 4, tzinfo=UTC)


class House:
    """The engines, a clock, and the two that work: processor and keeper."""

    def __init__(self, db: Database, events: EventStore, stream: PostgresStream) -> None:
        self.db, self.events, self.stream = db, events, stream
        self.now = NOON
        self.sent = 0
        self.ledger = Ledger(ZONE)
        self.source = Source(db, events, WORDS)
        self.worker = self.worker_of(0)
        self.keeper = Keeper(self.source, stream, lambda: self.now, ZONE, [TierFollower(self.source, ZONE)])

    def worker_of(self, partition: int) -> Worker:
        """A processor of a partition of the stream."""
        reactions: list[Reaction] = [
            ProfileReaction(lambda: self.now),
            CheckinReaction(self.ledger, lambda: self.now),
            PointsReaction(self.ledger, self.events, lambda: self.now),
            OrderReaction(lambda: None),
            SegmentReaction(lambda: None),
            IdentityReaction(self.events, SECRET, 200, lambda: None),
        ]
        return Worker(
            partition, db=self.db, events=self.events, stream=self.stream, registry=AnchorRegistry(SECRET),
            reactions=reactions,
        )  # fmt: skip

    @classmethod
    async def build(cls, db: Database, events: EventStore) -> House:
        """A house in which nobody lives yet."""
        await db.create_all()
        await events.create_all()
        house = cls(db, events, PostgresStream(db))
        async with db.driver() as connection:
            await processor_records.open_partition(connection, 0)
        await house.look()
        return house

    async def happen(
        self, name: str, user: str = "u1", *, ago: timedelta = timedelta(), end: str = "web", **more: Any
    ) -> None:
        """An event, processed; the keeper has not looked yet. Keywords `properties`: a dict; `source`: a write key."""
        await self.send(name, user, ago=ago, end=end, **more)
        await self.worker.step(1)

    async def send(
        self, name: str, user: str = "u1", *, ago: timedelta = timedelta(), end: str = "web", **more: Any
    ) -> None:
        """The same, and nobody has processed it yet."""
        self.sent += 1
        source, event_id = more.pop("source", "key1"), more.pop("event_id", f"e{self.sent}")
        at_ms = int((self.now - ago).timestamp() * 1000)
        if "properties" in more:
            more["properties"] = json.dumps(more["properties"])
        event = Event(event_id, name, at_ms, _key(user), end=end, **more)
        await self.stream.append(frames_of([Arrival([event], [], source, end, at_ms)], 1, 10**7))

    async def pay(self, fen: int, user: str = "u1", *, order: str | None = None, **more: Any) -> None:
        """An order that was paid."""
        order = order or f"O{self.sent}"
        await self.happen("order.paid", user, value_fen=fen, properties={"order_id": order}, **more)

    async def refund(self, fen: int, order: str, user: str = "u1") -> None:
        """Money of an order that was given back."""
        await self.happen("order.refunded", user, value_fen=-fen, properties={"order_id": order})

    async def look(self) -> None:
        """The keeper looks at everything, and what it says is processed."""
        self.keeper._roll_rest_s = 0
        assert await self.keeper.step()
        await send_waiting(self.db, self.stream, lambda: self.now)
        while await self.worker.step(0.01):
            pass
        assert await self.keeper.step()

    async def hear(self) -> None:
        """Orders are made of what was heard, and what is left of cancelled ones is told and processed."""
        while await listen_once(self.db, lambda: self.now):
            pass
        await void_once(self.db, lambda: self.now)
        await send_waiting(self.db, self.stream, lambda: self.now)
        while await self.worker.step(0.01):
            pass

    async def wait(self, **time: float) -> None:
        """Time passes, and the keeper looks."""
        self.now += timedelta(**time)
        await self.look()

    async def set_ladder(self, ladder: Ladder) -> None:
        """Change the tiers."""
        async with self.db.begin() as conn:
            await tiers.put_ladder(await driver_of(conn), ladder, self.now, "test")
        await self.look()

    def uid(self, user: str = "u1") -> UUID:
        """The id under which an identifier is asked for."""
        return identifier_uid(_key(user), SECRET)

    async def portrait(self, user: str = "u1") -> Portrait:
        """What the lookup answers."""
        kind, _, value = user.rpartition("=")
        return await profile.lookup(self.db, kind or "user_id", value, SECRET, Moment(self.now, ZONE))

    async def tier(self, user: str = "u1") -> str | None:
        """The tier that the lookup shows."""
        return (await self.portrait(user)).tier

    async def shown(self, user: str = "u1") -> TierShown:
        """What the API shows of the tier."""
        return await tiers.show(self.source, self.uid(user), self.now, ZONE)

    async def named(self, user: str = "u1") -> Named:
        """The person."""
        async with self.db.driver() as connection:
            return (await named_by_uid(connection, [self.uid(user)]))[self.uid(user)]

    async def available(self, currency: str, user: str = "u1", *, pending: bool = True) -> int:
        """What the person can use, or will."""
        async with self.db.driver() as connection:
            holders = list((await find_wallets(connection, self.uid(user), self.now)).holders)
            held, lots = await balances(connection, holders), await lots_seen(connection, holders)
            views = accounts_of(held, lots, await self.ledger.currencies(connection), self.now)
        return sum(view.available + view.pending * pending for view in views if view.currency == currency)

    async def told(self, name: str) -> list[dict[str, Any]]:
        """The properties of events of this name in the store, in order."""
        rows = await self.events.rows(
            "SELECT properties FROM events WHERE name = {name:String} ORDER BY occurred_at, event_id", {"name": name}
        )
        return [json.loads(row[0]) for row in rows]

    async def merge(self, one: str, other: str) -> None:
        """They turn out to be one person."""
        both = [_key(one), _key(other)]
        await self.happen("page", one, others=both[1], effects=Effects(links=[Link("alias", [both[1], both[0]])]))
        await self.look()

    async def undo(self) -> None:
        """The last merge is taken back."""
        async with self.db.driver() as connection:
            links = await connection.fetch("SELECT link_id FROM links WHERE retracted_at IS NULL")
        for row in links:
            await retract(self.db, self.events, row[0], "wrong", self.now, members_max=200)
        await self.look()

    async def exact(self) -> None:
        """The tiers that are kept are those that a look at everybody finds, standings thrown away."""
        async with self.db.driver() as connection:
            sql = "SELECT person, tier, since, until, grace_until, fixed_tier FROM person_tiers ORDER BY person"
            before = [tuple(row) for row in await connection.fetch(sql)]
            await connection.execute("DELETE FROM person_tiers")
            await connection.execute("UPDATE tier_ladders SET built_at = NULL")
        await self.look()
        async with self.db.driver() as connection:
            again = [tuple(row) for row in await connection.fetch(sql)]
        assert before == again


def _key(user: str) -> str:
    kind, _, value = user.rpartition("=")
    return identifier_key(kind or "user_id", value)
