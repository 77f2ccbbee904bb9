"""Cells of CSV files that people open in a spreadsheet. Pure."""

from __future__ import annotations

from typing import Final, TypeVar

T = TypeVar("T")

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


def harmless(cell: T) -> T | str:
    """Itself; a text that a spreadsheet would run as a formula with an apostrophe before it."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell
