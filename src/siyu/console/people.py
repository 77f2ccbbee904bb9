"""How a person is called in lists. Pure."""

from __future__ import annotations

from typing import Final

from siyu.console.i18n import mark as _
from siyu.console.i18n import translate
from siyu.console.labels import Labels, short
from siyu.ids import KIND_RANK, base_kind
from siyu.profile.portrait import Portrait

_NAMES: Final = ("name", "nickname", "$name", "username", "real_name", "display_name")


def display_name(portrait: Portrait, locale: str) -> str:
    """The name a person gave; else the strongest identifier with its kind."""
    for trait in _NAMES:
        value = portrait.traits.get(trait)
        if isinstance(value, str) and value.strip():
            return value.strip()[:60]
    named = sorted(portrait.identifiers, key=lambda one: KIND_RANK.get(base_kind(one.kind), 99))
    if not named:
        return translate(locale, _("Nameless"))
    return f"{Labels(locale).kind(base_kind(named[0].kind))} {short(named[0].value)}"
