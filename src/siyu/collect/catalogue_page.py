"""docs/events.md, written from the catalogue: `python -m siyu.collect.catalogue_page > docs/events.md`."""

from __future__ import annotations

import sys
from typing import Final

from siyu.collect.catalogue import CATALOGUE, GROUPS, Entry
from siyu.rules import commerce


def _words(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names)


_HEAD: Final = f"""# Events

Written from `siyu/collect/catalogue.py` by `python -m siyu.collect.catalogue_page`; a test holds the two together.

Names are stored as they were sent. The catalogue says which names mean the same, what people read for them, and where
the money of a purchase or refund stands. Unknown names are welcome: they are stored, counted and usable everywhere.

**Money.** A purchase or refund moves `amount_fen`, `payable_fen` or `total_fen` (whole fen), else `total`, `revenue`,
`order_actual_amount`, `actual_amount`, `pay_amount`, `order_amount`, `amount` or `value` (yuan, converted exactly).
For a refund `refund_fen`, `refund_amount` and `refund_total` come first, and the sign is negative. Where none of these
is there, its lines say it, if each has a price: times its quantity, added up. A refund that says no amount at all gives
back what is left of its order. An event with a `currency` other than renminbi moves no money: a dollar is not counted
as a yuan.

**Orders and goods.** Each dialect has its words for them; the first that says something counts.

| what | words |
| --- | --- |
| number of an order | {_words(*commerce.ORDER)} |
| its lines, a list of objects | {_words(*commerce.LINE_LISTS)} |
| product of a line, or of an event without lines | {_words(*commerce.PRODUCT)} |
| its name | {_words(*commerce.PRODUCT_NAME)} |
| category | {_words(*commerce.CATEGORY)} |
| brand | {_words(*commerce.BRAND)} |
| quantity (none: 1) | {_words(*commerce.QUANTITY)} |
| price of one piece | {_words(*commerce.PRICE_FEN)} (fen), else {_words(*commerce.PRICE_YUAN)} (yuan) |

Sensors (神策) has no lists of objects: its `PayOrder` tells of an order as a whole, and a `PayOrderDetail` of each of
its goods. [Dimensions](dimensions.md) of what is bought read both; orders, money and points follow from `PayOrder`.

**A way in.** On events marked so, `state` (渠道活码) and `scene` in the properties tell where the person came from.

**No behaviour.** Events marked so are not something a person did: messages between an SDK and the server (a changed
profile, a linked identity), or something said of them. They make nobody an active customer, and questions about
"any event" leave them out.

**No sighting.** Of these the person need not even have been there: a message that was sent to them, a parcel on its
way, a coupon that ran out. They do not move the day a person was last seen, nor their lifecycle: who sleeps is still
asleep after the message that is to wake them, and awake when they open it.
"""


def page() -> str:
    """The page as Markdown."""
    parts = [_HEAD]
    for group, (zh, en) in GROUPS.items():
        parts.append(f"\n## {en} {zh}\n\n| name | 中文 | English | also sent as | |\n| --- | --- | --- | --- | --- |\n")
        parts += [_row(entry) for entry in CATALOGUE if entry.group == group]
    return "".join(parts)


def _row(entry: Entry) -> str:
    notes = [
        {1: "purchase", -1: "refund"}.get(entry.sign, ""),
        "a way in" if entry.entrance else "",
        "" if entry.behaviour else "no behaviour",
        "" if entry.sighting else "no sighting",
    ]
    aliases = ", ".join(f"`{alias}`" for alias in entry.aliases)
    return f"| `{entry.name}` | {entry.zh} | {entry.en} | {aliases} | {', '.join(filter(None, notes))} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
