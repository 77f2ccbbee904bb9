"""The member card: a number that leads to the person, and its barcode (Code 128) as SVG. Pure.

A new number is made from the person's id and ends in a check digit. It is an identifier of the kind `member_card`: a
till that sends it finds the person, whoever the person turns out to be. Cards that a brand has already are shown too.
"""

from __future__ import annotations

from html import escape
from typing import Final
from uuid import UUID

DIGITS: Final = 16
QUIET: Final = 10
"""Blank modules on both sides that scanners need."""
_START_B: Final = 104
_START_C: Final = 105
CHARS_MAX: Final = 40
_STOP: Final = "2331112"
# The widths of bars and spaces of each symbol (ISO/IEC 15417), six a symbol.
_WIDTHS: Final = (
    "212222222122222221121223121322131222122213122312132212221213221312231212112232122132122231113222123122123221"
    "223211221132221231213212223112312131311222321122321221312212322112322211212123212321232121111323131123131321"
    "112313132113132311211313231113231311112133112331132131113123113321133121313121211331231131213113213311213131"
    "311123311321331121312113312311332111314111221411431111111224111422121124121421141122141221112214112412122114"
    "122411142112142211241211221114413111241112134111111242121142121241114212124112124211411212421112421211212141"
    "214121412121111143111341131141114113114311411113411311113141114131311141411131211412211214211232"
)
SYMBOLS: Final = tuple(_WIDTHS[start : start + 6] for start in range(0, len(_WIDTHS), 6))


def card_number(person_id: UUID) -> str:
    """The number of a person's card: 16 digits, the last one a check digit (Luhn)."""
    body = str(person_id.int % 10 ** (DIGITS - 1)).zfill(DIGITS - 1)
    return body + str(check_digit(body))


def check_digit(body: str) -> int:
    """The Luhn digit that follows `body`."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        doubled = int(digit) * 2 if place % 2 == 0 else int(digit)
        total += doubled - 9 if doubled > 9 else doubled
    return -total % 10


def symbols_of(number: str) -> list[int]:
    """The symbols in Code 128: start, data (pairs of digits, set C, else characters, set B), checksum.

    Raises ValueError for what has no barcode: nothing, too long, other than printable ASCII."""
    if not 1 <= len(number) <= CHARS_MAX or not number.isascii() or not number.isprintable():
        raise ValueError("A barcode has 1 to 40 printable ASCII characters.")
    if number.isdecimal() and len(number) % 2 == 0:
        start, data = _START_C, [int(number[place : place + 2]) for place in range(0, len(number), 2)]
    else:
        start, data = _START_B, [ord(char) - 32 for char in number]
    checksum = (start + sum(place * symbol for place, symbol in enumerate(data, 1))) % 103
    return [start, *data, checksum]


def barcode_svg(number: str, height: int = 60) -> str:
    """The barcode as SVG, two units a module, black on white."""
    widths = "".join(SYMBOLS[symbol] for symbol in symbols_of(number)) + _STOP
    bars, x = [], QUIET
    for place, width in enumerate(widths):
        if place % 2 == 0:
            bars.append(f'<rect x="{2 * x}" y="0" width="{2 * int(width)}" height="{height}"/>')
        x += int(width)
    total = 2 * (x + QUIET)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" width="{total}" height="{height}"'
        f' role="img" aria-label="{escape(number)}" shape-rendering="crispEdges">'
        f'<rect width="{total}" height="{height}" fill="#fff"/>{"".join(bars)}</svg>'
    )
