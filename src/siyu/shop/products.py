"""Verbs of products, stock and carts. Requests about stock of one process are done in groups (`ledger.Desk`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import msgspec

from siyu.clock import Now
from siyu.coupons.owner import find_owner
from siyu.errors import Conflict, Contended, NotFound, Refused
from siyu.identity.members import Named
from siyu.identity.outbox import tell
from siyu.ledger import Command, Desk, Ledger, Outcome, Role, derived_key
from siyu.ledger.read_records import balances
from siyu.ledger.records import legs_of
from siyu.loyalty.request import PersonRef
from siyu.shop import product_records, stock
from siyu.shop.events import CartChange, cart_event
from siyu.shop.placing import settle_holders, settle_stock
from siyu.shop.product import (
    Code,
    Counted,
    End,
    Mode,
    Product,
    ProductNotFound,
    SkuNotFound,
    WrongProduct,
    read_stock_list,
)
from siyu.shop.stock import StockView, Told, holder
from siyu.store.postgres import Database, driver_of

CART_MAX: Final = 200
IMPORT_AT_ONCE: Final = 500


class HoldNotFound(NotFound):
    """Nothing was set aside under this number."""

    code = "HOLD_NOT_FOUND"


async def put_product(connection: Any, product: Product, now: datetime) -> Product:
    """Store a product, or its next version. Raises WrongProduct, Conflict."""
    product.checked()
    done = await product_records.put_product(connection, product, now)
    if done == "version":
        following = await product_records.version_of(connection, product.id) + 1
        raise Conflict(f"The next version of this product is {following}.", next_version=following)
    if done == "sku":
        raise WrongProduct("A SKU is another product's already.", path="skus")
    return product


async def find_product(connection: Any, number: str) -> Product:
    """Raises ProductNotFound."""
    if (found := await product_records.product(connection, number)) is None:
        raise ProductNotFound(f"There is no product {number}.")
    return found


async def stock_of(connection: Any, skus: Sequence[str]) -> dict[str, StockView]:
    """What there is of each SKU."""
    held = await balances(connection, [holder(sku) for sku in skus])
    by_holder: dict[str, list[Any]] = {}
    for one in held:
        by_holder.setdefault(one.holder, []).append(one)
    return {sku: stock.view(sku, by_holder.get(holder(sku), ())) for sku in skus}


class Adjusted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Correct what there is of a SKU, up or down; `in`: units that came in."""

    qty: Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
    came_in: bool = False
    """Whether it is a delivery instead of a correction."""


