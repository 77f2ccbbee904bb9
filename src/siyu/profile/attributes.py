"""What rules may ask of a person's profile, and its values for many persons at once.

Values are those of the portrait.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from siyu.ids import base_kind
from siyu.profile import attribute_records as records
from siyu.profile.catalogue import Declared, coerce, declared_of
from siyu.profile.change import instant
from siyu.profile.consent import Decision, allows, fold_consent
from siyu.profile.facts import decode_fields, decode_ops
from siyu.profile.lifecycle import DAY_MS, Thresholds
from siyu.profile.portrait import LIFECYCLE_FIGURE, RFM_FIGURE
from siyu.profile.records import read_declared
from siyu.profile.rfm import NO_CUTS, Cuts
from siyu.profile.trait import TraitEffects, TraitEvent, TraitOp, fold
from siyu.rules.vocabulary import AttributeKind, Choice
from siyu.rules.window import Setting

STAGES: Final = (
    Choice("new", "新客", "new"),
    Choice("active", "活跃", "active"),
    Choice("vip", "VIP", "VIP"),
    Choice("sleeping", "沉睡", "sleeping"),
    Choice("lost", "流失", "lost"),
)
IDENTIFIERS: Final = (
    Choice("user_id", "用户 ID", "user ID"),
    Choice("unionid", "UnionID", "UnionID"),
    Choice("external_userid", "企业微信客户", "WeCom contact"),
    Choice("openid", "OpenID", "OpenID"),
    Choice("member_card", "会员卡", "member card"),
    Choice("phone", "手机号", "phone"),
    Choice("email", "邮箱", "email"),
    Choice("anonymous_id", "匿名 ID", "anonymous ID"),
    Choice("device", "设备", "device"),
)
ATTRIBUTES: Final = (
    AttributeKind("trait.", "属性", "trait", open=True),
    AttributeKind("tags", "标签", "tags", "list"),
    AttributeKind("consent.", "授权", "consent", open=True),
    AttributeKind("lifecycle", "生命周期", "lifecycle", ages=True, choices=STAGES, closed=True),
    AttributeKind("rfm.r", "RFM 的 R 分", "RFM recency score", ages=True, number=True, limits=(1, 5)),
    AttributeKind("rfm.f", "RFM 的 F 分", "RFM frequency score", ages=True, number=True, limits=(1, 5)),
    AttributeKind("rfm.m", "RFM 的 M 分", "RFM money score", ages=True, number=True, limits=(1, 5)),
    AttributeKind("rfm.recency_days", "距上次购买天数", "days since last purchase", ages=True, number=True),
    AttributeKind("rfm.frequency", "购买天数", "purchase days", default=0, number=True),
    AttributeKind("rfm.monetary_fen", "累计净消费", "RFM net spend", default=0, number=True, money=True),
    AttributeKind("identities", "身份", "identities", "list", choices=IDENTIFIERS),
    AttributeKind("birthday_in_days", "距生日天数", "days to birthday", ages=True, number=True),
    AttributeKind("first_seen", "首次出现", "first seen", "time"),
    AttributeKind("last_seen", "最近出现", "last seen", "time"),
    AttributeKind("first_touch_at", "首次触点时间", "first touch time", "time"),
    AttributeKind("last_touch_at", "最近触点时间", "last touch time", "time"),
    AttributeKind("first_touch.", "首次触点", "first touch", open=True),
    AttributeKind("last_touch.", "最近触点", "last touch", open=True),
)
"""`consent.PURPOSE` or `consent.PURPOSE.CHANNEL`; `first_touch.FIELD` with the fields of touches and `end`."""

Values: TypeAlias = dict[int, Any]
Ints: TypeAlias = npt.NDArray[np.int64]


class Column(NamedTuple):
    """An attribute of many persons: `values[codes[n]]` is that of `persons[n]`; who is missing has none."""

    persons: Ints
    codes: Ints
    values: Sequence[Any]


def column_of(values: Values) -> Column:
    """Person → value as a column."""
    keys: Sequence[Any] = list(values.values())
    if set(map(type, keys)) not in ({str}, {int}, {bool}):
        # True == 1 == 1.0 in Python, not in a rule; lists and objects have no hash.
        keys = [(type(value), repr(value) if isinstance(value, list | dict) else value) for value in keys]
    different: dict[Any, Any] = dict(zip(keys, values.values(), strict=True))
    numbers = dict(zip(different, range(len(different)), strict=True))
    codes = np.fromiter(map(numbers.__getitem__, keys), np.int64, len(keys))
    return Column(np.fromiter(values, np.int64, len(values)), codes, list(different.values()))


def _grouped(groups: Iterable[tuple[Any, Sequence[int]]]) -> Column:
    """(value, persons who have it) as a column; nobody is in two groups."""
    known = list(groups)
    persons = [np.array(members, np.int64) for _, members in known]
    codes = np.repeat(np.arange(len(known)), [len(members) for members in persons])
    return Column(np.concatenate([np.zeros(0, np.int64), *persons]), codes, [value for value, _ in known])


def _numbers(persons: Ints, figures: Ints) -> Column:
    different, codes = np.unique(figures, return_inverse=True)
    return Column(persons, codes, different.tolist())


BIRTHDAY: Final = "birthday"


class _Wanted(NamedTuple):
    """What is asked for: attribute names, when and where, and of which identifiers (None: all)."""

    names: Sequence[str]
    setting: Setting
    anchors: Sequence[int] | None

    def tails(self, family: str) -> list[str]:
        """What stands after `family` in the names that belong to it."""
        return [name.removeprefix(family) for name in self.names if name.startswith(family)]


async def columns(
    connection: Any, names: Iterable[str], setting: Setting, anchors: Sequence[int] | None = None
) -> dict[str, Column]:
    """The values of attributes by name; `anchors`: only of who has these identifiers, all of theirs.

    `connection`: a raw asyncpg connection. Unknown names have no values."""
    wanted = _Wanted(sorted(names), setting, anchors)
    found = dict.fromkeys(wanted.names, column_of({}))
    for read in (_traits, _tags, _consents, _identities, _touches):
        values = await read(connection, wanted)
        for name in found.keys() & values.keys():
            of_each = values[name]
            found[name] = of_each if isinstance(of_each, Column) else await asyncio.to_thread(column_of, of_each)
    return found | await _seen_and_bought(connection, wanted)


async def _traits(connection: Any, wanted: _Wanted) -> dict[str, Values]:
    names = set(wanted.tails("trait."))
    aged = "birthday_in_days" in wanted.names
    if aged:
        names.add(BIRTHDAY)
    if not names:
        return {}
    declared = declared_of(await read_declared(connection))
    rows = await records.trait_rows(connection, sorted(names), wanted.anchors)
    found = await asyncio.to_thread(_folded, rows, names, declared)
    columns = {f"trait.{name}": column for name, column in found.items()}
    if aged:
        today = wanted.setting.today
        days = {person: days_to_birthday(value, today) for person, value in found[BIRTHDAY].items()}
        columns["birthday_in_days"] = {person: number for person, number in days.items() if number is not None}
    return columns


def _folded(log: records.Traits, names: Set[str], declared: Mapping[str, Declared]) -> dict[str, Values]:
    """The traits `names` of each person."""
    found: dict[str, Values] = {name: {} for name in names}

    @lru_cache(100_000)
    def told_once(text: str) -> list[tuple[Values, Any]] | None:
        """What an event sets, brought to its types; None: it does more than set."""
        if not _only_sets(only := decode_ops(text)):
            return None
        brought = ((name, coerce(declared.get(name), only.set[name])[0]) for name in names & only.set.keys())
        return [(found[name], value) for name, value in brought if value is not None]

    persons, first, count = np.unique(log.persons, return_index=True, return_counts=True)
    alone = np.zeros(len(log.persons), np.bool_)
    for person, row in zip(persons[count == 1].tolist(), first[count == 1].tolist(), strict=True):
        # Most persons were told of once: nothing to fold.
        if (told := told_once(log.ops[row])) is not None:
            alone[row] = True
            for values, value in told:
                values[person] = value
    several: dict[int, list[TraitOp]] = defaultdict(list)
    for row in np.flatnonzero(~alone).tolist():
        ops = decode_ops(log.ops[row])
        event = TraitEvent(log.at_ms[row], log.event_ids[row], log.sources[row], log.anchors[row], ops)
        several[int(log.persons[row])] += [op for op in event.operations() if op.name == "" or op.name in names]
    for person, operations in several.items():
        for name, trait in fold(operations, declared).items():
            found[name][person] = trait.value
    return found


def _only_sets(ops: TraitEffects) -> bool:
    return not (ops.set_once or ops.append or ops.increment or ops.unset or ops.delete)


def days_to_birthday(birthday: Any, today: date) -> int | None:
    """Days from `today` to the next birthday, 0 on the day itself; 29 February is kept on the 28th where there is
    none. None for what is no date."""
    try:
        born = date.fromisoformat(birthday)
    except (TypeError, ValueError):
        return None
    return next(
        (day - today).days
        for day in (_birthday_in(born, today.year), _birthday_in(born, today.year + 1))
        if day >= today
    )


def _birthday_in(born: date, year: int) -> date:
    try:
        return born.replace(year=year)
    except ValueError:
        return date(year, 2, 28)


async def _tags(connection: Any, wanted: _Wanted) -> dict[str, Column]:
    if "tags" not in wanted.names:
        return {}
    return {"tags": _grouped(await records.tag_rows(connection, wanted.anchors))}


async def _identities(connection: Any, wanted: _Wanted) -> dict[str, Column]:
    if "identities" not in wanted.names:
        return {}
    groups = await records.kind_rows(connection, wanted.setting.now, wanted.anchors)
    both = ((sorted({*kinds, *map(base_kind, kinds)}), persons) for kinds, persons in groups)
    return {"identities": _grouped(both)}


async def _consents(connection: Any, wanted: _Wanted) -> dict[str, Values]:
    places = wanted.tails("consent.")
    if not places:
        return {}
    decisions: dict[int, list[Decision]] = defaultdict(list)
    for person, *decision in await records.consent_rows(connection, wanted.anchors):
        decisions[person].append(Decision(*decision))
    found: dict[str, Values] = {f"consent.{place}": {} for place in places}
    for person, mine in decisions.items():
        folded = fold_consent(mine)
        for place in places:
            purpose, _, channel = place.partition(".")
            if (allowed := allows(folded, purpose, channel or "*")) is not None:
                found[f"consent.{place}"][person] = allowed
    return found


_SEEN: Final = ("first_seen", "last_seen", "lifecycle")
_STAGES: Final = ("lost", "sleeping", "vip", "new", "active")


async def _seen_and_bought(connection: Any, wanted: _Wanted) -> dict[str, Column]:
    seen = [name for name in _SEEN if name in wanted.names]
    scores = [f"rfm.{name}" for name in wanted.tails("rfm.")]
    if not seen and not scores:
        return {}
    setting = wanted.setting
    figures = await records.figures(connection)
    limits = msgspec.json.decode(figures.get(LIFECYCLE_FIGURE, "{}"), type=Thresholds)
    cuts = msgspec.json.decode(figures[RFM_FIGURE], type=Cuts) if RFM_FIGURE in figures else NO_CUTS
    since = setting.now - timedelta(days=limits.vip_window_days)
    bought = await records.purchase_arrays(connection, setting.zone.key, since, wanted.anchors)
    found: dict[str, Column] = {}
    if seen:
        rows = await records.seen_arrays(connection, wanted.anchors)
        found |= await asyncio.to_thread(_seen, rows, bought, setting.now_ms, limits, seen)
    if scores:
        found |= await asyncio.to_thread(_scored, bought, setting, cuts, scores)
    return found


def _seen(
    rows: records.Seen, bought: records.Bought, now_ms: int, limits: Thresholds, wanted: Collection[str]
) -> dict[str, Column]:
    """First and last sight, and the stage by `lifecycle.stage`, of everybody at once."""
    persons, first, last = rows

    def of_each(figures: Ints, none: int) -> Ints:
        places = np.searchsorted(bought.persons, persons)
        places[places == len(bought.persons)] = 0
        if not len(bought.persons):
            return np.full(len(persons), none, np.int64)
        return np.where(bought.persons[places] == persons, figures[places], none)

    last = np.maximum(last, of_each(bought.last_ms, records.NEVER_MS))
    quiet, known = now_ms - last, now_ms - first
    spends = of_each(bought.recent_spend_fen, 0) >= limits.vip_spend_fen
    orders = of_each(bought.recent_orders, 0) >= limits.vip_orders
    stages = np.select(
        [quiet >= limits.lost_days * DAY_MS, quiet >= limits.sleeping_days * DAY_MS, spends | orders,
         known < limits.new_days * DAY_MS],
        [0, 1, 2, 3],
        4,
    ).astype(np.int64)  # fmt: skip
    times = {"first_seen": first, "last_seen": last}
    found = {name: _numbers(persons, of_all) for name, of_all in times.items() if name in wanted}
    return found | ({"lifecycle": Column(persons, stages, _STAGES)} if "lifecycle" in wanted else {})


def _scored(bought: records.Bought, setting: Setting, cuts: Cuts, wanted: Collection[str]) -> dict[str, Column]:
    """RFM figures, and scores by `rfm.rfm`, of all buyers at once."""
    everybody = bought.persons
    found = {"rfm.frequency": (everybody, bought.days), "rfm.monetary_fen": (everybody, bought.spend_fen)}
    buyers = bought.last_ms != records.NEVER_MS
    persons = everybody[buyers]
    # Local days begin at a quarter of an hour everywhere.
    quarters, place = np.unique(bought.last_ms[buyers] // 900_000, return_inverse=True)
    ages = [(setting.today - instant(q * 900_000).astimezone(setting.zone).date()).days for q in quarters.tolist()]
    recency = np.maximum(0, np.array(ages, np.int64)[place])
    found["rfm.recency_days"] = (persons, recency)
    if cuts.recency_day is not None and cuts.recency_days:
        drift = (setting.today - cuts.recency_day).days
        above = np.zeros(len(persons), np.int64)
        for cut in cuts.recency_days:
            above += recency < cut + drift
        found["rfm.r"] = (persons, above + 1)
        for name, points, figures in (
            ("rfm.f", cuts.frequency, bought.days),
            ("rfm.m", cuts.monetary_fen, bought.spend_fen),
        ):
            below: Ints = np.searchsorted(np.array(points, np.int64), figures[buyers])
            found[name] = (persons, below + 1)
    return {name: _numbers(*of_all) for name, of_all in found.items() if name in wanted}


async def _touches(connection: Any, wanted: _Wanted) -> dict[str, Column]:
    found: dict[str, Column] = {}
    for which, newest in (("first_touch", False), ("last_touch", True)):
        fields = wanted.tails(f"{which}.")
        if not fields and f"{which}_at" not in wanted.names:
            continue
        rows = await records.touch_rows(connection, newest, wanted.anchors)
        told = [(decode_fields(text) | {"end": end}, persons) for end, text, persons, _ in rows]
        for field in fields:
            groups = ((values[field], persons) for values, persons in told if field in values)
            found[f"{which}.{field}"] = _grouped(groups)
        persons, times = (np.array([n for row in rows for n in row[place]], np.int64) for place in (2, 3))
        found[f"{which}_at"] = _numbers(persons, times)
    return found
