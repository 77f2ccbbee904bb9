"""Orders of foreign shops, as events tell of them: a function of the set of steps, in whatever order told. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa

from siyu.collect.catalogue import canonical, fen, named_fen, spellings
from siyu.collect.own_events import ORDER_VOIDED
from siyu.identity.outbox import Told as Event
from siyu.ledger import derived_key
from siyu.rules import commerce
from siyu.rules.evaluate import listed_lines
from siyu.shop.events import SOURCE
from siyu.shop.order import CHAIN, EVENT, Line, Order, State, Step, with_shares

UNNAMED: Final = "events"
"""Source of an order whose events name no shop."""
STEPS: Final = {name: state for state, name in EVENT.items()}
NAMES: Final = frozenset(spelling for name in STEPS for spelling in spellings(name))
"""Every stored name of an event that is a step of an order."""
MONEY: Final = frozenset(
    spelling for state in (State.PAID, State.REFUNDED, State.CANCELLED) for spelling in spellings(EVENT[state])
)
"""Stored names of the steps by which money comes or goes."""
TOLD_MAX: Final = 200
"""Steps kept of one order."""
LINES_MAX: Final = 200
"""Lines kept of one order."""
_CHARS_MAX: Final = 100
_QUANTITY_MAX: Final = 10_000
_SKU: Final = (*commerce.PRODUCT, "id")
_NAME: Final = (*commerce.PRODUCT_NAME, "title")

HEARD: Final = pa.schema(
    [
        ("name", pa.string()),
        ("anchor", pa.int64()),
        ("at_ms", pa.int64()),
        ("end", pa.string()),
        ("source", pa.string()),
        ("event_id", pa.string()),
        ("value_fen", pa.int64()),
        ("properties", pa.string()),
        ("again", pa.bool_()),
    ]
)
"""What a batch keeps of the steps it heard of; the columns are read later, beside the processor."""


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step as an event told of it. Kept with the order; what `order.Step` has is its timeline."""

    name: str
    at: datetime
    key: str
    """Tells it from other events: repeated ones are one."""
    anchor: int
    by: str = ""
    note: str = ""
    amount_fen: int = 0
    """Paid, or given back; 0 for a refund: all of it."""
    ref: str = ""
    end: str = ""
    list_fen: int = 0
    payable_fen: int = 0
    lines: tuple[Line, ...] = ()
    again: bool = False
    """Told before by another event: no figure has this one's money (decision 0524)."""
    nothing: bool = False
    """A refund that says that it gives back no money."""

    @property
    def gives_all(self) -> bool:
        """Whether it is a refund of all that is left: it says no amount (decision 0527)."""
        return self.name == EVENT[State.REFUNDED] and not self.amount_fen and not self.nothing


ORDER_KEY: Final = "anonymous_id\x1forder:"
"""How the identifier key of an order of a connected shop begins: a step that names no buyer stands under it."""


def order_key(connector: str, order_id: str) -> str:
    """The identifier key of an order of a connected shop; its payment carries it too (decision 0481)."""
    return f"{ORDER_KEY}{connector}:{order_id}"


class About(NamedTuple):
    """Which order an event is about."""

    source: str
    order_id: str


def about_of(said: Mapping[str, Any]) -> About | None:
    """The order that the properties of an event name; None: they name none."""
    order_id = _first(said, commerce.ORDER)
    return None if order_id is None else About(_first(said, ("shop",)) or UNNAMED, order_id)


def reference_of(name: str, said: Mapping[str, Any]) -> str | None:
    """The number of the refund or payment that an event of this canonical name tells of; None: it names none."""
    return _first(said, ("refund_id",)) if name == EVENT[State.REFUNDED] else _first(said, ("payment_id",))


def told_of(row: Mapping[str, Any]) -> tuple[About, Told] | None:
    """An event, as a row of HEARD; None when it names no order."""
    try:
        said = msgspec.json.decode(row["properties"])
    except msgspec.DecodeError:
        return None
    if not isinstance(said, dict) or (about := about_of(said)) is None:
        return None
    name = canonical(row["name"])
    ref = reference_of(name, said)
    once = "" if name == EVENT[State.REFUNDED] and ref is None else f"{name}\n{ref or ''}"
    return about, Told(
        name,
        datetime.fromtimestamp(row["at_ms"] / 1000, UTC),
        once or f"{row['source']}\n{row['event_id']}"[:300].replace("\x00", ""),
        row["anchor"],
        by=row["source"],
        note=_first(said, ("reason", "carrier")) or "",
        amount_fen=abs(row["value_fen"]),
        ref=ref or "",
        end=row["end"],
        list_fen=_money(said, ("list_fen",), ("list_price",)),
        payable_fen=_money(said, ("payable_fen",), ("total",)),
        lines=_lines(said) if name in (EVENT[State.CREATED], EVENT[State.PAID]) else (),
        again=bool(row.get("again")),
        nothing=name == EVENT[State.REFUNDED] and named_fen(row["name"], said) == 0,
    )


def _first(said: Mapping[str, Any], names: Iterable[str]) -> str | None:
    for name in names:
        value = said.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            text = str(value).replace("\x00", "").strip()[:_CHARS_MAX]
            if text:
                return text
    return None


def _money(said: Mapping[str, Any], in_fen: Iterable[str], in_yuan: Iterable[str]) -> int:
    amount = _number(said, in_fen, 1)
    return abs((_number(said, in_yuan, 100) if amount is None else amount) or 0)


