"""How a person is called in lists, and who is meant by what was typed."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from siyu.console.i18n import mark as _
from siyu.console.i18n import translate
from siyu.console.labels import Labels, short
from siyu.errors import PersonNotFound
from siyu.ids import KIND_RANK, base_kind
from siyu.profile import actions as profile
from siyu.profile.portrait import Moment, Portrait
from siyu.store.postgres import Database

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


def masked_name(portrait: Portrait, locale: str) -> str:
    """Enough to ask “are you …?”, no more: the first letter of the name, the last four characters of the phone."""
    name = display_name(portrait, locale) if any(portrait.traits.get(trait) for trait in _NAMES) else ""
    phone = next((one.value for one in portrait.identifiers if one.kind == "phone"), "")
    parts = [name[:1] + "＊" * min(2, len(name) - 1) if name else "", f"＊＊＊{phone[-4:]}" if phone else ""]
    return " ".join(part for part in parts if part) or translate(locale, _("Nameless"))


async def person_meant(db: Database, text: str, moment: Moment) -> Portrait | None:
    """The person with this id, or the first with an identifier or name that fits; None: nobody."""
    try:
        return await profile.show(db, UUID(text), moment)
    except (ValueError, PersonNotFound):
        return next(iter(await profile.search(db, text, 1, moment)), None)
