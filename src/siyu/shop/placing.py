"""Making orders: for many requests at once, since those for one hot SKU wait for one another anyway.

Orders at list price are decided together: one reading of persons, SKUs and known orders, one posting of all stock, one
insert. An order with coupons or points, or while price rules are live, is quoted and locked one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from msgspec.structs import replace

from siyu.coupons.owner import Owner, find_owners
from siyu.coupons.pricing import Pricing
from siyu.errors import Contended, MalformedRequest, PersonNotFound, Refused, SiyuError
from siyu.identity.outbox import tell
from siyu.ledger import Command, Ledger, Outcome
from siyu.ledger.read_records import balances, due_of
from siyu.loyalty.posting import settlements
from siyu.loyalty.request import uid_of
from siyu.shop import events, order_records, product_records, stock
from siyu.shop.order import EVENT, OURS, Line, Order, State, Step, tracked_units
from siyu.shop.product import Offer, listed_price
from siyu.shop.request import OrderView, Place, view

SHIPPING: Final = "shipping"
"""SKU of the line that shipping is."""


class WrongOrder(MalformedRequest):
    """An order that cannot be made as it is written."""

    code = "WRONG_ORDER"
    status = 422


class Tools(NamedTuple):
    """What orders are made with."""

    pricing: Pricing
    pay_seconds: int

    @property
    def ledger(self) -> Ledger:
        """Posts points and units."""
        return self.pricing.ledger

    @property
    def secret(self) -> bytes:
        """The installation's."""
        return self.pricing.secret


class Asked(NamedTuple):
    """A request to make an order."""

    place: Place
    number: UUID
    """Of the request: names its transfers."""
    request: UUID
    """Hash of what is ordered."""
    by: str


class Draft(NamedTuple):
    """An order on its way, with who asked for it."""

    asked: Asked
    order: Order


def order_of(asked: Asked, offers: Mapping[str, Offer], buyer: Owner | None, tools: Tools, now: datetime) -> Order:
    """The order at list price. Raises Refused (PRICE_CHANGED, ENDED), WrongOrder."""
    place = asked.place
    made_at = min(place.at, now) if place.at is not None else now
    lines = [_line(wanted, offers.get(wanted.sku), place.end) for wanted in place.lines]
    if place.shipping_fen:
        lines.append(Line(SHIPPING, 1, place.shipping_fen, place.shipping_fen))
    total = sum(line.list_fen for line in lines)
    step = Step(EVENT[State.CREATED], made_at, asked.by)
    expires_at = now + timedelta(seconds=place.pay_within_s or tools.pay_seconds)
    anchor = buyer.anchor if buyer is not None else None
    return Order(
        0, 1, OURS, place.order_id, anchor, place.end, State.CREATED, total, total, 0, 0, tuple(lines),
        (), (step,), made_at, expires_at, None, None,
    )  # fmt: skip


def _line(wanted: Any, offer: Offer | None, end: str) -> Line:
    if offer is None:
        if wanted.price_fen is None:
            raise WrongOrder(f"{wanted.sku} is not in the list of products: it needs a price_fen.", path="lines")
        price, name, product, category, tracked = wanted.price_fen, wanted.name, "", "", False
    else:
        price = listed_price(offer, end, wanted.price_fen)
        label = f"{offer.product.name} {offer.sku.label}".strip()
        name, product, category, tracked = label, offer.product.id, offer.product.category, offer.sku.tracked
    return Line(wanted.sku, wanted.qty, price, price * wanted.qty, name, product, category, tracked)


class World(NamedTuple):
    """What a group of requests speaks of."""

    buyers: dict[UUID, Owner]
    offers: dict[str, Offer]
    known: dict[str, UUID]
    """Orders that exist → hash of what was ordered."""


async def look_up(connection: Any, asked: Sequence[Asked], tools: Tools, now: datetime) -> World:
    """Persons, SKUs and orders, for all requests at once."""
    uids = set()
    for one in asked:
        if one.place.person is not None:
            try:
                uids.add(uid_of(one.place.person, tools.secret))
            except PersonNotFound:
                continue  # said again, to who asked, by `buyer_of`
    buyers = await find_owners(connection, uids, now)
    offers = await product_records.offers(connection, {line.sku for one in asked for line in one.place.lines})
    known = await order_records.requests_of(connection, [one.place.order_id for one in asked])
    return World(buyers, offers, known)


def buyer_of(asked: Asked, world: World, secret: bytes) -> Owner | None:
    """The person who orders; None when nobody is named. Raises PersonNotFound."""
    person = asked.place.person
    if person is None:
        return None
    if (found := world.buyers.get(uid_of(person, secret))) is None:
        raise PersonNotFound(f"Nobody is known as {person if isinstance(person, str) else person.value!r}.")
    return found


async def again(connection: Any, asked: Asked, known: UUID) -> OrderView:
    """The order that exists under this number. Raises Refused(DUPLICATE) when it is another one."""
    order = await order_records.find_order(connection, asked.place.order_id)
    if known != asked.request or order is None:
        raise Refused("DUPLICATE", f"There is another order {asked.place.order_id}.", order_id=asked.place.order_id)
    return view(order)


