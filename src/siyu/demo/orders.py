"""The life of an order, told by the shop's back end: created, paid, shipped, received, reviewed, refunded."""

from __future__ import annotations

from collections.abc import Sequence

from siyu.demo import brand
from siyu.demo.book import DAY_MS, Book
from siyu.demo.dialects import quoted, segment_track

_HOUR_MS = 3_600_000
_REVIEWS = ("茶香很足", "毛孩子很爱吃", "包装用心", "发货快", "会回购", "比上次的批次淡一点")
_BASKETS = tuple(
    f'"sku":"{item.sku}","product":{quoted(item.name)},"category":{quoted(item.category)}' for item in brand.PRODUCTS
)


class Orders:
    """Writes orders into the book."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def order(self, person: int, end: str, at: int, product: int, draws: Sequence[float], pays: float) -> bool:
        """An order made at `at`; whether it is paid. `pays`: chance of that. Uses eight draws."""
        book = self._book
        order_id = f"TP{person:05}{book.number(person):04}"
        quantity = 1 + (draws[0] > 0.72) + (draws[0] > 0.93)
        list_fen = brand.PRODUCTS[product].price_fen * quantity
        saved_fen = (list_fen * 12 // 100) if draws[1] < 0.24 and list_fen > 6_000 else 0
        paid_fen = list_fen - saved_fen
        basket = f'"order_id":"{order_id}",{_BASKETS[product]},"quantity":{quantity}'
        self._tell(person, end, "order.created", at, f'{basket},"list_fen":{list_fen},"payable_fen":{paid_fen}')
        if draws[2] >= pays:
            if draws[2] > 0.96:
                self._tell(person, end, "order.cancelled", at + _HOUR_MS // 2, f'{basket},"reason":"timeout"')
            return False
        paid_at = at + 20_000 + int(draws[3] * 240_000)
        if saved_fen:
            self._tell(
                person, end, "coupon.redeemed", paid_at, f'"order_id":"{order_id}","code":"N88","saved_fen":{saved_fen}'
            )
        self._tell(person, end, "order.paid", paid_at, f'{basket},"amount_fen":{paid_fen},"list_fen":{list_fen}')
        self._after(person, end, paid_at, basket, paid_fen, draws)
        return True

    def _after(self, person: int, end: str, paid_at: int, basket: str, paid_fen: int, draws: Sequence[float]) -> None:
        shipped = paid_at + 6 * _HOUR_MS + int(draws[4] * DAY_MS)
        received = shipped + DAY_MS + int(draws[5] * 3 * DAY_MS)
        if draws[6] < 0.025:
            refunded = paid_at + int(_HOUR_MS * (1 + 4 * draws[7]))
            self._tell(person, end, "order.refunded", refunded, f'{basket},"refund_fen":{paid_fen},"reason":"changed_mind"')
            return
        self._tell(person, end, "order.fulfilled", shipped, f'{basket},"carrier":"SF"')
        self._tell(person, end, "order.received", received, basket)
        if draws[6] > 0.975:
            refunded = received + int(DAY_MS * 2 * draws[7])
            self._tell(
                person, end, "order.refunded", refunded, f'{basket},"refund_fen":{paid_fen // 2},"reason":"partly_damaged"'
            )
        elif draws[7] < 0.14:
            stars = 5 - (draws[6] > 0.6) - (draws[6] > 0.9)
            words = _REVIEWS[int(draws[6] * len(_REVIEWS))]
            self._tell(person, end, "order.reviewed", received + DAY_MS, f'{basket},"stars":{stars},"text":"{words}"')

    def _tell(self, person: int, end: str, name: str, at: int, properties: str) -> None:
        book = self._book
        who = f'"userId":"{book.ids(person).user}"'
        context = f'{{"end":"{end}"}}'
        book.write(
            "server", at, segment_track(name, book.message_id(person), book.time(at), who, properties, context)
        )
