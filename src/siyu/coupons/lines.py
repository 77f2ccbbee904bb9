"""The lines of a basket as they are priced: with what the shop's list of products says of them."""

from __future__ import annotations

from siyu.coupons.pricing import Article, Turn
from siyu.coupons.quote import Line
from siyu.coupons.request import BasketLine, QuoteRequest
from siyu.errors import Refused, WrongValue


async def lines_of(turn: Turn, request: QuoteRequest) -> tuple[Line, ...]:
    """The lines with the collections that the shop knows of, and the list's price at the end where they name none.

    Raises WrongValue (no price, and not in the list), Refused ENDED (no price, and not sold any more)."""
    known = {}
    if turn.pricing.articles is not None:
        skus = sorted({line.sku for line in request.lines})
        known = dict(await turn.pricing.articles(turn.connection, skus, request.end))
    return tuple(_line(line, known.get(line.sku)) for line in request.lines)


def _line(line: BasketLine, article: Article | None) -> Line:
    price = line.price_fen
    if price is None:
        if article is None:
            raise WrongValue(f"{line.sku} is not in the list of products: it needs a price_fen.", path="lines")
        if (price := article.price_fen) is None:
            raise Refused("ENDED", f"{line.sku} is not sold any more.", sku=line.sku)
    known = article.collections if article is not None else ()
    return Line(line.sku, line.qty, price, tuple(dict.fromkeys((*line.collections, *known))))
