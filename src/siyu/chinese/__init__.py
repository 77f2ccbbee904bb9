"""Why something is refused, in Chinese: tables beside the English sentences that the rooms refuse with (decision 0525).

Errors are raised in English, in one place each; the reader's language is known only where they are shown.
`tests/rules/test_chinese.py` looks that no sentence is missing here, and that none is two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from siyu.chinese import people, rules, shop, value
from siyu.errors import SiyuError

WORDS: Final = {
    "available": "可用",
    "pending": "待入账",
    "locked": "已锁定",
    "held": "已锁定",
    "debt": "欠账",
    "redeemed": "已使用",
    "expired": "已过期",
    "revoked": "已收回",
    "returned": "已退回",
    "committed": "已确认",
    "released": "已释放",
    "posted": "已入账",
    "voided": "已作废",
    "created": "待支付",
    "paid": "已支付",
    "fulfilled": "已发货",
    "received": "已收货",
    "completed": "已完成",
    "cancelled": "已取消",
    "refunded": "已退款",
    "on request": "按要求",
}
"""States and the like that stand in sentences."""
UNFULFILLED: Final = " Not fulfilled: "
"""What a refusal says before the conditions that do not hold; these have Chinese of their own, in `why`."""

_TABLES: Final = (*rules.SENTENCES, *value.SENTENCES, *shop.SENTENCES, *people.SENTENCES)


def letters(english: str) -> int:
    """How much of a pattern is given: what says more is asked before what says less."""
    return len(re.sub(r"\\.|\(.*?\)", "", english))


COMPILED: Final = tuple(
    (re.compile(english, re.DOTALL), chinese)
    for english, chinese in sorted(_TABLES, key=lambda pair: letters(pair[0]), reverse=True)
)
_START: Final = 5
"""Characters by which sentences are sorted out first: a flash sale refuses a thousand times a second."""


def _by_start() -> dict[str, list[tuple[re.Pattern[str], str]]]:
    """Start of a sentence → the lines that may answer; those that begin with a group may always (the start "")."""
    plain = re.compile(rf"[\w ,']{{{_START}}}")
    starts = [(found[0] if (found := plain.match(line[0].pattern)) else "", line) for line in COMPILED]
    return {wanted: [line for start, line in starts if start in (wanted, "")] for wanted in {"", *dict(starts)}}


_BY_START: Final = _by_start()
_GROUP: Final = re.compile(r"(¥?)\\(\d)")
"""What stands in a sentence; after a ¥ it is fen."""


def worded(error: SiyuError, lang: str) -> str:
    """What is wrong, in the reader's language (`zh` or `en`) where the sentence is there in it."""
    return (said_in_chinese(str(error), error.details) if lang == "zh" else None) or str(error)


def said_in_chinese(message: str, details: Mapping[str, Any]) -> str | None:
    """The Chinese of a refusal: `details["detail_zh"]`, which knows better words, or of the sentence; None: there is
    none. The conditions that do not hold are those of `details["why"]`."""
    if own := details.get("detail_zh"):
        return str(own)
    message, unfulfilled, _ = message.partition(UNFULFILLED)
    said, why = in_chinese(message), details.get("why")
    if said is None or not unfulfilled or not isinstance(why, list):
        return said
    return f"{said}未满足：{'；'.join(str(one.get('zh', '')) for one in why if isinstance(one, Mapping))}。"


def in_chinese(message: str) -> str | None:
    """The Chinese of a sentence; None for one that no table has."""
    for english, chinese in _BY_START.get(message[:_START], _BY_START[""]):
        if (found := english.fullmatch(message)) is not None:
            return _GROUP.sub(lambda group: _word(found[int(group[2])], money=bool(group[1])), chinese)
    return None


def _word(text: str, *, money: bool) -> str:
    if not money:
        return WORDS.get(text, text)
    whole, rest = divmod(abs(int(text)), 100)
    return f"{'-' if text.startswith('-') else ''}¥{whole}.{rest:02}"
