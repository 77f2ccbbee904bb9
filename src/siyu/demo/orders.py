"""The life of an order, told by the shop's back end: created, paid, shipped, received, reviewed, refunded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from siyu.demo import brand
from siyu.demo.book import DAY_MS, Book
from siyu.demo.dialects import quoted, segment_track
from siyu.demo.people import ENDS
from siyu.demo.visits import Visitor

_HOUR_MS: Final = 3_600_000
_REVIEWS: Final = ("茶香很足", "毛孩子很爱吃", "包装用心", "发货快", "会回购", "比上次的批次淡一点")
_BASKETS: Final = tuple(
    f'"sku":"{item.sku}","product":{quoted(item.name)},"category":{quoted(item.category)}' for item in brand.PRODUCTS
)


class Orders:
    """Writes orders into the book."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def order(self, visitor: Visitor, at: int, product: int, draws: Sequence[float], pays: float) -> None:
        """An order made at `at`. `pays`: chance that it is paid. Uses eight draws."""
        order_id = f"TP{visitor.person:05}{self._book.number(visitor.person):04}"
        quantity = 1 + (draws[0] > 0.72) + (draws[0] > 0.93)
        list_fen = brand.PRODUCTS[product].price_fen * quantity
        saved_fen = (list_fen * 12 // 100) if draws[1] < 0.24 and list_fen > 6_000 else 0
        paid_fen = list_fen - saved_fen
        basket = f'"order_id":"{order_id}",{_BASKETS[product]},"quantity":{quantity}'
        self._tell(visitor, "order.created", at, f'{basket},"list_fen":{list_fen},"payable_fen":{paid_fen}')
        if draws[2] >= pays:
            if draws[2] > 0.96:
                self._tell(visitor, "order.cancelled", at + _HOUR_MS // 2, f'{basket},"reason":"timeout"')
            return
        paid_at = at + 20_000 + int(draws[3] * 240_000)
        if saved_fen:
            coupon = f'"order_id":"{order_id}","code":"N88","saved_fen":{saved_fen}'
            self._tell(visitor, "coupon.redeemed", paid_at, coupon)
        self._tell(visitor, "order.paid", paid_at, f'{basket},"amount_fen":{paid_fen},"list_fen":{list_fen}')
        if draws[6] < 0.025:
            refund = f'{basket},"refund_fen":{paid_fen},"reason":"changed_mind"'
            self._tell(visitor, "order.refunded", paid_at + int(_HOUR_MS * (1 + 4 * draws[7])), refund)
            return
        self._deliver(visitor, paid_at, basket, paid_fen, draws)

    def _deliver(self, visitor: Visitor, paid_at: int, basket: str, paid_fen: int, draws: Sequence[float]) -> None:
        shipped = paid_at + 6 * _HOUR_MS + int(draws[4] * DAY_MS)
        received = shipped + DAY_MS + int(draws[5] * 3 * DAY_MS)
        self._tell(visitor, "order.fulfilled", shipped, f'{basket},"carrier":"SF"')
        self._tell(visitor, "order.received", received, basket)
        if draws[6] > 0.975:
            refund = f'{basket},"refund_fen":{paid_fen // 2},"reason":"partly_damaged"'
            self._tell(visitor, "order.refunded", received + int(DAY_MS * 2 * draws[7]), refund)
        elif draws[7] < 0.14:
            stars = 5 - (draws[6] > 0.6) - (draws[6] > 0.9)
            words = _REVIEWS[int(draws[6] * len(_REVIEWS))]
            review = f'{basket},"stars":{stars},"text":"{words}"'
            self._tell(visitor, "order.reviewed", received + DAY_MS, review)

    def _tell(self, visitor: Visitor, name: str, at: int, properties: str) -> None:
        book, person = self._book, visitor.person
        who = f'"userId":"{book.ids(person).user}"'
        context = f'{{"end":"{ENDS[visitor.end]}"}}'
        book.write("server", at, segment_track(name, book.segment_stamp(person, at), who, properties, context))
