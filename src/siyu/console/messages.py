"""Texts of the console for translators: `python -m siyu.console.messages` brings the .po files up to date.

New texts are added untranslated, texts that are gone are removed; a test refuses what is untranslated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from siyu.console.i18n import LOCALE_FOLDER, LOCALES

SOURCE_FOLDER: Final = Path(__file__).parent
KEYWORDS: Final[dict[str, Any]] = {"_": None, "ngettext": (1, 2), "gettext": None}
METHODS: Final = [("**.py", "python"), ("templates/**.html", "jinja2")]
OPTIONS: Final = {"templates/**.html": {"extensions": "jinja2.ext.i18n,jinja2.ext.do", "silent": "false"}}


def source_messages() -> Catalog:
    """Every text of the sources."""
    found = Catalog(domain="console", charset="utf-8")
    texts = extract_from_dir(str(SOURCE_FOLDER), METHODS, OPTIONS, keywords=KEYWORDS)
    for filename, _line, message, comments, context in texts:
        found.add(message, locations=[(filename, 0)], auto_comments=comments, context=context)
    return found


def catalogue_path(locale: str) -> Path:
    """The .po file of a locale."""
    return LOCALE_FOLDER / locale / "LC_MESSAGES" / "console.po"


def read_catalogue(locale: str) -> Catalog:
    """The .po file as it is; an empty catalogue when there is none."""
    path = catalogue_path(locale)
    if not path.exists():
        return Catalog(locale=locale, domain="console", charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=locale, domain="console")


def update_catalogue(locale: str) -> int:
    """Add new texts, drop old ones; answers how many wait for a translation. English needs only its plural forms."""
    old = read_catalogue(locale)
    new = Catalog(
        locale=locale, domain="console", project="Siyu", header_comment="# Texts of the console.", fuzzy=False
    )
    new.creation_date, new.revision_date = old.creation_date, old.creation_date
    waiting = 0
    for message in source_messages():
        if not message.id or (locale == "en" and not message.pluralizable):
            continue
        known = old.get(message.id)
        text = known.string if known else ""
        if not text and locale == "en":
            text = message.id
        waiting += not all(text if isinstance(text, tuple) else (text,))
        new.add(message.id, text)
    path = catalogue_path(locale)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, new, sort_output=True, no_location=True, width=110, omit_header=False)
    return waiting


if __name__ == "__main__":
    for each in LOCALES:
        print(each, update_catalogue(each), "untranslated")
