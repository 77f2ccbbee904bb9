"""The desk of the shop: requests about orders of one process, done in groups (`ledger.Desk`), each once per key.

A group is one transaction. New orders at list price are made together; every other request has a savepoint of its own,
so that its refusal undoes nothing of the others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import structlog

from siyu.clock import Now
from siyu.errors import Conflict, Contended, IdempotencyConflict, SiyuError
from siyu.ledger import Desk
from siyu.shop import arriving, order_records, payment
from siyu.shop.arriving import Arrival
from siyu.shop.holding import hold
from siyu.shop.order import OURS, Order, State, only_source
from siyu.shop.placing import Asked, Tools, place_all
from siyu.shop.quoted import needs_quote, place_quoted
from siyu.shop.request import GiveBack, Move, OrderView, Pay, Place
from siyu.shop.steps import Do, fresh, take_step
from siyu.store import replies
from siyu.store.postgres import Database

log = structlog.get_logger()

Answer = OrderView | SiyuError


class Ask(NamedTuple):
    """A request with what makes asking twice the same as once."""

    request: Asked | Do
    key: UUID | None
    """Number of the caller's key."""
    hash: UUID


class Orders:
    """Makes orders and takes their steps. One per process."""

    def __init__(self, db: Database, now: Now, tools: Tools) -> None:
        self.tools = tools
        self._db = db
        self._now = now
        self._providers = payment.providers(db)
        self._desk: Desk[Ask, OrderView] = Desk(db, self.work)

    async def place(self, place: Place, key: str | None, by: str) -> OrderView:
        """Make an order; the same again is the same order. Raises PersonNotFound, WrongOrder, Refused (OUT_OF_STOCK,
        PRICE_CHANGED, DUPLICATE, … and what a quote refuses), IdempotencyConflict."""
        request = replies.request_number("orders", place)
        return await self._ask(Asked(place, _number(key, "orders"), request, by), key, request)

    async def move(self, verb: str, order_id: str, body: Move | GiveBack, key: str | None, by: str) -> OrderView:
        """Fulfil, receive, complete, cancel or refund. Raises OrderNotFound, Refused, IdempotencyConflict."""
        return await self._ask(Do(verb, order_id, body, _number(key, verb), by), key, _hash(verb, order_id, body))

    async def pay(self, order_id: str, body: Pay, key: str | None, by: str) -> OrderView:
        """Take the money, then book it. Raises OrderNotFound, Refused, UnknownProvider, IdempotencyConflict."""
        provider = payment.provider(self._providers, body.provider)
        asked = Do("pay", order_id, body, _number(key, "pay"), by)
        request = _hash("pay", order_id, body)
        if key is not None and await replies.known(self._db, key):
            return await self._ask(asked, key, request)
        found, came = await self.show(order_id), Arrival()
        if found.state is State.CREATED and body.amount_fen in (None, found.payable_fen):
            came = await arriving.take(self._db, provider, found, body, by=by, now=self._now)
            intent = came.asking.id if came.asking is not None else None
            asked = asked._replace(taken=came.taken, declined=came.declined, asking=intent)
        try:
            return await self._ask(asked, key, request)
        finally:
            await self._settle(came)

    async def _settle(self, came: Arrival) -> None:
        """Money that was taken and did not pay the order goes back. What fails here is the job's."""
        if came.asking is None or came.taken is None:
            return
        try:
            await arriving.settle(self._db, self.tools, came.asking, came.taken, self._now)
        except Exception as error:
            log.warning("a payment waits to be settled", reference=came.taken.reference, error=str(error))

    async def show(self, order_id: str, source: str | None = OURS) -> Order:
        """An order as it stands now; without a source ours, else the only one of this id. Raises OrderNotFound."""
        if source is None:
            async with self._db.driver() as connection:
                source = only_source(order_id, await order_records.sources_of(connection, order_id))
        return await fresh(self._db, self.tools, order_id, source, self._now)

    async def _ask(self, request: Asked | Do, key: str | None, number: UUID) -> OrderView:
        return await self._desk.ask(Ask(request, None if key is None else replies.key_number(key), number))

    async def work(self, connection: Any, asks: Sequence[Ask]) -> list[Answer]:
        """Decide and write; what `Desk` calls."""
        now = self._now()
        keys: dict[UUID, UUID] = {}
        for ask in asks:
            if ask.key is not None:
                keys.setdefault(ask.key, ask.hash)
        kept = await replies.claim(connection, keys, now) if keys else {}
        answers: dict[int, Answer] = {}
        leaders: dict[UUID, int] = {}
        todo: list[int] = []
        for place, ask in enumerate(asks):
            if ask.key is None:
                todo.append(place)
            elif (known := kept.get(ask.key)) is not None:
                answers[place] = _kept(known, ask.hash)
            elif leaders.setdefault(ask.key, place) == place:
                todo.append(place)
        answers |= await self._do(connection, {place: asks[place].request for place in todo})
        for place, ask in enumerate(asks):
            if place not in answers and ask.key is not None:
                same = ask.hash == asks[leaders[ask.key]].hash
                answers[place] = answers[leaders[ask.key]] if same else _other_request()
        await _keep(connection, [(key, answers[place]) for key, place in leaders.items()])
        return [answers[place] for place in range(len(asks))]

    async def _do(self, connection: Any, requests: dict[int, Asked | Do]) -> dict[int, Answer]:
        now = self._now()
        answers: dict[int, Answer] = {}
        new = {place: one for place, one in requests.items() if isinstance(one, Asked)}
        quoted = await needs_quote(connection, list(new.values()), now)
        plain = {place: one for place, one in new.items() if one.number not in quoted}
        steps = {one.order_id for one in requests.values() if isinstance(one, Do)}
        priced = [one.place for one in new.values() if one.number in quoted]
        await hold(connection, steps, priced, self.tools.secret, now)
        if plain:
            made = await place_all(connection, list(plain.values()), self.tools, now)
            answers |= dict(zip(plain, made, strict=True))
        for place, one in requests.items():
            if place in answers:
                continue

            def work(one: Asked | Do = one) -> Awaitable[OrderView]:
                if isinstance(one, Asked):
                    return place_quoted(connection, one, self.tools, now)
                return take_step(connection, one, self.tools, now)

            answers[place] = await _in_savepoint(connection, work)
        return answers


async def _in_savepoint(connection: Any, work: Callable[[], Awaitable[OrderView]]) -> Answer:
    """The answer or refusal of one request of a group; a refusal undoes what it did."""
    try:
        async with connection.transaction():
            return await work()
    except Contended:
        raise
    except SiyuError as error:
        return error


async def _keep(connection: Any, answers: Sequence[tuple[UUID, Answer]]) -> None:
    """Write down replies and refusals; what is no answer leaves its key free."""
    kept = [(key, one) for key, one in answers if isinstance(one, OrderView | Conflict)]
    if kept:
        await replies.keep(connection, kept)
    if free := [key for key, one in answers if not isinstance(one, OrderView | Conflict)]:
        await replies.release(connection, free)


def _kept(known: replies.Kept, request: UUID) -> Answer:
    try:
        return known.again(request, OrderView)
    except Conflict as error:
        return error


def _other_request() -> IdempotencyConflict:
    return IdempotencyConflict("This idempotency key was used for another request.")


def _number(key: str | None, call: str) -> UUID:
    """Names what a request makes: by the caller's key, so that a repetition names the same."""
    return uuid4() if key is None else replies.request_number(call, key)


def _hash(verb: str, order_id: str, body: object) -> UUID:
    return replies.request_number(f"orders/{order_id}/{verb}", body)
