"""The segments that every brand begins with: data. Made once, at the very first start; then the operator's own."""

from __future__ import annotations

from typing import Any, Final

from siyu.segments.records import Definition


def _ready(key: str, label: str, rule: dict[str, Any]) -> Definition:
    # Quiet: nobody asked for these events yet. An operator who wants them turns them on.
    return Definition(key, label, rule, listed=False, announced=False)


def _person(name: str, op: str, *value: Any) -> dict[str, Any]:
    return {"person": name, "op": op} | ({"value": value[0]} if value else {})


def _happened(event: str | list[str], days: int, times: int = 1) -> dict[str, Any]:
    window = {"last": days, "unit": "day"}
    return {"metric": "count", "event": event, "window": window, "op": "gte", "value": times}


_LIFECYCLE: Final = {
    "new": "新客",
    "active": "活跃客户",
    "vip": "高价值客户",
    "sleeping": "沉睡客户",
    "lost": "流失客户",
}
_CELLS: Final = {
    "important_value": ("重要价值客户", True, True, True),
    "important_develop": ("重要发展客户", True, False, True),
    "important_keep": ("重要保持客户", False, True, True),
    "important_win_back": ("重要挽留客户", False, False, True),
    "general_value": ("一般价值客户", True, True, False),
    "general_develop": ("一般发展客户", True, False, False),
    "general_keep": ("一般保持客户", False, True, False),
    "general_win_back": ("一般挽留客户", False, False, False),
}
_CONTACT: Final = ["wecom.contact_added", "wecom.group_joined", "official_account.followed", "user.registered"]
_INTEREST: Final = ["product.viewed", "content.viewed", "cart.added", "live.entered", "official_account.menu_clicked"]
_ADVOCACY: Final = ["share.engaged", "invite.accepted", "order.reviewed", "groupbuy.completed"]
_LADDER: Final[tuple[tuple[str, str, list[dict[str, Any]]], ...]] = (
    ("super_user", "超级用户", [_happened("order.paid", 365, 4), _happened(_ADVOCACY, 180, 3)]),
    ("trusts_me", "信任我", [_happened("order.paid", 365, 2)]),
    ("agrees_with_me", "认同我", [{"any": [_happened("order.paid", 365), _happened(_ADVOCACY, 90)]}]),
    ("recognises_me", "认识我", [{"any": [_happened(_CONTACT, 365), _happened(_INTEREST, 30, 3)]}]),
    ("knows_me", "知道我", [{"metric": "count", "window": {"last": 90, "unit": "day"}, "op": "gte", "value": 2}]),
    ("stranger", "陌生人", []),
)
"""The trust ladder from the top: each level its conditions, and none of the levels above. They look back a limited
time, so who does nothing more comes down again."""
_SOURCES: Final = {
    "channel_code": ("来自渠道码", "first_touch.state"),
    "mini_program_scene": ("来自小程序场景", "first_touch.scene"),
    "invitation": ("来自好友邀请", "first_touch.inviter"),
    "campaign_link": ("来自投放链接", "first_touch.utm_source"),
}


def _lifecycle() -> list[Definition]:
    return [
        _ready(f"lifecycle.{stage}", f"生命周期：{label}", _person("lifecycle", "eq", stage))
        for stage, label in _LIFECYCLE.items()
    ]


def _rfm() -> list[Definition]:
    cells = []
    for name, (label, *high) in _CELLS.items():
        scores = zip("rfm", high, strict=True)
        parts = [_person(f"rfm.{score}", "gte" if up else "lte", 4 if up else 3) for score, up in scores]
        cells.append(_ready(f"rfm.{name}", f"RFM：{label}", {"all": parts}))
    return cells


def _ladder() -> list[Definition]:
    levels: list[Definition] = []
    for name, label, conditions in _LADDER:
        above = [{"not": {"segment": level.key}} for level in levels]
        levels.append(_ready(f"trust.{name}", f"信任阶梯：{label}", {"all": [*conditions, *above]}))
    return levels


def _sources() -> list[Definition]:
    known = [
        _ready(f"source.{name}", f"来源：{label}", _person(attribute, "exists"))
        for name, (label, attribute) in _SOURCES.items()
    ]
    none = {"all": [{"not": {"segment": one.key}} for one in known]}
    return [*known, _ready("source.direct", "来源：自然到访", none)]


READY: Final = (*_lifecycle(), *_rfm(), *_ladder(), *_sources())