class Hold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Set units aside for so long."""

    qty: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    ttl_s: Annotated[int, msgspec.Meta(ge=1, le=366 * 86_400)]
    reason: Annotated[str, msgspec.Meta(max_length=500, pattern=r"^[^\x00]*$")] = ""


class Decided(msgspec.Struct, frozen=True):
    """What becomes of units that were set aside."""

    hold_id: int
    sold: bool


class StockAnswer(msgspec.Struct, frozen=True):
    """What was booked. The same key and body get the same answer again."""

    transfer_id: int
    at: datetime
    available: int
    reserved: int
    ends_at: datetime | None = None
    """Of units set aside: when they come back by themselves."""


class StockAsk(msgspec.Struct, frozen=True):
    """A request with its key."""

    sku: str
    request: Adjusted | Hold | Decided
    key: UUID
    by: str


class Stock:
    """Moves units. One per process."""

    def __init__(self, db: Database, ledger: Ledger, now: Now) -> None:
        self._db = db
        self._ledger = ledger
        self._now = now
        self._desk: Desk[StockAsk, Outcome] = Desk(db, self.work)

    async def ask(self, sku: str, request: Adjusted | Hold | Decided, key: str | None, by: str) -> StockAnswer:
        """Do it; durable. Raises SkuNotFound, Refused (OUT_OF_STOCK, ALREADY_DECIDED), IdempotencyConflict."""
        if isinstance(request, Decided):
            sku = await self._sku_of(request.hold_id)
        number = uuid4() if key is None else derived_key("api stock", key)
        outcome = (await self._desk.ask(StockAsk(sku, request, number, by))).settled()
        ends_at = outcome.at + timedelta(seconds=request.ttl_s) if isinstance(request, Hold) else None
        sums = outcome.balances
        return StockAnswer(
            outcome.transfer, outcome.at, sums.get("stock.available", 0), sums.get("stock.locked", 0), ends_at
        )

    async def there(self, sku: str) -> StockView:
        """Units of a SKU now: what was set aside for a time that is over is free."""
        with suppress(Contended):  # somebody else is at it
            async with self._db.transaction() as connection:
                await settle_holders(connection, self._ledger, [stock.holder(sku)], self._now())
        async with self._db.driver() as connection:
            return (await stock_of(connection, [sku]))[sku]

    async def _sku_of(self, hold: int) -> str:
        async with self._db.driver() as connection:
            legs, _ = await legs_of(connection, [hold])
        if not legs or legs[0].source.currency != stock.STOCK or legs[0].held is None:
            raise HoldNotFound(f"Nothing was set aside under {hold}.")
        return stock.sku_of(legs[0].source.holder)

    async def work(self, connection: Any, asks: Sequence[StockAsk]) -> list[Outcome]:
        """Decide and write; what `Desk` calls."""
        now = self._now()
        commands = _commands(asks, now)
        await settle_stock(connection, self._ledger, commands, now)
        return await self._ledger.post(connection, commands)


def _commands(asks: Iterable[StockAsk], now: datetime) -> list[Command]:
    """What is to be booked. Asks for the same differ in nothing but their key and who asks."""
    made: dict[tuple[str, Adjusted | Hold | Decided], Command] = {}
    commands = []
    for ask in asks:
        what = ask.sku, ask.request
        if (like := made.get(what)) is None:
            like = made[what] = _command(ask, now)
        commands.append(like._replace(key=ask.key, by=ask.by))
    return commands


def _command(ask: StockAsk, now: datetime) -> Command:
    request, sku = ask.request, ask.sku
    # The instant at which it ends follows from when it was asked first: it is no part of what is asked.
    hashed = derived_key(sku, msgspec.json.encode(request))
    told = Told(ask.key, now, ask.by, getattr(request, "reason", ""), request=hashed)
    if isinstance(request, Hold):
        made = stock.reserve({sku: request.qty}, now + timedelta(seconds=request.ttl_s), told)
    elif isinstance(request, Decided):
        made = (stock.sell if request.sold else stock.release)(request.hold_id, told)
    elif request.came_in:
        made = stock.add(sku, request.qty, told)
    else:
        made = stock.correct(sku, request.qty, told)
    report = (stock.account(sku, Role.AVAILABLE), stock.account(sku, Role.LOCKED))
    return made._replace(report=report)


async def import_stock(connection: Any, ledger: Ledger, text: str, mode: Mode, told: Told) -> int:
    """Book a stock list: what came in, or what was counted (then the difference to what is there is corrected).

    How many rows changed something. Raises WrongProduct, SkuNotFound: then nothing is booked."""
    rows: dict[str, Counted] = {}
    for row in read_stock_list(text):
        if row.sku in rows:
            raise WrongProduct(f"{row.sku} stands twice in the list.", path=row.sku)
        rows[row.sku] = row
    known = await product_records.offers(connection, rows)
    if missing := [sku for sku in rows if sku not in known]:
        raise SkuNotFound(f"There is no SKU {missing[0]}: make its product first.", sku=missing[0])
    there = await stock_of(connection, list(rows)) if mode == "count" else {}
    commands = []
    for sku, row in sorted(rows.items()):
        own = told._replace(key=derived_key(told.key, sku))
        if mode == "add" and row.quantity:
            commands.append(stock.add(sku, row.quantity, own))
        elif mode == "count" and (change := row.quantity - there[sku].available):
            commands.append(stock.correct(sku, change, own))
    for start in range(0, len(commands), IMPORT_AT_ONCE):
        for outcome in await ledger.post(connection, commands[start : start + IMPORT_AT_ONCE]):
            outcome.settled()
    return len(commands)


# Carts.


class CartLine(msgspec.Struct, frozen=True):
    """What lies in a cart, and what it costs now."""

    sku: str
    qty: int
    name: str
    price_fen: int | None
    """None: not sold any more, or never was in the list."""
    available: int | None
    """None: not counted."""
    added_at: datetime


class Cart(msgspec.Struct, frozen=True):
    """A person's one cart, whatever end they use."""

    person_id: str
    lines: list[CartLine]
    total_fen: int
    """Of what can be bought."""


