"""Traits: whatever the order, the repetition and the partition over identifiers, the same operations leave the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.collect.event import Effects
from siyu.profile.catalogue import BUILT_IN, Declared, coerce, declared_of
from siyu.profile.change import ProfileChange, rows_of
from siyu.profile.facts import decode_ops
from siyu.profile.trait import (
    LIST_ITEMS_MAX,
    NAME_CHARS_MAX,
    TRAITS_MAX,
    VALUE_BYTES_MAX,
    Op,
    TraitEffects,
    TraitEvent,
    TraitOp,
    fold,
    superseded,
)

NAMES = st.sampled_from(["city", "age", "pets", "x"])
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["a", "18", "广州", 0.5]))
EFFECTS = st.builds(
    TraitEffects,
    set=st.dictionaries(NAMES, VALUES, max_size=2),
    set_once=st.dictionaries(NAMES, VALUES, max_size=2),
    append=st.dictionaries(NAMES, st.lists(VALUES, max_size=2), max_size=1),
    increment=st.dictionaries(NAMES, st.integers(-2, 2), max_size=1),
    unset=st.lists(NAMES, max_size=1),
    delete=st.sampled_from([False, False, False, True]),
)


@st.composite
def logs(draw: st.DrawFn) -> list[TraitEvent]:
    """Events with distinct ids, many at equal times, over a few identifiers."""
    several = draw(st.lists(EFFECTS, max_size=12))
    return [
        TraitEvent(draw(st.integers(0, 4)), f"e{n}", "wk", draw(st.integers(1, 3)), effects)
        for n, effects in enumerate(several)
    ]


def ops_of(events: list[TraitEvent]) -> list[TraitOp]:
    return [op for event in events for op in event.operations()]


def one_by_one(events: list[TraitEvent]) -> dict[str, Any]:
    """The slow and obvious reading: instant after instant, kind after kind, on values only, nothing declared."""
    values: dict[str, Any] = {}
    for at_ms in sorted({event.at_ms for event in events}):
        instant = sorted((one for one in events if one.at_ms == at_ms), key=lambda event: event.event_id)
        for name, value in [pair for event in instant for pair in event.ops.set_once.items()]:
            if name not in values and value is not None:
                values[name] = value
        for name, value in [pair for event in instant for pair in event.ops.set.items()]:
            values[name] = value
            if value is None:
                del values[name]
        for name, items in [pair for event in instant for pair in event.ops.append.items()]:
            old = values.get(name, [])
            union: list[Any] = []
            for item in [*(old if isinstance(old, list) else [old]), *items]:
                if msgspec.json.encode(item) not in [msgspec.json.encode(one) for one in union]:
                    union.append(item)
            values[name] = union
        for name, number in [pair for event in instant for pair in event.ops.increment.items()]:
            old = values.get(name, 0)
            if isinstance(old, int | float) and not isinstance(old, bool):
                values[name] = old + number
        for name in [name for event in instant for name in event.ops.unset]:
            values.pop(name, None)
        if any(event.ops.delete for event in instant):
            values = {}
    return values


@given(logs(), st.randoms(use_true_random=False), st.data())
def test_order_and_repetition_do_not_matter(events: list[TraitEvent], random: Any, data: st.DataObject) -> None:
    ops = ops_of(events)
    again = ops + (data.draw(st.lists(st.sampled_from(ops), max_size=5)) if ops else [])
    random.shuffle(again)
    assert fold(again) == fold(ops)


@given(logs())
def test_the_fold_is_the_obvious_reading(events: list[TraitEvent]) -> None:
    folded = fold(ops_of(events), {})
    assert msgspec.json.encode(
        {name: one.value for name, one in folded.items()}, order="sorted"
    ) == msgspec.json.encode(one_by_one(events), order="sorted")


@given(logs(), logs())
def test_what_is_superseded_never_matters_again(events: list[TraitEvent], late: list[TraitEvent]) -> None:
    """Also when anything arrives later, for any time, on the same or another identifier."""
    gone = [dead for anchor in (1, 2, 3) for dead in superseded([one for one in events if one.anchor == anchor])]
    kept = [event for event in events if not any(event is dead for dead in gone)]
    later = [event._replace(event_id="late" + event.event_id) for event in late]
    assert fold(ops_of(kept + later)) == fold(ops_of(events + later))


@given(logs())
def test_merging_and_splitting_is_exact(events: list[TraitEvent]) -> None:
    """A person's traits need the members' logs only: after an undo each part has what it had before."""
    parts = [[event for event in events if event.anchor == anchor] for anchor in (1, 2, 3)]
    before = [fold(ops_of(part)) for part in parts]
    assert fold(ops_of([event for part in parts for event in part])) == fold(ops_of(events))
    assert [fold(ops_of(part)) for part in parts] == before


@pytest.mark.parametrize("ids", ["abcdef", "fedcba"])
def test_messages_of_one_millisecond_do_what_their_sender_meant(ids: str) -> None:
    """The Python SDK's BatchConsumer and the mini-program stamp several calls with the same millisecond."""
    several = [
        TraitEffects(set={"age": 3, "tags": ["a"], "gone": 1}),
        TraitEffects(set_once={"age": 9}),
        TraitEffects(increment={"age": 2}),
        TraitEffects(append={"tags": ["b"]}),
        TraitEffects(unset=["gone"]),
    ]
    log = [TraitEvent(5, event_id, "wk", 1, ops) for event_id, ops in zip(ids, several, strict=False)]
    assert {name: one.value for name, one in fold(ops_of(log)).items()} == {"age": 5, "tags": ["a", "b"]}
    assert fold(ops_of([*log, TraitEvent(5, ids[5], "wk", 1, TraitEffects(delete=True))])) == {}


