"""Languages of the console. Catalogues are .po files, compiled in memory when first used.

English is the source text; zh_CN.po translates all of it (a test says so), en.po only holds plural forms.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

LOCALES: Final = ("zh_CN", "en")
LOCALE_FOLDER: Final = Path(__file__).parent / "locale"


def mark(message: str) -> str:
    """Mark a text for extraction where it stands; it is translated where it is shown."""
    return message


def known_locale(name: str | None) -> str | None:
    """The name when the console speaks it, else None."""
    return name if name in LOCALES else None


@cache
def translations(locale: str) -> Translations:
    """The catalogue of a locale."""
    with (LOCALE_FOLDER / locale / "LC_MESSAGES" / "console.po").open("rb") as file:
        catalogue = read_po(file, locale=locale, domain="console", abort_invalid=True)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled, domain="console")


@cache
def babel_locale(locale: str) -> Locale:
    """Babel's data of a locale."""
    return Locale.parse(locale)


def translate(locale: str, message: str) -> str:
    """One text in a language."""
    return str(translations(locale).gettext(message))
