"""A small shop for tests: a product, a clock that is moved, persons, and what the stream heard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from siyu.collect.frame import decode_frame
from siyu.coupons import giving, managing
from siyu.coupons.owner import find_owner
from siyu.coupons.pricing import Pricing
from siyu.coupons.template import PriceRule, Template
from siyu.identity.outbox import send_waiting
from siyu.ids import identifier_key, identifier_uid
from siyu.ledger import Ledger, Role
from siyu.ledger.read_records import balances
from siyu.loyalty.actions import Points
from siyu.loyalty.request import Earn, Identifier
from siyu.schema import complete_metadata
from siyu.shop import Orders, product_records, stock
from siyu.shop.placing import Tools
from siyu.shop.product import Product, Sku
from siyu.shop.product_records import articles_of
from siyu.shop.steps import lapse_due
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of
from siyu.stream.postgres import PostgresStream

SECRET = b"secret"
ZONE = ZoneInfo("Asia/Shanghai")
PRODUCTS = (
    Product(
        id="tea", name="凤凰单丛", category="乌龙茶", collections=("tea",),
        skus=(Sku(sku="T1", label="100g", price_fen=12_800, prices={"app": 11_800}, tracked=True),),
    ),
    Product(id="cup", name="快客杯", skus=(Sku(sku="C1", price_fen=8_901, tracked=True),)),
)  # fmt: skip


class ShopWorld:
    """A shop on a fresh database."""

    def __init__(self, db: Database, events: EventStore) -> None:
        self.db = db
        self.at = datetime(2027, 6, 1, 2, 0, tzinfo=UTC)
        self.ledger = Ledger(ZONE)
        self.stream = PostgresStream(db)
        self.tools = Tools(Pricing(events, self.ledger, ZONE, SECRET, 100, articles_of), 1_800)
        self.orders = Orders(db, self.now, self.tools)

    @classmethod
    async def open(cls, db: Database, events: EventStore) -> ShopWorld:
        """Tables and products."""
        complete_metadata()
        await db.create_all()
        world = cls(db, events)
        async with db.begin() as conn:
            connection = await driver_of(conn)
            for product in PRODUCTS:
                assert await product_records.put_product(connection, product, world.at) == "stored"
        return world

    def now(self) -> datetime:
        """The clock."""
        return self.at

    def later(self, **span: float) -> None:
        """Move it on."""
        self.at += timedelta(**span)

    async def person(self, user_id: str) -> Identifier:
        """Somebody known."""
        uid = identifier_uid(identifier_key("user_id", user_id), SECRET)
        async with self.db.driver() as connection:
            await connection.execute(
                "INSERT INTO identifiers (id, uid, kind, value, first_seen, last_seen, source)"
                " SELECT count(*) + 1, $1, 'user_id', $2, $3, $3, 'test' FROM identifiers ON CONFLICT DO NOTHING",
                uid, user_id, self.at,
            )  # fmt: skip
        return Identifier("user_id", user_id)

    async def stock(self, sku: str, units: int) -> None:
        """Units come in."""
        async with self.db.begin() as conn:
            connection = await driver_of(conn)
            told = stock.Told(uuid4(), self.at, "test")
            (outcome,) = await self.ledger.post(connection, [stock.add(sku, units, told)])
            outcome.settled()

    async def template(self, template: Template) -> None:
        """A coupon template."""
        async with self.db.begin() as conn:
            await managing.put_template(await driver_of(conn), self.tools.pricing, template, self.at)

    async def price_rule(self, rule: PriceRule) -> None:
        """A price rule."""
        async with self.db.begin() as conn:
            await managing.put_price_rule(await driver_of(conn), self.tools.pricing, rule, self.at)

    async def coupon(self, template: str, person: Identifier) -> str:
        """A coupon of a template for somebody: its code."""
        async with self.db.begin() as conn:
            connection = await driver_of(conn)
            given = await giving.give(connection, self.tools.pricing, template, person, self.at, way="issued")
            return self.tools.pricing.vault.open(given.code, given.sealed)

    async def earn(self, person: Identifier, points: int) -> None:
        """Points for somebody."""
        desk = Points(self.db, self.now, ZONE, SECRET)
        await desk.ask(Earn(person=person, points=points), None, "test")

    async def points(self, person: Identifier) -> tuple[int, int]:
        """(available, locked)"""
        async with self.db.driver() as connection:
            buyer = await find_owner(connection, person, SECRET, self.at)
            held = await balances(connection, list(buyer.wallets.holders))
        roles = {
            role: sum(one.balance for one in held if one.role == role and one.currency == "points") for role in Role
        }
        return roles[Role.AVAILABLE], roles[Role.LOCKED]

    async def units(self, sku: str) -> tuple[int, int, int, int]:
        """(stock, available, reserved, sold); they add up."""
        async with self.db.driver() as connection:
            seen = stock.view(sku, await balances(connection, [stock.holder(sku)]))
        assert seen.sold + seen.reserved + seen.available == seen.stock
        return seen.stock, seen.available, seen.reserved, seen.sold

    async def tend(self) -> None:
        """Do what time and the outbox bring."""
        await lapse_due(self.db, self.tools, self.now)
        await send_waiting(self.db, self.stream, self.now)

    async def told(self) -> list[dict[str, Any]]:
        """What the stream heard."""
        await self.tend()
        frames = await self.stream.read(0, 0, 1_000_000, 0)
        return [row for frame in frames for row in decode_frame(frame.body).events.to_pylist()]
