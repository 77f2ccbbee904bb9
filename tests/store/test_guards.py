"""Every guard of the shop is needed, and every layer of them holds alone. The guards are data.

Of each thing that must happen once, the same is asked for twice, the second time before the first is committed. With
all guards it happens once; with any one of them alone, the others taken away, once too; with none, twice: so a guard
that is lost makes a test fail. Those of the ledger, of coupons, check-ins and payouts in their own tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import pytest

from siyu.coupons import records as coupon_records
from siyu.coupons.template import Template
from siyu.errors import SiyuError
from siyu.ledger import derived_key
from siyu.shop import intent_records, mall_records, order_records, redeeming
from siyu.shop.arriving import settle_in
from siyu.shop.intent_records import Asking
from siyu.shop.mall import Item, Redeem
from siyu.shop.payment import Taken
from siyu.shop.redeeming import Taking
from siyu.shop.request import GiveBack, Move, Pay, Place, WantedLine
from siyu.shop.steps import Do, take_step
from siyu.store import replies
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database, driver_of

from .shop_world import ShopWorld

Ask = Callable[[Any, int], Awaitable[object]]
"""Ask on a connection; for the first or the second time."""


class Guard(NamedTuple):
    """One layer: how it is taken away, in Python or in the database, and put back."""

    name: str
    module: Any = None
    attribute: str = ""
    instead: Any = None
    text: tuple[str, str] = ("", "")
    """Of a statement: this, and what stands there without it."""
    drop: tuple[str, ...] = ()
    restore: tuple[str, ...] = ()


class Once(NamedTuple):
    """Something that must happen once."""

    name: str
    guards: tuple[Guard, ...]
    prepare: Callable[[ShopWorld, str], Awaitable[Ask]]
    """What is asked for; the text tells rounds apart."""
    counted: str
    """SQL: how often it happened in a round."""


async def unlocked(connection: Any, order_id: str, source: str = order_records.OURS, *, lock: bool = False) -> Any:
    return await _find_order(connection, order_id, source)


async def nothing(*_: Any) -> None:
    return None


_find_order = order_records.find_order
ORDER_LOCK = Guard("FOR UPDATE of the order", order_records, "find_order", unlocked)
VERSION = Guard(
    "version in WHERE, rows counted",
    order_records,
    "_UPDATE",
    text=(order_records.VERSION_GUARD, "AND $2::int IS NOT NULL"),
)
PAYMENT_KEYS = Guard(
    "keys of payments",
    drop=(
        "ALTER TABLE shop_payments DROP CONSTRAINT pk_shop_payments",
        "ALTER TABLE shop_payments DROP CONSTRAINT uq_shop_payments_number_kind_reference",
        "DROP INDEX uq_shop_payments_one_payment",
    ),
    restore=(
        "ALTER TABLE shop_payments ADD CONSTRAINT pk_shop_payments PRIMARY KEY (id)",
        "ALTER TABLE shop_payments ADD CONSTRAINT uq_shop_payments_number_kind_reference"
        " UNIQUE (number, kind, reference)",
        "CREATE UNIQUE INDEX uq_shop_payments_one_payment ON shop_payments (number) WHERE kind = 'payment'",
    ),
)
REFERENCE = Guard(
    "a payment_id pays one order",
    drop=("DROP INDEX uq_shop_payments_reference",),
    restore=(
        "CREATE UNIQUE INDEX uq_shop_payments_reference ON shop_payments (provider, reference)"
        " WHERE kind IN ('payment', 'return')",
    ),
)
REPLY_KEY = Guard(
    "key of replies",
    drop=("ALTER TABLE replies DROP CONSTRAINT pk_replies",),
    restore=("ALTER TABLE replies ADD CONSTRAINT pk_replies PRIMARY KEY (key)",),
)
PERSON_LOCK = Guard("rows of the person", coupon_records, "hold_anchors", nothing)
NTH = Guard(
    "key of the nth redemption",
    drop=("DROP INDEX uq_mall_redemptions_nth",),
    restore=(
        "CREATE UNIQUE INDEX uq_mall_redemptions_nth ON mall_redemptions (item, anchor, nth)"
        " WHERE state <> 'cancelled'",
    ),
)
INTENT = Guard("state of the intent in WHERE", intent_records, "_END", text=(intent_records.OPEN_GUARD, ""))
RETURN_KEYS = Guard(
    "keys of returns",
    drop=(PAYMENT_KEYS.drop[0], PAYMENT_KEYS.drop[1], *REFERENCE.drop),
    restore=(PAYMENT_KEYS.restore[0], PAYMENT_KEYS.restore[1], *REFERENCE.restore),
)
SKIP_LOCKED = Guard(
    "a code is locked while it is taken", mall_records, "_TAKE_CODE", text=("FOR UPDATE SKIP LOCKED", "")
)
STILL_FREE = Guard(
    "a code is free when it is written",
    mall_records,
    "_TAKE_CODE",
    text=("AND redemption IS NULL RETURNING", "RETURNING"),
)


async def placed(world: ShopWorld, name: str) -> None:
    await world.orders.place(Place(order_id=name, end="web", lines=(WantedLine("X1", 2, 5_000),)), None, "test")


def pay(world: ShopWorld, order_id: str, reference: str) -> Callable[[Any], Awaitable[object]]:
    number = uuid4()
    do = Do("pay", order_id, Pay(), number, "test", Taken("external", reference, 10_000))
    return lambda connection: take_step(connection, do, world.tools, world.at)


async def paid_once(world: ShopWorld, name: str) -> Ask:
    await placed(world, name)
    return lambda connection, turn: pay(world, name, f"{name}-{turn}")(connection)


async def payment_of_one_order(world: ShopWorld, name: str) -> Ask:
    for turn in (1, 2):
        await placed(world, f"{name}-{turn}")
    return lambda connection, turn: pay(world, f"{name}-{turn}", name)(connection)


async def refunded_once(world: ShopWorld, name: str) -> Ask:
    await placed(world, name)
    await world.orders.pay(name, Pay(), None, "test")

    def ask(connection: Any, turn: int) -> Awaitable[object]:
        do = Do("refund", name, GiveBack(amount_fen=1_000, refund_id="r"), uuid4(), "test")
        return take_step(connection, do, world.tools, world.at)

    return ask


async def returned_once(world: ShopWorld, name: str) -> Ask:
    await placed(world, name)
    order = await world.orders.show(name)
    asking = Asking(uuid4(), order.number, "test", name, 10_000, "test")
    async with world.db.begin() as conn:
        assert await intent_records.write_down(await driver_of(conn), asking, world.at, world.at)
    await world.orders.move("cancel", name, Move(), None, "test")
    taken = Taken("test", name, 10_000)
    return lambda connection, turn: settle_in(connection, world.tools, asking, taken, world.at)


async def replied_once(world: ShopWorld, name: str) -> Ask:
    number, request = replies.key_number(name), derived_key(name)

    async def ask(connection: Any, turn: int) -> object:
        if (known := (await replies.claim(connection, {number: request}, world.at)).get(number)) is not None:
            return known
        body = f"the work of {name}".encode()
        await connection.execute("INSERT INTO shop_heard (steps, events) VALUES ($1, $2)", turn, body)
        await replies.keep(connection, [(number, turn)])
        return turn

    return ask


async def redeemed_once(world: ShopWorld, name: str) -> Ask:
    who = await world.person("u1")
    await world.earn(who, 100)
    await world.template(Template(id=name, kind="amount", off_fen=100))
    item = Item(id=name, label=name, gives="coupon", coupon=name, points=10, per_person=1)
    async with world.db.begin() as conn:
        await redeeming.put_item(await driver_of(conn), item, world.at)

    def ask(connection: Any, turn: int) -> Awaitable[object]:
        taking = Taking(name, Redeem(person=who), uuid4(), "test")
        return redeeming.redeem(connection, taking, world.tools, world.at)

    return ask


async def code_given_once(world: ShopWorld, name: str) -> Ask:
    async with world.db.driver() as connection:
        await mall_records.add_codes(connection, name, [f"{name}-1"])

    async def ask(connection: Any, turn: int) -> object:
        code = await mall_records.take_code(connection, name, UUID(int=turn + hash(name) % 2**60))
        body = f"the work of {name}".encode()
        if code is not None:
            await connection.execute("INSERT INTO shop_heard (steps, events) VALUES ($1, $2)", turn, body)
        return code

    return ask


WORKED = "SELECT count(*) FROM shop_heard WHERE events = convert_to('the work of ' || $1, 'UTF8')"
PAID = (
    "SELECT count(*) FROM shop_payments p JOIN shop_orders o USING (number)"
    " WHERE kind = {} AND starts_with(order_id, $1)"
)
ONCE = (
    Once("an order is paid once", (ORDER_LOCK, VERSION, PAYMENT_KEYS), paid_once, PAID.format("'payment'")),
    Once("a payment pays one order", (REFERENCE,), payment_of_one_order, PAID.format("'payment'")),
    Once("a refund is given once", (ORDER_LOCK, VERSION, PAYMENT_KEYS), refunded_once, PAID.format("'refund'")),
    Once(
        "a payment that came too late goes back once", (ORDER_LOCK, VERSION, INTENT, RETURN_KEYS), returned_once,
        PAID.format("'return'"),
    ),
    Once("a key has one effect", (REPLY_KEY,), replied_once, WORKED),
    Once(
        "a person takes what they may have", (PERSON_LOCK, NTH), redeemed_once,
        "SELECT count(*) FROM mall_redemptions WHERE item = $1",
    ),
    Once("a code has one owner", (SKIP_LOCKED, STILL_FREE), code_given_once, WORKED),
)  # fmt: skip


async def asked_twice(db: Database, ask: Ask) -> None:
    """The second is asked before the first is committed; either may be refused or break."""
    async with db.begin() as one, db.begin() as other:
        await ask(await driver_of(one), 1)
        waiting = asyncio.ensure_future(ask(await driver_of(other), 2))
        await asyncio.wait({waiting}, timeout=0.5)
        await one.commit()
        try:
            await waiting
            await other.commit()
        except (SiyuError, asyncpg.PostgresError):
            with suppress(Exception):
                await other.rollback()


@pytest.fixture
async def world(db: Database, events: EventStore) -> ShopWorld:
    return await ShopWorld.open(db, events)


@pytest.mark.proof
@pytest.mark.parametrize("once", ONCE, ids=lambda one: one.name)
async def test_each_layer_holds_alone_and_without_all_it_happens_twice(world: ShopWorld, once: Once) -> None:
    async def times(name: str, left: tuple[Guard, ...]) -> int:
        with pytest.MonkeyPatch.context() as patch:
            away = [guard for guard in once.guards if guard not in left]
            for guard in away:
                if guard.module is not None:
                    here = getattr(guard.module, guard.attribute)
                    assert guard.text[0] in here if guard.instead is None else here != guard.instead
                    patch.setattr(guard.module, guard.attribute, guard.instead or here.replace(*guard.text))
            async with world.db.driver() as connection:
                for statement in [one for guard in away for one in guard.drop]:
                    await connection.execute(statement)
            await asked_twice(world.db, await once.prepare(world, name))
            async with world.db.driver() as connection:
                found: int = await connection.fetchval(once.counted, name)
                if left:  # with none of them the rows contradict their keys
                    for statement in [one for guard in away for one in guard.restore]:
                        await connection.execute(statement)
        return found

    assert await times("all", once.guards) == 1
    for place, guard in enumerate(once.guards):
        assert await times(f"only{place}", (guard,)) == 1, f"{guard.name} does not hold alone"
    assert await times("none", ()) == 2, "nothing goes wrong without these guards: what are they for?"