async def place_all(
    connection: Any, asked: Sequence[Asked], tools: Tools, now: datetime
) -> list[OrderView | SiyuError]:
    """Make orders at list price, all in the caller's transaction; an answer each. `connection`: raw asyncpg.

    Raises Contended: then everything must be rolled back and may be tried again."""
    world = await look_up(connection, asked, tools, now)
    answers: dict[int, OrderView | SiyuError] = {}
    drafts: dict[int, Draft] = {}
    seen: dict[str, int] = {}
    for place, one in enumerate(asked):
        try:
            if (known := world.known.get(one.place.order_id)) is not None:
                answers[place] = await again(connection, one, known)
            elif one.place.order_id in seen:
                continue
            else:
                drafts[place] = Draft(one, order_of(one, world.offers, buyer_of(one, world, tools.secret), tools, now))
                seen[one.place.order_id] = place
        except SiyuError as error:
            answers[place] = error
    answers |= await _store(connection, drafts, tools, now)
    for place, one in enumerate(asked):
        if place not in answers:
            answers[place] = await _as_its_twin(connection, one, answers[seen[one.place.order_id]])
    return [answers[place] for place in range(len(asked))]


async def _as_its_twin(connection: Any, asked: Asked, answer: OrderView | SiyuError) -> OrderView | SiyuError:
    """The answer to a request whose order was asked for in the same group."""
    if isinstance(answer, SiyuError):
        return answer
    known = await order_records.requests_of(connection, [asked.place.order_id])
    try:
        return await again(connection, asked, known[asked.place.order_id])
    except Refused as error:
        return error


async def _store(
    connection: Any, drafts: Mapping[int, Draft], tools: Tools, now: datetime
) -> dict[int, OrderView | SiyuError]:
    """Set stock aside for drafts and write those that got it."""
    answers: dict[int, OrderView | SiyuError] = {}
    reserved = await reserve_all(connection, list(drafts.values()), tools, now)
    made: dict[int, Draft] = {}
    for (place, draft), outcome in zip(drafts.items(), reserved, strict=True):
        if isinstance(outcome, SiyuError):
            answers[place] = outcome
        else:
            made[place] = draft._replace(order=outcome)
    if made:
        numbers = await write_new(connection, list(made.values()))
        for place, draft in made.items():
            answers[place] = view(numbered(draft.order, numbers))
    return answers


def numbered(order: Order, numbers: Mapping[str, int]) -> Order:
    """The order with the number it got when it was stored."""
    return replace(order, number=numbers[order.order_id])


async def reserve_all(connection: Any, drafts: Sequence[Draft], tools: Tools, now: datetime) -> list[Order | SiyuError]:
    """Set aside what drafts need of what is counted; the order with its transfer, or the refusal, of each."""
    commands: list[Command] = []
    for draft in drafts:
        if units := tracked_units(draft.order.lines):
            told = stock.Told(
                draft.asked.number, now, draft.asked.by, cause=f"order/{draft.order.order_id}", reason="order"
            )
            commands.append(stock.reserve(units, draft.order.expires_at, told))
    if commands:
        await settle_stock(connection, tools.ledger, commands, now)
    outcomes = iter(await tools.ledger.post(connection, commands))
    found: list[Order | SiyuError] = []
    for draft in drafts:
        units = tracked_units(draft.order.lines)
        if not units:
            found.append(draft.order)
            continue
        outcome = next(outcomes)
        if outcome.refused is None:
            found.append(replace(draft.order, stock=outcome.transfer))
        else:
            found.append(await _short(connection, units, outcome))
    return found


async def settle_stock(connection: Any, ledger: Ledger, commands: Sequence[Command], now: datetime) -> None:
    """What was set aside and whose time is over comes back first."""
    holders = {leg.source.holder for command in commands for part in command.parts for leg in getattr(part, "legs", ())}
    await settle_holders(connection, ledger, sorted(holders), now)


async def settle_holders(connection: Any, ledger: Ledger, holders: Sequence[str], now: datetime) -> None:
    """The same for holders of stock."""
    due = await due_of(connection, holders, now)
    if due:
        await ledger.post(connection, settlements(due, {}, now))


async def _short(connection: Any, units: Mapping[str, int], outcome: Outcome) -> SiyuError:
    """The refusal, with the SKU that is missing."""
    try:
        outcome.settled()
    except Refused as error:
        if error.code != stock.OUT_OF_STOCK:
            return error
    held = await balances(connection, [stock.holder(sku) for sku in units])
    for sku, quantity in units.items():
        there = stock.view(sku, held).available
        if there < quantity:
            return Refused(
                stock.OUT_OF_STOCK, f"{quantity} of {sku} are asked for, {there} are there.",
                sku=sku, asked=quantity, there=there,
            )  # fmt: skip
    return Refused(stock.OUT_OF_STOCK, "Something is not there any more.")


async def write_new(connection: Any, drafts: Sequence[Draft]) -> dict[str, int]:
    """Store orders and put their first step on its way. Raises Contended when somebody else stored one meanwhile."""
    numbers = await order_records.insert_orders(connection, [(draft.order, draft.asked.request) for draft in drafts])
    if len(numbers) != len(drafts):
        raise Contended("Another request made one of these orders; they are looked up again.", retry_after_s=1)
    await tell(connection, [events.event(draft.order, State.CREATED, draft.order.steps[0]) for draft in drafts])
    return numbers