def _number(said: Mapping[str, Any], names: Iterable[str], unit: int) -> int | None:
    numbers = (fen(said.get(name), unit_fen=unit) for name in names)
    return next((number for number in numbers if number is not None), None)


def _lines(said: Mapping[str, Any]) -> tuple[Line, ...]:
    items = listed_lines(said) or [said]
    return tuple(line for one in items[:LINES_MAX] if (line := _line(one)) is not None)


def _line(one: Mapping[str, Any]) -> Line | None:
    sku = _first(one, _SKU)
    name = _first(one, _NAME)
    if sku is None and name is None:
        return None
    quantity = _number(one, commerce.QUANTITY, 1) or 0
    quantity = quantity if 0 < quantity <= _QUANTITY_MAX else 1
    price = _money(one, commerce.PRICE_FEN, commerce.PRICE_YUAN)
    category = _first(one, commerce.CATEGORY) or ""
    return Line(sku or name or "", quantity, price, price * quantity, name or "", category=category)


def merged(known: Iterable[Told], more: Iterable[Told]) -> tuple[Told, ...]:
    """Steps without repetitions, in the order of time; of equal ones the earliest whose money counts in figures. Of too
    many the earliest stay."""
    first: dict[str, Told] = {}
    for one in sorted((*known, *more), key=lambda one: (one.again, *_place(one))):
        first.setdefault(one.key, one)
    return tuple(sorted(first.values(), key=_place)[:TOLD_MAX])


def _place(one: Told) -> tuple[datetime, str, bytes]:
    return one.at, one.key, msgspec.json.encode(one)


def order_of(about: About, told: Sequence[Told]) -> Order:
    """The order that these steps (merged; one at least) make."""
    by_state: dict[State, list[Told]] = {}
    for one in told:
        by_state.setdefault(STEPS[one.name], []).append(one)
    paid = sum(one.amount_fen for one in by_state.get(State.PAID, ()))
    backs = by_state.get(State.REFUNDED, ())
    all_of = any(one.gives_all for one in backs)
    refunded = min(paid, paid if all_of else sum(one.amount_fen for one in backs))
    payable = next((one.payable_fen for one in told if one.payable_fen), paid)
    lines = next((one.lines for one in told if one.lines), ())
    listed = max(payable, *(one.list_fen for one in told), sum(line.list_fen for line in lines))
    if lines and sum(line.list_fen for line in lines):
        lines = with_shares(lines, min(payable, sum(line.list_fen for line in lines)))
    return Order(
        0, 1, about.source, about.order_id, told[0].anchor, next((one.end for one in told if one.end), ""),
        _state(by_state, paid, refunded), listed, payable, paid, refunded, lines, (),
        tuple(Step(one.name, one.at, one.by, one.note, one.amount_fen, one.ref) for one in told),
        told[0].at, None, None, None,
    )  # fmt: skip


def rest_of(told: Sequence[Told]) -> int:
    """Of an order that is cancelled, or of which a refund that says no amount gives back all, what was paid and not
    told back, fen; 0 of any other. Such a refund moved no money in any figure, so it is none here."""
    if not any(_ends(one) for one in told):
        return 0
    paid = sum(one.amount_fen for one in told if one.name == EVENT[State.PAID])
    back = sum(one.amount_fen for one in told if one.name == EVENT[State.REFUNDED])
    return max(0, paid - back)


def _ends(one: Told) -> bool:
    return one.name == EVENT[State.CANCELLED] or one.gives_all


def counted_of(told: Sequence[Told]) -> int:
    """What figures have of an order, fen: paid less given back, without what was told again."""
    sign = {EVENT[State.PAID]: 1, EVENT[State.REFUNDED]: -1}
    return sum(sign.get(one.name, 0) * one.amount_fen for one in told if not one.again)


def voided(about: About, told: Sequence[Told], rest_fen: int, before: int) -> Event:
    """What tells of the rest of an order that ended, under who paid, from the instant on at which both were known to
    have happened. `before`: fen that were told of it already."""
    paid = next(one for one in told if one.name == EVENT[State.PAID])
    at = max(one.at for one in told if one.name == EVENT[State.PAID] or _ends(one))
    said: dict[str, Any] = {"order_id": about.order_id, "refund_fen": rest_fen}
    if about.source != UNNAMED:
        said["shop"] = about.source
    number = derived_key("voided", about.source, about.order_id, before)
    return Event(f"voided/{number}", ORDER_VOIDED, at, said, paid.anchor, end=paid.end, source=SOURCE)


def _state(by_state: Mapping[State, Sequence[Told]], paid: int, refunded: int) -> State:
    if State.CANCELLED in by_state:
        return State.CANCELLED
    if State.REFUNDED in by_state and refunded == paid and paid:
        return State.REFUNDED
    return max((state for state in by_state if state in CHAIN), key=CHAIN.index, default=State.CREATED)


def pack(rows: pa.Table) -> bytes:
    """Rows of HEARD as one blob."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, HEARD, options=pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)) as out:
        out.write_table(rows)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def unpack(blob: bytes) -> pa.Table:
    """Inverse of `pack`."""
    with pa.ipc.open_stream(pa.BufferReader(blob), options=pa.ipc.IpcReadOptions(use_threads=False)) as reader:
        return reader.read_all()