def test_late_events_take_their_place_in_time() -> None:
    def op(at: int, kind: Op, value: Any = None) -> TraitOp:
        return TraitOp(at, f"e{at}", "wk", kind, 1, "n", value)

    assert fold([op(3, Op.SET, 3), op(1, Op.SET, 1)])["n"].value == 3
    assert fold([op(3, Op.SET_ONCE, 3), op(1, Op.SET_ONCE, 1)])["n"] == (1, 1, "e1", "")
    assert fold([op(2, Op.SET_ONCE, "once"), op(1, Op.SET, "set")])["n"].value == "set"
    assert fold([op(3, Op.INCREMENT, 5), op(2, Op.SET, 10), op(1, Op.INCREMENT, 100)])["n"].value == 15
    assert fold([op(2, Op.UNSET), op(3, Op.SET_ONCE, 1)])["n"].value == 1
    assert fold([op(4, Op.SET, None), op(3, Op.SET, 1)]) == {}
    assert fold([op(2, Op.DELETE)._replace(name=""), op(1, Op.SET, 1), op(3, Op.INCREMENT, 1)])["n"].value == 1


def test_what_cannot_be_added_changes_nothing() -> None:
    def op(at: int, kind: Op, value: Any) -> TraitOp:
        return TraitOp(at, f"e{at}", "wk", kind, 1, "n", value)

    assert fold([op(1, Op.SET, "text"), op(2, Op.INCREMENT, 1)])["n"].value == "text"
    assert fold([op(1, Op.SET, 1e308), op(2, Op.INCREMENT, 1e308)])["n"].value == 1e308
    assert fold([op(1, Op.SET, True), op(2, Op.INCREMENT, 1)])["n"].value is True
    assert fold([op(1, Op.SET, "18"), op(2, Op.INCREMENT, 1)], {"n": Declared("number", "", "")})["n"].value == 19


def test_limits_hold_and_are_reported() -> None:
    many = [TraitOp(1, "e", "wk", Op.SET, 1, f"n{n:05}", n) for n in range(TRAITS_MAX + 5)]
    assert list(fold(many)) == [f"n{n:05}" for n in range(TRAITS_MAX)]
    long = fold([TraitOp(1, "e", "wk", Op.APPEND, 1, "n", list(range(LIST_ITEMS_MAX + 1)))])["n"]
    assert (len(long.value), long.problem) == (LIST_ITEMS_MAX, "LIST_TOO_LONG")
    sent = Effects(set={"a" * (NAME_CHARS_MAX + 1): 1, "big": "x" * VALUE_BYTES_MAX, "ok": 1, "": 2})
    rows = rows_of([ProfileChange(1, 0, "e", "wk", "web", sent)])
    assert decode_ops(rows.traits[0].ops).set == {"ok": 1}
    assert sorted(one.code for one in rows.problems) == ["TRAIT_TOO_LARGE", "WRONG_TRAIT_NAME", "WRONG_TRAIT_NAME"]


