"""The shop: products, stock, carts, orders and the points mall.

What is sold for how much, what is there, who ordered what and how far it is; orders of foreign shops as their events
tell them. Not here: what a price becomes for a person (coupons), what points are (loyalty), how units move (ledger),
the dialects of foreign shops (connectors). Invariants: sold + reserved + available = stock; a line's shares add up to
what is paid; what was given back never exceeds what was paid; every step is one event.
"""

from siyu.shop.desk import Orders

__all__ = ["Orders"]
