"""Money as people write it: rules are about fen, their sentences and forms about yuan. Pure and exact."""

from __future__ import annotations

from decimal import Context, Decimal, DecimalException
from typing import Final

MONEY_FIELDS: Final = frozenset({"@value_fen", "@line.value_fen"})
"""Fields of events that are fen."""
_EXACT: Final = Context(prec=100)
_PLAIN: Final = range(-20, 30)
"""Orders of magnitude in which an amount is written out, others with an exponent."""


def yuan_text(fen: float) -> str:
    """An amount in yuan: 12345 fen are `123.45`. `fen_of` leads back."""
    written = Decimal(repr(fen))
    plain = not fen or written.adjusted() in _PLAIN
    if plain and fen == int(fen):
        written = Decimal(int(fen))  # a float beyond its digits is more than it says
    yuan = _EXACT.normalize(_EXACT.scaleb(written, -2))
    return format(yuan, "f") if plain else format(yuan, "E")


def fen_of(yuan: str) -> int | float:
    """The fen of a number in yuan, whole where they are."""
    try:
        fen = _EXACT.scaleb(Decimal(yuan), 2)
    except DecimalException:  # an exponent beyond any number
        return float(yuan)
    if not fen or (fen.adjusted() in _PLAIN and fen == fen.to_integral_value()):
        return int(fen)
    return float(fen)