@given(
    st.dictionaries(st.text(max_size=120), st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3)), max_size=4)
)
def test_what_is_taken_comes_back_as_sent(sent: dict[str, Any]) -> None:
    rows = rows_of([ProfileChange(1, 0, "e\x00", "wk", "web", Effects(set=sent))])
    taken = decode_ops(rows.traits[0].ops).set if rows.traits else {}
    refused = [name for name in sent if not 0 < len(name) <= NAME_CHARS_MAX]
    assert taken == {name: value for name, value in sent.items() if name not in refused}
    assert len(rows.problems) == len(refused)
    assert all("\x00" not in str(row.event_id) + str(row.label) for row in rows.traits)


@pytest.mark.parametrize(
    ("type_", "sent", "meant"),
    [
        ("number", "18", 18),
        ("number", " 1,234.50 ", 1234.5),
        ("number", "1e3", 1000.0),
        ("bool", "是", True),
        ("bool", 0, False),
        ("date", "1990-5-1", "1990-05-01"),
        ("date", "19900501", "1990-05-01"),
        ("date", "1990年5月1日", "1990-05-01"),
        ("date", "1990/05/01 00:00:00", "1990-05-01"),
        ("date", "1990-04-30T16:00:00.000Z", "1990-05-01"),
        ("date", 641491200, "1990-05-01"),
        ("date", 641491200000, "1990-05-01"),
        ("datetime", "2026-01-01 08:00:00.7", "2026-01-01T00:00:00.700Z"),
        ("datetime", "2026-01-01T08:00:00+08:00", "2026-01-01T00:00:00.000Z"),
        ("gender", "女", "female"),
        ("gender", 1, "male"),
        ("phone", "138 0013 8000", "+8613800138000"),
        ("email", " A@B.cn ", "a@b.cn"),
        ("string", 5, "5"),
        ("string", True, "true"),
        ("list", "cat", ["cat"]),
    ],
)
def test_values_come_to_their_declared_type(type_: Any, sent: Any, meant: Any) -> None:
    assert coerce(Declared(type_, "", ""), sent) == (meant, "")


@pytest.mark.parametrize(
    ("type_", "sent"),
    [
        ("number", "eighteen"), ("number", True), ("number", [1]), ("bool", "maybe"), ("date", "1990-13-01"),
        ("date", "soon"), ("date", 1e300), ("datetime", "2026-01-01 25:00"), ("gender", "x"), ("phone", "12"),
        ("email", "nobody"), ("string", {"a": 1}),
    ],
)  # fmt: skip
def test_what_does_not_fit_stays_as_sent_and_says_so(type_: Any, sent: Any) -> None:
    value, problem = coerce(Declared(type_, "", ""), sent)
    assert value == sent and problem.startswith("NOT_A")


@given(
    st.sampled_from(sorted({one.type for one in BUILT_IN.values()} | {"number"})),
    st.one_of(st.text(max_size=30), st.floats(), st.integers(), st.booleans(), st.lists(st.integers(), max_size=2)),
)
def test_coercion_never_fails_and_is_settled_after_one_time(type_: Any, sent: Any) -> None:
    declared = Declared(type_, "", "")
    value, problem = coerce(declared, sent)
    if not problem:
        assert coerce(declared, value) == (value, "")


def test_the_brands_declarations_stand_over_the_built_in_ones() -> None:
    catalogue = declared_of([("level", "number", "级", "Level"), ("odd", "nonsense", "", "")])
    assert catalogue["level"].type == "number" and "odd" not in catalogue and catalogue["phone"].type == "phone"
