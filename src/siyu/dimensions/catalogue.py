"""The catalogue of dimensions: data. One more dimension is one more entry.

docs/dimensions.md is written from here (`page`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from siyu.dimensions.behaviour_entries import BEHAVIOUR
from siyu.dimensions.dimension import (
    After,
    Aggregate,
    Band,
    Difference,
    Dimension,
    Expression,
    Ratio,
    Ref,
    Regularity,
    Since,
    Total,
    ages,
    value_type,
    walk,
)
from siyu.dimensions.evaluate import value_of
from siyu.dimensions.purchase_entries import PURCHASE
from siyu.dimensions.relation_entries import RELATION
from siyu.dimensions.values import ENDS
from siyu.rules.rule import Metric
from siyu.rules.vocabulary import AttributeKind, vocabulary
from siyu.rules.window import Setting

GROUPS: Final[Mapping[str, tuple[str, str]]] = {
    "activity": ("活跃", "Activity"),
    "browse": ("浏览", "Browsing"),
    "cart": ("加购与转化", "Cart and conversion"),
    "purchase": ("购买", "Purchases"),
    "money": ("金额", "Money"),
    "rhythm": ("购买节奏", "Rhythm"),
    "price": ("价格与优惠", "Price and discounts"),
    "preference": ("偏好", "Preferences"),
    "channel": ("渠道", "Channels"),
    "share": ("分享与裂变", "Sharing and referral"),
    "message": ("消息响应", "Messages"),
    "member": ("会员", "Membership"),
    "service": ("服务与售后", "Service"),
}
UNITS: Final[Mapping[str, tuple[str, str]]] = {
    "": ("", ""),
    "hour": ("点", "o’clock"),
    "times": ("次", "times"),
    "days": ("天", "days"),
    "fen": ("分", "fen"),
    "percent": ("%", "%"),
    "items": ("个", "items"),
    "kinds": ("种", "kinds"),
    "orders": ("单", "orders"),
    "persons": ("人", "persons"),
    "per_day": ("次/天", "times a day"),
    "per_item": ("次/款", "times a product"),
}
_YUAN: Final = ("元", "yuan")
"""In which people write what is kept in fen."""
PREFIX: Final = "dim."
"""Before a key: the name of the attribute in rules."""
_NOBODY: Final = Setting(datetime(2000, 1, 1, tzinfo=UTC), ZoneInfo("UTC"))


@dataclass(frozen=True)
class Catalogue:
    """Dimensions by key, their expressions written out: without references."""

    entries: Mapping[str, Dimension]
    kinds: tuple[AttributeKind, ...]
    """As attributes of rules."""

    def __iter__(self) -> Iterator[Dimension]:
        return iter(self.entries.values())

    def named(self, name: str) -> Dimension | None:
        """The dimension that an attribute of rules is."""
        return self.entries.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None

    def fades(self, name: str) -> Iterator[tuple[int, Metric]]:
        """The rolling windows an attribute looks through: length in milliseconds, and what is counted in it."""
        dimension = self.named(name)
        for part in walk(dimension.expression) if dimension else ():
            if isinstance(part, Aggregate) and (length := part.base.window.fades_ms) is not None:
                yield length, part.base


def catalogue(entries: Iterable[Dimension]) -> Catalogue:
    """A catalogue of these entries. Raises ValueError for one that cannot be: a key twice, an unknown reference or one
    in a circle, an unknown group, a figure of texts."""
    listed = list(entries)
    known = {entry.key: entry for entry in listed}
    if len(known) != len(listed):
        raise ValueError("Two dimensions have one key.")
    if unknown := [entry.key for entry in listed if entry.group not in GROUPS or entry.unit not in UNITS]:
        raise ValueError(f"No such group or unit: {', '.join(unknown)}.")
    written = {
        key: entry._replace(expression=_written(entry.expression, known, (key,))) for key, entry in known.items()
    }
    for key, entry in written.items():
        if value_type(entry.expression) != "number" and entry.decimals:
            raise ValueError(f"Only a number has decimals: {key}.")
    return Catalogue(written, tuple(_kind(entry) for entry in written.values()))


def _written(expression: Expression, known: Mapping[str, Dimension], above: tuple[str, ...]) -> Expression:
    if isinstance(expression, Ref):
        if expression.key in above or expression.key not in known:
            raise ValueError(f"{above[0]} names {expression.key}, which is unknown or names it back.")
        return _written(known[expression.key].expression, known, (*above, expression.key))

    def of(part: Expression) -> Expression:
        return _written(part, known, above)

    if isinstance(expression, Total):
        return Total(tuple(of(part) for part in expression.parts))
    if isinstance(expression, Difference | Ratio):
        return expression._replace(a=of(expression.a), b=of(expression.b))
    if isinstance(expression, Since):
        return Since(of(expression.day))
    if isinstance(expression, After):
        return expression._replace(at=of(expression.at), days=of(expression.days))
    if isinstance(expression, Regularity):
        return Regularity(of(expression.gaps), of(expression.total), of(expression.squares))
    return expression._replace(of=of(expression.of)) if isinstance(expression, Band) else expression


def _kind(entry: Dimension) -> AttributeKind:
    type_ = value_type(entry.expression)
    unit = _YUAN if entry.unit == "fen" else UNITS[entry.unit]
    return AttributeKind(
        PREFIX + entry.key,
        entry.zh,
        entry.en,
        "time" if type_ == "time" else "any",
        ages=ages(entry.expression),
        default=value_of(entry, (), _NOBODY, vocabulary(())),
        choices=entry.choices,
        closed=entry.choices not in ((), ENDS),
        group=GROUPS[entry.group],
        number=type_ == "number",
        money=entry.unit == "fen",
        note=(_with_unit(entry.note_zh, unit[0]), _with_unit(entry.note, unit[1])),
    )


def _with_unit(note: str, unit: str) -> str:
    return f"{note} ({unit})" if unit else note


DIMENSIONS: Final = catalogue((*BEHAVIOUR, *PURCHASE, *RELATION))
"""Every dimension there is."""
