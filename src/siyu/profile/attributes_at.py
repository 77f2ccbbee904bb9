"""Attributes of many persons, each at instants of their own. What does not age is read of each person once; what does
(lifecycle, RFM, days to the birthday, identities) is worked out for every instant from what is read once.

Agrees with `attributes.columns` asked at each of the instants.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from itertools import accumulate
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import numpy as np

from siyu.ids import base_kind
from siyu.profile import attribute_records as records
from siyu.profile.attributes import BIRTHDAY, columns, days_to_birthday
from siyu.profile.change import instant
from siyu.profile.lifecycle import Thresholds, stage
from siyu.profile.portrait import LIFECYCLE_FIGURE, RFM_FIGURE
from siyu.profile.rfm import NO_CUTS, Cuts, rfm
from siyu.rules.window import Setting, epoch_ms

_RFM: Final = "rfm."
_READ_FOR: Final = {"lifecycle": ("first_seen", "last_seen"), "birthday_in_days": (f"trait.{BIRTHDAY}",)}
_RFM_READS: Final = ("rfm.frequency", "rfm.monetary_fen")
_PER_LOOK: Final = ("lifecycle", "birthday_in_days", "identities")

Values: TypeAlias = dict[str, Any]
Worked: TypeAlias = Callable[[int, Setting], Any]
"""An attribute of a person at an instant; None: they have none."""


async def attributes_at(
    connection: Any, names: Collection[str], looks: Sequence[tuple[int, Setting]], anchors: Sequence[int]
) -> list[Values]:
    """The attributes that the person of each look has at its instant; `anchors`: all identifiers of these persons.

    `connection`: raw asyncpg. Unknown names have no values."""
    aging = [name for name in names if name in _PER_LOOK or (name.startswith(_RFM) and name not in _RFM_READS)]
    static = {*names, *(more for name in aging for more in _READ_FOR.get(name, ()))} - set(aging)
    if any(name.startswith(_RFM) for name in aging):
        static |= set(_RFM_READS)
    if not looks or not (static or aging):
        return [{} for _ in looks]
    known = await _of_persons(connection, static, looks[0][1], anchors)
    worked = await _working(connection, aging, known, anchors)
    found = []
    for person, setting in looks:
        mine = {name: value for name, value in known[person].items() if name in names}
        for name, work in worked.items():
            if (value := work(person, setting)) is not None:
                mine[name] = value
        found.append(mine)
    return found


async def _of_persons(
    connection: Any, names: Collection[str], setting: Setting, anchors: Sequence[int]
) -> defaultdict[int, Values]:
    found: defaultdict[int, Values] = defaultdict(dict)
    if names:
        for name, column in (await columns(connection, names, setting, anchors)).items():
            for person, code in zip(column.persons.tolist(), column.codes.tolist(), strict=True):
                found[person][name] = column.values[code]
    return found


async def _working(
    connection: Any, names: Sequence[str], known: defaultdict[int, Values], anchors: Sequence[int]
) -> dict[str, Worked]:
    worked: dict[str, Worked] = {}
    if "birthday_in_days" in names:
        worked["birthday_in_days"] = lambda person, setting: days_to_birthday(
            known[person].get(f"trait.{BIRTHDAY}"), setting.today
        )
    if "identities" in names:
        worked["identities"] = _identities(await records.kind_spans(connection, anchors))
    scores = [name for name in names if name.startswith(_RFM)]
    if not scores and "lifecycle" not in names:
        return worked
    figures = await records.figures(connection)
    bought = _bought(*await records.purchases(connection, anchors))
    if "lifecycle" in names:
        limits = msgspec.json.decode(figures.get(LIFECYCLE_FIGURE, "{}"), type=Thresholds)
        worked["lifecycle"] = _lifecycle(known, bought, limits)
    cuts = msgspec.json.decode(figures[RFM_FIGURE], type=Cuts) if RFM_FIGURE in figures else NO_CUTS
    return worked | {name: _score(name.removeprefix(_RFM), known, bought, cuts) for name in scores}


def _identities(rows: Sequence[tuple[int, str, int | None]]) -> Worked:
    kinds: dict[int, list[tuple[str, int | None]]] = defaultdict(list)
    for person, kind, until_ms in rows:
        kinds[person].append((kind, until_ms))

    def work(person: int, setting: Setting) -> list[str] | None:
        now = {kind for kind, until_ms in kinds.get(person, ()) if until_ms is None or until_ms > setting.now_ms}
        return sorted({*now, *map(base_kind, now)}) or None

    return work


class _Bought(NamedTuple):
    """What a person bought and gave back, by time."""

    at_ms: Sequence[int]
    fen_before: Sequence[int]
    """The sum of all before each place."""
    orders_before: Sequence[int]

    @property
    def last_ms(self) -> int | None:
        """When something was bought last; None: never."""
        place = bisect_left(self.orders_before, self.orders_before[-1]) - 1
        return self.at_ms[place] if place >= 0 else None


_NOTHING: Final = _Bought((), (0,), (0,))


def _bought(persons: records.Ints, at_ms: records.Ints, fen: records.Ints) -> dict[int, _Bought]:
    different, first, often = np.unique(persons, return_index=True, return_counts=True)
    found = {}
    for person, start, end in zip(different.tolist(), first.tolist(), (first + often).tolist(), strict=True):
        mine = fen[start:end].tolist()
        orders = accumulate((int(one >= 0) for one in mine), initial=0)
        found[person] = _Bought(at_ms[start:end].tolist(), list(accumulate(mine, initial=0)), list(orders))
    return found


def _lifecycle(known: defaultdict[int, Values], bought: dict[int, _Bought], limits: Thresholds) -> Worked:
    window = timedelta(days=limits.vip_window_days)

    def work(person: int, setting: Setting) -> str | None:
        if (last := known[person].get("last_seen")) is None:
            return None
        mine = bought.get(person, _NOTHING)
        place = bisect_left(mine.at_ms, epoch_ms(setting.now - window))
        spent, orders = (sums[-1] - sums[place] for sums in (mine.fen_before, mine.orders_before))
        return stage(setting.now_ms - last, setting.now_ms - known[person]["first_seen"], spent, orders, limits)

    return work


def _score(name: str, known: defaultdict[int, Values], bought: dict[int, _Bought], cuts: Cuts) -> Worked:
    def work(person: int, setting: Setting) -> int | None:
        if (last_ms := bought.get(person, _NOTHING).last_ms) is None:
            return None
        mine = known[person]
        day = instant(last_ms).astimezone(setting.zone).date()
        scored = rfm(day, mine["rfm.frequency"], mine["rfm.monetary_fen"], setting.today, cuts)
        value: int | None = getattr(scored, name, None)
        return value

    return work
