"""Traits (属性): what a person is said to be, as a pure fold over an append-only log of operations.

The rule in one sentence: the traits of a person are what one gets by carrying out all operations of all member
identifiers one after another in the order of event time. Arrival, duplicates and merges therefore cannot matter.

Canonical order: (event time, operation, event id, source, identifier). Operations of one instant are carried out in the
order of their codes, whichever event brought them: set_once, set, append, increment, unset, delete. SDKs send several
messages of one millisecond, and the ids of events know nothing of what the caller meant (decision 0440).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Set
from enum import IntEnum
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec

from siyu.profile.catalogue import BUILT_IN, Declared, coerce

NAME_CHARS_MAX: Final = 100
VALUE_BYTES_MAX: Final = 8 * 1024
TRAITS_MAX: Final = 1_000
"""Traits of one person that are shown: the first ones in the order of their names."""
LIST_ITEMS_MAX: Final = 1_000

_encode = msgspec.json.Encoder(order="deterministic").encode


class Op(IntEnum):
    """What an operation does, and its place among those of one instant."""

    SET_ONCE = 1
    SET = 2
    APPEND = 3
    INCREMENT = 4
    UNSET = 5
    DELETE = 6


BARRIERS: Final = (Op.DELETE, Op.SET, Op.UNSET)
"""Operations after which nothing earlier matters: a read may start at the newest of them."""


class TraitOp(NamedTuple):
    """One operation of one event. `name` is empty for `delete`, which concerns all names."""

    at_ms: int
    event_id: str
    source: str
    op: Op
    anchor: int
    name: str
    value: Any = None


class TraitEffects(msgspec.Struct, omit_defaults=True, frozen=True):
    """The trait operations of one event, as the log keeps them."""

    set: dict[str, Any] = {}
    set_once: dict[str, Any] = {}
    append: dict[str, list[Any]] = {}
    increment: dict[str, float] = {}
    unset: list[str] = []
    delete: bool = False

    def items(self) -> Iterator[tuple[str, Any]]:
        """(name, value) of every operation but delete; unset has None."""
        for values in (self.set_once, self.set, self.append, self.increment):
            yield from values.items()
        for name in self.unset:
            yield name, None

    def names(self) -> Iterator[str]:
        """The traits concerned, perhaps more than once."""
        yield from chain(self.set_once, self.set, self.append, self.increment, self.unset)

    def without(self, names: Set[str]) -> TraitEffects:
        """The same without the operations on `names`."""
        kept = {
            field: {name: value for name, value in getattr(self, field).items() if name not in names}
            for field in ("set", "set_once", "append", "increment")
        }
        return TraitEffects(**kept, unset=[name for name in self.unset if name not in names], delete=self.delete)


NO_TRAITS: Final = TraitEffects()


class TraitEvent(NamedTuple):
    """One event of the log, its operations not yet taken apart."""

    at_ms: int
    event_id: str
    source: str
    anchor: int
    ops: TraitEffects

    def operations(self) -> Iterator[TraitOp]:
        """Its operations, one each."""
        ops = self.ops
        place = self.at_ms, self.event_id, self.source
        if ops.delete:
            yield TraitOp(*place, Op.DELETE, self.anchor, "")
        for op, values in ((Op.SET_ONCE, ops.set_once), (Op.SET, ops.set), (Op.APPEND, ops.append)):
            for name, value in values.items():
                yield TraitOp(*place, op, self.anchor, name, value)
        for name, number in ops.increment.items():
            yield TraitOp(*place, Op.INCREMENT, self.anchor, name, number)
        for name in ops.unset:
            yield TraitOp(*place, Op.UNSET, self.anchor, name)


class TraitValue(NamedTuple):
    """A trait as it stands: the value, and the event that gave it its last change."""

    value: Any
    at_ms: int
    event_id: str
    problem: str = ""
    """Why the value could not be brought to its declared type (it is then kept as sent), else empty."""


def fold(ops: Iterable[TraitOp], declared: Mapping[str, Declared] = BUILT_IN) -> dict[str, TraitValue]:
    """The traits that `ops` leave, by name. Pure: any order, any duplicates of `ops` give the same answer.

    set: takes the value. set_once: only where no value stands at that time. increment: adds to the number that stands
    (0 where none stands; another type stays as it is). append: joins the list that stands, without repeats (a single
    value becomes a list of one). unset, and set to null: no value from then on. delete: the same for all names."""
    traits: dict[str, TraitValue] = {}
    for op in sorted({op[:6]: op for op in ops}.values(), key=_order):
        if op.op is Op.DELETE:
            traits.clear()
        elif (after := _apply(traits.get(op.name), op, declared.get(op.name))) is None:
            traits.pop(op.name, None)
        else:
            traits[op.name] = after
    return {name: traits[name] for name in sorted(traits)[:TRAITS_MAX]}


def superseded(events: Iterable[TraitEvent]) -> list[TraitEvent]:
    """Those of one identifier's events that can never matter again, whatever else arrives, late or not: each of their
    operations has a later barrier (set, unset, delete) on the same name."""
    later: set[str] = set()
    all_later = False
    alive: set[tuple[int, str, str]] = set()
    known = {event[:3]: event for event in events}
    for op in sorted((op for event in known.values() for op in event.operations()), key=_order, reverse=True):
        if not (all_later or op.name in later):
            alive.add(op[:3])
        if op.op is Op.DELETE:
            all_later = True
        elif op.op in BARRIERS:
            later.add(op.name)
    return [event for place, event in known.items() if place not in alive]


def _order(op: TraitOp) -> tuple[Any, ...]:
    return op.at_ms, op.op, op.event_id, op.source, op.anchor, op.name


def _apply(before: TraitValue | None, op: TraitOp, declared: Declared | None) -> TraitValue | None:
    """The trait after one operation; None = no value."""
    if op.op is Op.UNSET or (op.op is Op.SET and op.value is None):
        return None
    if op.op is Op.SET_ONCE and (before is not None or op.value is None):
        return before
    if op.op is Op.INCREMENT:
        return _increment(before, op)
    if op.op is Op.APPEND:
        return _append(before, op)
    value, problem = coerce(declared, op.value)
    return TraitValue(value, op.at_ms, op.event_id, problem)


def _increment(before: TraitValue | None, op: TraitOp) -> TraitValue | None:
    old = 0 if before is None else before.value
    if not is_number(old) or not is_number(op.value):
        return before
    new = old + op.value
    if isinstance(new, float):
        if not math.isfinite(new):
            return before
        if new.is_integer() and abs(new) < 2**53:
            new = int(new)
    return TraitValue(new, op.at_ms, op.event_id)


def _append(before: TraitValue | None, op: TraitOp) -> TraitValue | None:
    if before is None:
        old: list[Any] = []
    else:
        old = before.value if isinstance(before.value, list) else [before.value]
    items = op.value if isinstance(op.value, list) else [op.value]
    # Keyed by JSON text: in Python True == 1 == 1.0, in JSON they are three values.
    union: dict[bytes, Any] = {}
    for item in (*old, *items):
        union.setdefault(_encode(item), item)
    joined = list(union.values())
    problem = "" if len(joined) <= LIST_ITEMS_MAX else "LIST_TOO_LONG"
    return TraitValue(joined[:LIST_ITEMS_MAX], op.at_ms, op.event_id, problem)


def is_number(value: object) -> bool:
    """Whether `value` is a finite number (a bool is none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
