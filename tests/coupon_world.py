"""A brand with persons, for tests of coupons: the engines, a clock that is moved, and everything a shop asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from siyu.collect.event import Effects, Event, Link
from siyu.collect.frame import Arrival, frames_of
from siyu.coupons import actions, giving, locks, managing, read
from siyu.coupons.lock_records import Lock
from siyu.coupons.pricing import Pricing
from siyu.coupons.quote import Quote
from siyu.coupons.request import CouponSeen, LockRequest, OrderLock, Part, QuoteRequest
from siyu.coupons.template import PriceRule, Template
from siyu.identity.anchors import AnchorRegistry
from siyu.ids import identifier_key
from siyu.ledger import Ledger
from siyu.loyalty.actions import Points
from siyu.loyalty.request import Earn, Identifier
from siyu.processor import records as processor_records
from siyu.processor.points import PointsReaction
from siyu.processor.reactions import IdentityReaction, ProfileReaction
from siyu.processor.work import Reaction, Worker
from siyu.schema import complete_metadata
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of
from siyu.stream.postgres import PostgresStream

complete_metadata()

SECRET = b"test secret of thirty-two bytes!"
ZONE = ZoneInfo("Asia/Shanghai")
TEN = datetime(2026, 6, 1, 2, tzinfo=UTC)
"""2026-06-01, 10:00 in Shanghai."""


def template(id: str, kind: str = "amount", **more: Any) -> Template:
    """A template; 20 yuan off unless it is said otherwise."""
    told = {"id": id, "kind": kind} | ({"off_fen": 2000} if kind == "amount" else {}) | more
    return msgspec.convert(told, Template)


def rule(id: str, **more: Any) -> PriceRule:
    """A price rule."""
    return msgspec.convert({"id": id} | more, PriceRule)


def user(name: str) -> dict[str, str]:
    """A person by user_id, or by another kind: `openid:wx=o1`."""
    kind, _, value = name.rpartition("=")
    return {"kind": kind or "user_id", "value": value}


class Brand:
    """The engines and the clock."""

    def __init__(self, db: Database, events: EventStore, stream: PostgresStream) -> None:
        self.db, self.events, self.stream = db, events, stream
        self.now = TEN
        self.ledger = Ledger(ZONE)
        self.pricing = Pricing(events, self.ledger, ZONE, SECRET)
        self.points = Points(db, lambda: self.now, ZONE, SECRET)
        self._numbers = count(1)
        reactions: list[Reaction] = [
            ProfileReaction(lambda: self.now),
            PointsReaction(self.ledger, events, lambda: self.now),
            IdentityReaction(events, SECRET, 200, lambda: None),
        ]
        self.worker = Worker(
            0, db=db, events=events, stream=stream, registry=AnchorRegistry(SECRET), reactions=reactions
        )

    @classmethod
    async def open(cls, db: Database, events: EventStore) -> Brand:
        """With all tables, and nobody in them."""
        await db.create_all()
        await events.create_all()
        async with db.driver() as connection:
            await processor_records.open_partition(connection, 0)
        return cls(db, events, PostgresStream(db))

    async def close(self) -> None:
        await self.stream.close()

    def later(self, **more: float) -> None:
        self.now += timedelta(**more)

    async def happen(self, name: str, who: str, *others: str, **more: Any) -> None:
        """An event that carries these identifiers, processed."""
        keys = [identifier_key(one["kind"], one["value"]) for one in map(user, (who, *others))]
        at_ms = int(self.now.timestamp() * 1000)
        event = Event(
            f"e{next(self._numbers)}", name, at_ms, keys[0], others="\x1e".join(keys[1:]) or None,
            effects=Effects(links=[Link("bind", keys)]) if others else None, **more,
        )  # fmt: skip
        await self.stream.append(frames_of([Arrival([event], [], "key1", "web", at_ms)], 1, 10**7))
        while await self.worker.step(0.01):
            pass

    async def people(self, *names: str) -> None:
        for name in names:
            await self.happen("page", name)

    async def template(self, one: Template) -> None:
        async with self.db.begin() as transaction:
            await managing.put_template(await driver_of(transaction), self.pricing, one, self.now)

    async def rule(self, one: PriceRule) -> None:
        async with self.db.begin() as transaction:
            await managing.put_price_rule(await driver_of(transaction), self.pricing, one, self.now)

    async def give(self, template_id: str, who: str, way: giving.Way = "issued") -> CouponSeen:
        async with self.db.begin() as transaction:
            connection = await driver_of(transaction)
            person = msgspec.convert(user(who), Identifier)
            coupon = await giving.give(connection, self.pricing, template_id, person, self.now, way=way)
            return await read.one_seen(connection, self.pricing, coupon, self.now)

    async def quote(self, who: str | None, fen: int = 10_000, **more: Any) -> Quote:
        told: dict[str, Any] = {"lines": [{"sku": "S1", "qty": 1, "price_fen": fen}], "end": "web"} | more
        if who is not None:
            told["person"] = user(who)
        request = msgspec.convert(told, QuoteRequest)
        async with self.db.begin() as transaction:
            return await actions.quote(await driver_of(transaction), self.pricing, request, self.now)

    async def lock(self, who: str, ttl_s: int = 600, **more: Any) -> Lock:
        request = msgspec.convert({"person": user(who), "ttl_s": ttl_s} | more, LockRequest)
        async with self.db.begin() as transaction:
            return await locks.lock(await driver_of(transaction), self.pricing, request, self.now)

    async def order(self, who: str, order_id: str, fen: int = 10_000, **more: Any) -> tuple[Quote, Lock]:
        """What a shop does when an order is made."""
        async with self.db.begin() as transaction:
            return await self.order_in(await driver_of(transaction), who, order_id, fen, **more)

    async def order_in(
        self, connection: Any, who: str, order_id: str, fen: int, *, ttl_s: int = 900, **more: Any
    ) -> tuple[Quote, Lock]:
        """The same in somebody's transaction."""
        told = {"lines": [{"sku": "S1", "qty": 1, "price_fen": fen}], "end": "web", "person": user(who)} | more
        request = msgspec.convert(told, QuoteRequest)
        found = await actions.quote(connection, self.pricing, request, self.now, hold=True)
        wanted = OrderLock(person=request.person, order_id=order_id, ttl_s=ttl_s, quote=found, end=request.end)
        return found, await locks.lock(connection, self.pricing, wanted, self.now)

    async def commit(self, lock: UUID) -> Lock:
        async with self.db.begin() as transaction:
            return await locks.commit(await driver_of(transaction), self.pricing, lock, self.now)

    async def release(self, lock: UUID) -> Lock:
        async with self.db.begin() as transaction:
            return await locks.release(await driver_of(transaction), self.pricing, lock, self.now)

    async def rollback(self, lock: UUID, part: Part | None = None) -> Lock:
        async with self.db.begin() as transaction:
            return await locks.rollback(await driver_of(transaction), self.pricing, lock, self.now, part)

    async def coupons(self, who: str) -> list[CouponSeen]:
        async with self.db.driver() as connection:
            return await read.coupons_of(connection, self.pricing, msgspec.convert(user(who), Identifier), self.now)

    async def earn(self, who: str, points: int, **more: Any) -> None:
        await self.points.ask(msgspec.convert({"person": user(who), "points": points} | more, Earn), None, "test")
