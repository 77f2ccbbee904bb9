"""Which language the command line speaks: Chinese where SIYU_LOCALE or the terminal says so, else English."""

from __future__ import annotations

import os
from collections.abc import Mapping


def speaks_chinese(environ: Mapping[str, str] | None = None) -> bool:
    """SIYU_LOCALE decides when it is set, then LC_ALL, LC_MESSAGES, LANG."""
    environ = os.environ if environ is None else environ
    for name in ("SIYU_LOCALE", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environ.get(name):
            return value.lower().startswith("zh")
    return False


_CHINESE = speaks_chinese()


def say(english: str, chinese: str) -> str:
    """The text in the reader's language."""
    return chinese if _CHINESE else english


def columns(text: str) -> int:
    """Columns on a terminal: a Chinese character takes two."""
    return sum(2 if ord(character) > 0x2E7F else 1 for character in text)


def padded(text: str, width: int) -> str:
    """`text` with blanks up to `width` columns."""
    return text + " " * max(0, width - columns(text))
