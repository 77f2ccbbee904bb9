"""A form as it came in: every field read as what it means, and what is wrong said beside it.

A page reads all fields, then asks `wrong`: an empty one means that the form can be taken. When it comes back with an
error, `values` holds what was typed. Texts of errors are marked here and said in the reader's language.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from siyu.collect.catalogue import fen
from siyu.console.i18n import mark as _
from siyu.console.rule_form import rule_from
from siyu.errors import MalformedRequest
from siyu.rules.vocabulary import Lang

TEXT_CHARS_MAX: Final = 200
LIST_CHARS_MAX: Final = 200_000
YUAN_MAX: Final = 10**9
_PARTED: Final = re.compile(r"[\s,，、;；]+")
_WHOLE: Final = re.compile(r"-?\d{1,15}\Z", re.ASCII)

NEEDED: Final = _("Fill this in.")
TOO_LONG: Final = _("Too long: at most %s characters.")
NO_NUMBER: Final = _("A whole number, please.")
NO_MONEY: Final = _("An amount in yuan, such as 9.90.")
TOO_SMALL: Final = _("At least %s.")
TOO_BIG: Final = _("At most %s.")
NO_TIME: Final = _("A date and a time, please.")
NOT_OFFERED: Final = _("Choose one of the list.")
WRONG_ID: Final = _("Letters, digits, - and _ only; it begins with a letter or digit and has at most 50.")
WRONG_RULE: Final = _("The condition is not complete: the place is marked in it.")
WRONG_EARLY: Final = _("It would end before it starts.")


class Fields:
    """Reads a form. `say`: a marked text in the reader's language."""

    def __init__(self, form: Mapping[str, Any], say: Callable[[str], str]) -> None:
        self._form = form
        self._say = say
        self.wrong: dict[str, str] = {}
        """Field → what is wrong with it."""

    @property
    def values(self) -> dict[str, str]:
        """What was typed, by field; of fields that occur more than once the last one."""
        return {str(key): value for key, value in self._form.items() if isinstance(value, str)}

    def refuse(self, name: str, message: str, *given: object) -> None:
        """Note what is wrong with a field; the first thing noted counts."""
        text = self._say(message)
        self.wrong.setdefault(name, text % given if given else text)

    def raw(self, name: str) -> str:
        """A field without white space around; empty when it is not there."""
        value = self._form.get(name, "")
        return value.replace("\x00", "").strip() if isinstance(value, str) else ""

    def flag(self, name: str) -> bool:
        """Whether a box is ticked."""
        return bool(self.raw(name))

    def text(self, name: str, chars_max: int = TEXT_CHARS_MAX, *, needed: bool = False) -> str:
        """A line of text."""
        found = self.raw(name)
        if needed and not found:
            self.refuse(name, NEEDED)
        if len(found) > chars_max:
            self.refuse(name, TOO_LONG, chars_max)
        return found[:chars_max]

    def matching(self, name: str, pattern: str, message: str = WRONG_ID) -> str:
        """A text of a certain shape; it has to be there."""
        found = self.text(name, 1_000, needed=True)
        if found and not re.match(pattern, found):
            self.refuse(name, message)
        return found

    def whole(self, name: str, low: int, high: int, *, needed: bool = False) -> int | None:
        """A whole number between two others; None when nothing was typed."""
        found = self.raw(name).replace(",", "").replace("，", "")
        if not found:
            if needed:
                self.refuse(name, NEEDED)
            return None
        if not _WHOLE.match(found):
            self.refuse(name, NO_NUMBER)
            return None
        return self._between(name, int(found), low, high, str)

    def money(self, name: str, low: int = 1, high: int = YUAN_MAX * 100, *, needed: bool = False) -> int | None:
        """Fen of an amount in yuan; None when nothing was typed."""
        found = self.raw(name).replace("¥", "").replace("￥", "").replace(",", "")
        if not found:
            if needed:
                self.refuse(name, NEEDED)
            return None
        amount = fen(found, unit_fen=100)
        if amount is None or amount < 0:
            self.refuse(name, NO_MONEY)
            return None
        return self._between(name, amount, low, high, yuan)

    def _between(self, name: str, found: int, low: int, high: int, write: Callable[[int], str]) -> int | None:
        if found < low:
            self.refuse(name, TOO_SMALL, write(low))
            return None
        if found > high:
            self.refuse(name, TOO_BIG, write(high))
            return None
        return found

    def choice(self, name: str, offered: Collection[str], otherwise: str = "") -> str:
        """One of those offered; `otherwise` when nothing was chosen."""
        found = self.raw(name)
        if not found and otherwise:
            return otherwise
        if found not in offered:
            self.refuse(name, NOT_OFFERED)
        return found

    def moment(self, name: str, zone: ZoneInfo) -> datetime | None:
        """An instant, typed as the brand's clock shows it; None when nothing was typed."""
        found = self.raw(name)
        if not found:
            return None
        try:
            return datetime.fromisoformat(found).replace(tzinfo=zone)
        except ValueError:
            self.refuse(name, NO_TIME)
            return None

    def listed(self, name: str, many_max: int, chars_max: int = TEXT_CHARS_MAX) -> tuple[str, ...]:
        """Words with commas, spaces or line ends between them, each once."""
        found = list(dict.fromkeys(word for word in _PARTED.split(self.raw(name)[:LIST_CHARS_MAX]) if word))
        if len(found) > many_max:
            self.refuse(name, TOO_BIG, many_max)
        if any(len(word) > chars_max for word in found):
            self.refuse(name, TOO_LONG, chars_max)
        return tuple(word[:chars_max] for word in found[:many_max])

    def ticked(self, name: str, offered: Sequence[str]) -> tuple[str, ...]:
        """Those of a group of boxes that are ticked, in the order offered."""
        given = set(getattr(self._form, "getall", lambda key, _: [self._form.get(key)])(name, []))
        return tuple(one for one in offered if one in given)

    def rule(self, name: str, lang: Lang, *, vocabulary: str = "") -> dict[str, Any] | None:
        """The rule of a builder; None when it is empty."""
        try:
            return rule_from(self._form, name, lang, vocabulary=vocabulary)
        except MalformedRequest:
            self.refuse(name, WRONG_RULE)
            return None


def yuan(amount: int | None) -> str:
    """Fen as a field shows them: 1234 is 12.34, 1200 is 12."""
    if amount is None:
        return ""
    return f"{amount // 100}" if amount % 100 == 0 else f"{amount // 100}.{amount % 100:02}"


def local(instant: datetime | None, zone: ZoneInfo) -> str:
    """An instant as a datetime-local field shows it."""
    return "" if instant is None else f"{instant.astimezone(zone):%Y-%m-%dT%H:%M}"
