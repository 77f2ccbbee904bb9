"""Every refusal that a call may answer has its title in both languages."""

from __future__ import annotations

import re
from pathlib import Path

from siyu.api.problems import _HTTP_CODES, refusal
from siyu.api.titles import TITLES_ZH
from siyu.errors import Refused

SOURCE = Path(__file__).parents[2] / "src" / "siyu"
ROOMS = (
    "analytics",
    "calendar",
    "coupons",
    "identity",
    "ledger",
    "loyalty",
    "membership",
    "profile",
    "rules",
    "segments",
    "shop",
)
CLASS = re.compile(r'^    code = "([A-Z_]+)"', re.MULTILINE)
REFUSED = re.compile(r'(?:Refused|Refusal|_refuse|Withheld)\(\s*"([A-Z_]{4,})"')
HAN = re.compile(r"[\u4e00-\u9fff]")


def documented() -> set[str]:
    """The codes that the pages on value name."""
    pages = ("coupons", "orders", "shop", "mall", "loyalty", "tiers", "checkin")
    text = "".join((SOURCE.parents[1] / "docs" / f"{page}.md").read_text() for page in pages)
    named = {one for one in re.findall(r"`([A-Z]+(?:_[A-Z]+)*)`", text) if not one.startswith("SIYU_")}
    return named - {"POST", "CHECKIN_REFUSED", "UNREADABLE_DELIVERY"}


def test_every_code_has_a_chinese_title() -> None:
    files = [SOURCE / "errors.py", *(path for room in ROOMS for path in (SOURCE / room).glob("*.py"))]
    text = "\n".join(path.read_text() for path in files)
    codes = {*CLASS.findall(text), *REFUSED.findall(text), *_HTTP_CODES.values()}
    codes |= documented()
    assert len(codes) > 80
    assert sorted(codes - set(TITLES_ZH)) == []
    assert all(HAN.search(title) for title in TITLES_ZH.values())


def test_a_refusal_says_both() -> None:
    body = refusal(Refused("COUPON_USED", "It was used before.", title_zh="nothing of ours"))
    assert (body["title"], body["title_zh"]) == ("Coupon used", "优惠券已用过")
    assert "title_zh" not in refusal(Refused("OTHER", "A code nobody knows."))
