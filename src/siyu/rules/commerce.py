"""What ends call the parts of an order: the words of Segment, GA4, Sensors (神策), shops of China and ours. Data.

A line is one product of an order, a cart or a list, or an event about one product. Of the words of a part the first
that says something counts.
"""

from __future__ import annotations

from typing import Final

ORDER: Final = ("order_id", "orderId", "orderID", "order_no", "order_sn", "order", "transaction_id")
"""Its number. GA4 has a `transaction_id` only; beside an `order_id` that is the number of a payment."""
LINE_LISTS: Final = ("products", "lines", "items", "line_items")
"""Properties that may hold the lines of an event: the first that is a list with objects does."""
LINES_MAX: Final = 500
"""Lines of an event beyond it do not count."""

PRODUCT: Final = ("sku", "product_id", "commodity_id", "goods_id", "item_id")
"""Its number. An event that has one, and lists no lines, is its own only line."""
PRODUCT_NAME: Final = ("product", "product_name", "name", "commodity_name", "item_name")
CATEGORY: Final = (
    "category", "product_category", "commodity_category", "first_commodity", "first_category", "item_category",
)  # fmt: skip
BRAND: Final = ("brand", "product_brand", "commodity_brand", "item_brand")
QUANTITY: Final = ("quantity", "qty", "commodity_quantity")
"""Without one a line is of one piece."""
PRICE_FEN: Final = ("price_fen",)
PRICE_YUAN: Final = ("price", "present_price", "unit_price")
"""Of one piece."""
