"""What the parts of an answer are called, for pages of answers and of the persons behind a number. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from siyu.analytics.question import OTHER
from siyu.collect.catalogue import label
from siyu.console.i18n import mark as _
from siyu.console.labels import Labels
from siyu.console.visit import Face

TONES: Final = ("jade", "gold", "sky", "plum", "rose", "stone")
GROUPS_DRAWN_MAX: Final = 8


def step_name(step: Mapping[str, Any], face: Face) -> str:
    """An event as a reader knows it; any behaviour without one."""
    name = step.get("event")
    return label(str(name), face.locale) if name else face.text(_("Any behaviour"))


def group_name(question: Mapping[str, Any], group: str | None, face: Face) -> str | None:
    """What the value of a breakdown is called; None without a breakdown."""
    if group is None:
        return None
    if group == OTHER:
        return face.text(_("All others"))
    asked = question.get("breakdown") or {}
    field = str(asked.get("event_prop") or asked.get("person_prop") or "")
    return Labels(face.locale).value(field, group) or face.text(_("(none)"))


def channel_name(question: Mapping[str, Any], channel: str, face: Face) -> str:
    """What the value of an attribution's property is called."""
    return Labels(face.locale).value(str(question.get("channel", "")), channel)


def cell_words(question: Mapping[str, Any], cell: Mapping[str, Any], face: Face) -> Iterator[tuple[str, str]]:
    """What the parts of a cell are about, and their values."""
    words = Labels(face.locale)
    for name, value in cell.items():
        if name == "group":
            said = group_name(question, str(value), face) or ""
        else:
            said = channel_name(question, str(value), face) if name == "channel" else words.cell_value(name, value)
        yield words.cell_field(name), said


def in_fen(field: object) -> bool:
    """Whether the values of a property are money."""
    return str(field).endswith("_fen")


def amount(number: float, field: object, face: Face) -> str:
    """Money where the field holds fen, else a plain number."""
    return face.format.money(number) if in_fen(field) else face.format.number(number)