class InCart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many units shall lie in the cart; 0: none."""

    qty: Annotated[int, msgspec.Meta(ge=0, le=10_000)]
    end: End = "web"
    sku: Code | None = None


async def show_cart(connection: Any, person: PersonRef, end: str, secret: bytes, now: datetime) -> Cart:
    """Over all identifiers of the person. Raises PersonNotFound."""
    buyer = await find_owner(connection, person, secret, now)
    rows = await product_records.cart(connection, buyer.current)
    offers = await product_records.offers(connection, [row[0] for row in rows])
    there = await stock_of(connection, [sku for sku, one in offers.items() if one.sku.tracked])
    lines = []
    for sku, qty, added_at, _ in rows:
        offer = offers.get(sku)
        sold = offer is not None and offer.sku.active and offer.product.on_sale
        lines.append(
            CartLine(
                sku,
                qty,
                f"{offer.product.name} {offer.sku.label}".strip() if offer else sku,
                offer.sku.price_at(end) if offer is not None and sold else None,
                there[sku].available if sku in there else None,
                added_at,
            )
        )
    total = sum((line.price_fen or 0) * line.qty for line in lines)
    return Cart(_person_id(buyer.named), lines, total)


def _person_id(named: Named) -> str:
    return str(named.uid)


class Putting(msgspec.Struct, frozen=True):
    """A change of a cart."""

    person: PersonRef
    sku: str
    wanted: InCart
    number: UUID


async def put_in_cart(connection: Any, putting: Putting, secret: bytes, now: datetime) -> Cart:
    """Set how many units lie in the cart; says so in the stream. Raises PersonNotFound, SkuNotFound, Refused."""
    buyer = await find_owner(connection, putting.person, secret, now)
    sku, wanted = putting.sku, putting.wanted
    offer = (await product_records.offers(connection, [sku])).get(sku)
    if offer is None and wanted.qty:
        raise SkuNotFound(f"There is no SKU {sku}.")
    # Two requests of one person wait for each other here, also before anything lies in the cart.
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"cart/{buyer.named.person}")
    before = await product_records.lock_cart(connection, buyer.current, sku)
    if wanted.qty and not before and len(await product_records.cart(connection, buyer.current)) >= CART_MAX:
        raise Refused("LIMIT_REACHED", f"At most {CART_MAX} different articles lie in a cart.")
    await product_records.put_in_cart(connection, (buyer.anchor, buyer.current), sku, wanted.qty, now)
    if change := wanted.qty - before:
        said: Mapping[str, Any] = {}
        if offer is not None:
            said = {
                "product": offer.product.name,
                "product_id": offer.product.id,
                "category": offer.product.category,
                "price_fen": offer.sku.price_at(wanted.end),
            }
        told = CartChange(buyer.anchor, sku, change, wanted.end, now, putting.number.hex)
        await tell(connection, [cart_event(told, dict(said))])
    return await show_cart(connection, str(buyer.named.uid), wanted.end, secret, now)


async def put_many(db: Database, products: Sequence[Product], now: datetime) -> int:
    """Add products that are not there yet (a demo brand, a first list); how many were."""
    added = 0
    async with db.begin() as conn:
        connection = await driver_of(conn)
        for product in products:
            if not await product_records.version_of(connection, product.id):
                await put_product(connection, product, now)
                added += 1
    return added
