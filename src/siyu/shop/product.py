"""Products, what of them is sold as a unit (SKU), and what it costs. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from siyu.errors import MalformedRequest, NotFound, Refused

FEN_MAX: Final = 10**12
QUANTITY_MAX: Final = 1_000_000
SKUS_MAX: Final = 200
IMPORT_ROWS_MAX: Final = 20_000

Code = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x20/?#\x7f]+$")]
"""What names a product, a SKU or a collection; stands in addresses."""
Text = Annotated[str, msgspec.Meta(max_length=500, pattern=r"^[^\x00]*$")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
End = Annotated[str, msgspec.Meta(min_length=1, max_length=50, pattern=r"^[a-z][a-z0-9_]*$")]
Fen = Annotated[int, msgspec.Meta(ge=0, le=FEN_MAX)]
Quantity = Annotated[int, msgspec.Meta(ge=1, le=QUANTITY_MAX)]


class ProductNotFound(NotFound):
    """There is no such product."""

    code = "PRODUCT_NOT_FOUND"


class SkuNotFound(NotFound):
    """There is no such SKU in the list of products."""

    code = "SKU_NOT_FOUND"


class WrongProduct(MalformedRequest):
    """A product that contradicts itself, or another one."""

    code = "WRONG_PRODUCT"
    status = 422


class Sku(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A unit that is sold: the 100 g tin of a tea."""

    sku: Code
    label: Text = ""
    price_fen: Fen
    prices: Annotated[dict[End, Fen], msgspec.Meta(max_length=20)] = {}
    """Other prices at certain ends."""
    tracked: bool = False
    """Whether its stock is counted: what is not there is refused."""
    active: bool = True

    def price_at(self, end: str) -> int:
        """What it costs at an end, in fen."""
        return self.prices.get(end, self.price_fen)


class Product(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something offered, in one or several SKUs."""

    id: Code
    name: Name
    description: Text = ""
    category: Text = ""
    collections: Annotated[tuple[Code, ...], msgspec.Meta(max_length=50)] = ()
    on_sale: bool = True
    skus: Annotated[tuple[Sku, ...], msgspec.Meta(min_length=1, max_length=SKUS_MAX)]
    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 1
    """The next one, when a product is changed."""

    def checked(self) -> Product:
        """Itself. Raises WrongProduct when a SKU is named twice."""
        if len({one.sku for one in self.skus}) != len(self.skus):
            raise WrongProduct("A SKU stands twice in this product.", path="skus")
        return self


class Offer(NamedTuple):
    """A SKU with the product it belongs to."""

    sku: Sku
    product: Product

    @property
    def is_sold(self) -> bool:
        """Whether it can be bought."""
        return self.sku.active and self.product.on_sale


def listed_price(offer: Offer, end: str, sent_fen: int | None) -> int:
    """What a unit costs. Raises Refused: PRICE_CHANGED when the caller showed another price, ENDED when it is not sold.

    The price list wins, and a caller who knows another price is told before anybody pays (decision 0330)."""
    sku = offer.sku
    if not offer.is_sold:
        raise Refused("ENDED", f"{sku.sku} is not sold any more.", sku=sku.sku)
    price = sku.price_at(end)
    if sent_fen is not None and sent_fen != price:
        raise Refused(
            "PRICE_CHANGED", f"{sku.sku} costs {price} fen now.", sku=sku.sku, price_fen=price, sent_fen=sent_fen
        )
    return price


class Counted(NamedTuple):
    """A row of an imported stock list."""

    sku: str
    quantity: int
    """Units that came in (positive), or the units that are there when the list says `count`."""


Mode = Literal["add", "count"]


def read_stock_list(text: str) -> Iterator[Counted]:
    """Rows of a CSV with the columns `sku` and `qty`. Raises WrongProduct, naming the line."""
    number = 1
    try:
        reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
        if not {"sku", "qty"} <= set(reader.fieldnames or ()):
            raise WrongProduct("The first line must name the columns sku and qty.", path="line 1")
        for number, row in enumerate(reader, 2):
            if number > IMPORT_ROWS_MAX + 1:
                raise WrongProduct(f"At most {IMPORT_ROWS_MAX} rows at once.", path=f"line {number}")
            yield _counted(row, number)
    except csv.Error as error:
        raise WrongProduct(f"After line {number} this is no CSV: {error}", path=f"line {number}") from error


def _counted(row: dict[str, str | None], number: int) -> Counted:
    sku, quantity = (row["sku"] or "").strip(), (row["qty"] or "").strip()
    if not sku or "\x00" in sku or not quantity.isdecimal() or len(quantity) > 7 or int(quantity) > QUANTITY_MAX:
        raise WrongProduct(f"Line {number} has no SKU or no whole quantity.", path=f"line {number}")
    return Counted(sku, int(quantity))
