"""The catalogue of event names: data. Canonical names, labels, what other dialects call the same thing, and where the
money of a purchase or refund stands.

Names are stored as sent; the catalogue groups them for reports. Unknown names are welcome and mean what they mean.
docs/events.md is written from here.
"""
# ruff: noqa: E501 - CATALOGUE is a table: one row, one line.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal, DecimalException
from functools import lru_cache
from typing import Any, Final, NamedTuple

from siyu.rules.commerce import PRICE_FEN, PRICE_YUAN, QUANTITY
from siyu.rules.evaluate import listed_lines

FEN_MAX: Final = 10**13
"""A hundred thousand million yuan: more is a mistake of the sender."""

_YUAN_FIELDS: Final = (
    "total",
    "revenue",
    "order_actual_amount",
    "actual_amount",
    "pay_amount",
    "order_amount",
    "amount",
    "value",
)
_FEN_FIELDS: Final = ("amount_fen", "payable_fen", "total_fen")
_REFUND_FIELDS: Final = ("refund_amount", "refund_total", *_YUAN_FIELDS)
_REFUND_FEN_FIELDS: Final = ("refund_fen", *_FEN_FIELDS)
REFUND_FIELDS: Final = (*_REFUND_FEN_FIELDS, *_REFUND_FIELDS)
"""Where the amount of a refund may stand: the first that has one says it."""
_RENMINBI: Final = frozenset(("", "CNY", "RMB", "CNH", "¥", "￥", "元", "人民币"))


class Entry(NamedTuple):
    """One kind of behaviour."""

    name: str
    zh: str
    en: str
    group: str
    aliases: tuple[str, ...] = ()
    sign: int = 0
    """+1: a purchase, −1: a refund, 0: no money of the brand's moved."""
    entrance: bool = False
    """The person came in here: `state` and `scene` in its properties are a channel code and a way in."""
    behaviour: bool = True
    """False: not something a person did, but something said of or done to them, or a message between an SDK and its
    server (a profile change)."""
    sighting: bool = True
    """False: the person need not have been there. It moves neither their last sighting nor their lifecycle: a message
    that is meant to wake the sleeping would otherwise wake them all by being sent."""


GROUPS: Final = {
    "browse": ("浏览", "Browsing"),
    "cart": ("购物车", "Cart"),
    "order": ("订单", "Orders"),
    "coupon": ("优惠券", "Coupons"),
    "member": ("会员与积分", "Membership and points"),
    "share": ("分享与裂变", "Sharing and referral"),
    "community": ("社群与好友", "Contacts and groups"),
    "message": ("触达与消息", "Messages"),
    "form": ("表单与预约", "Forms and booking"),
    "account": ("账号", "Account"),
    "consent": ("授权与标签", "Consent and tags"),
    "system": ("系统", "System"),
}
"""Group → (Chinese, English) label."""


def _said(name: str, zh: str, en: str, group: str, aliases: tuple[str, ...] = (), *, sign: int = 0) -> Entry:
    """An event that is said of a person or done to them: a message sent, a parcel on its way, a coupon that ran out."""
    return Entry(name, zh, en, group, aliases, sign, behaviour=False, sighting=False)


# fmt: off
CATALOGUE: Final[tuple[Entry, ...]] = (
    Entry("page.viewed", "浏览页面", "Page viewed", "browse", ("page", "screen", "$pageview", "$screen", "$MPViewScreen", "$AppViewScreen", "page_view", "Page Viewed", "Screen Viewed")),
    Entry("page.left", "离开页面", "Page left", "browse", ("$pageleave", "$WebStay", "$WebPageLeave", "$MPPageLeave", "$AppPageLeave")),
    Entry("element.clicked", "点击元素", "Element clicked", "browse", ("$autocapture", "$WebClick", "$AppClick", "$MPClick", "Clicked", "$rageclick")),
    Entry("app.opened", "打开应用", "App opened", "browse", ("$AppStart", "$MPShow", "Application Opened", "Application Foregrounded", "$app_opened"), entrance=True),
    # A start of a mini-program is told twice: as a launch, and as coming to the front, which every opening is.
    Entry("app.launched", "启动小程序", "Mini-program launched", "browse", ("$MPLaunch",), entrance=True),
    Entry("app.closed", "离开应用", "App closed", "browse", ("$AppEnd", "$MPHide", "Application Backgrounded", "$app_backgrounded")),
    Entry("app.installed", "安装应用", "App installed", "browse", ("$AppInstall", "Application Installed", "$app_installed"), entrance=True),
    Entry("product.viewed", "浏览商品", "Product viewed", "browse", ("Product Viewed", "ViewProduct", "CommodityDetail", "view_item", "product_viewed")),
    Entry("product.list_viewed", "浏览商品列表", "Product list viewed", "browse", ("Product List Viewed", "view_item_list")),
    Entry("product.clicked", "点击商品", "Product clicked", "browse", ("Product Clicked", "select_item")),
    Entry("product.searched", "搜索商品", "Products searched", "browse", ("Products Searched", "SearchRequest", "search")),
    Entry("product.favourited", "收藏商品", "Product added to wishlist", "browse", ("Product Added to Wishlist", "add_to_wishlist", "CollectCommodity")),
    Entry("content.viewed", "阅读内容", "Content viewed", "browse", ("Content Viewed", "Article Viewed")),
    Entry("live.entered", "进入直播间", "Live room entered", "browse", ("Live Room Entered",), entrance=True),
    Entry("store.visited", "到店", "Store visited", "browse", ("Store Visited",), entrance=True),
    Entry("cart.added", "加入购物车", "Added to cart", "cart", ("Product Added", "AddToShoppingCart", "add_to_cart", "AddToCart", "add2cart", "added_to_cart", "Wishlist Product Added to Cart")),
    Entry("cart.removed", "移出购物车", "Removed from cart", "cart", ("Product Removed", "remove_from_cart", "RemoveFromCart")),
    Entry("cart.viewed", "查看购物车", "Cart viewed", "cart", ("Cart Viewed", "view_cart", "ShoppingCart")),
    Entry("cart.shared", "分享购物车", "Cart shared", "cart", ("Cart Shared",)),
    Entry("order.checkout_started", "开始结算", "Checkout started", "order", ("Checkout Started", "begin_checkout")),
    Entry("order.checkout_step", "结算步骤", "Checkout step", "order", ("Checkout Step Viewed", "Checkout Step Completed")),
    Entry("order.payment_info", "填写支付信息", "Payment info entered", "order", ("Payment Info Entered", "add_payment_info")),
    Entry("order.created", "提交订单", "Order created", "order", ("SubmitOrder", "Order Created", "Order Placed", "submitOrder")),
    Entry("order.paid", "支付订单", "Order paid", "order", ("Order Completed", "Order Paid", "PayOrder", "payOrder", "purchase", "order_completed", "Completed Order"), sign=1),
    # Sensors tells of an order as a whole, then of each of its goods.
    Entry("order.line_created", "提交订单商品", "Line of an order created", "order", ("SubmitOrderDetail",), behaviour=False),
    Entry("order.line_paid", "支付订单商品", "Line of an order paid", "order", ("PayOrderDetail",), behaviour=False),
    _said("order.fulfilled", "发货", "Order shipped", "order", ("Order Fulfilled", "Order Shipped")),
    Entry("order.received", "确认收货", "Order received", "order", ("Order Delivered", "ReceiveOrder")),
    _said("order.completed", "订单完成", "Order closed", "order", ("Order Closed",)),
    Entry("order.updated", "修改订单", "Order updated", "order", ("Order Updated",)),
    Entry("order.cancelled", "取消订单", "Order cancelled", "order", ("Order Cancelled", "CancelPayOrder", "CancelOrder")),
    Entry("order.refunded", "退款", "Order refunded", "order", ("Order Refunded", "refund", "RefundOrder", "order_refunded"), sign=-1),
    Entry("order.payment_returned", "付款退回", "Payment returned", "order", behaviour=False),
    _said("order.voided", "退回的订单余款", "Rest of an order given back", "order", sign=-1),
    Entry("order.echoed", "订单重复告知", "Order told again", "order", behaviour=False),
    Entry("order.reviewed", "评价商品", "Product reviewed", "order", ("Product Reviewed", "ProductComment")),
    Entry("coupon.viewed", "看到优惠券", "Coupon viewed", "coupon", ("Coupon Viewed", "Promotion Viewed", "view_promotion")),
    Entry("coupon.entered", "输入优惠码", "Coupon entered", "coupon", ("Coupon Entered",)),
    Entry("coupon.claimed", "领取优惠券", "Coupon claimed", "coupon", ("ReceiveCoupon", "GetCoupon", "receiveDiscount")),
    _said("coupon.issued", "发放优惠券", "Coupon issued", "coupon"),
    Entry("coupon.locked", "锁定优惠券", "Coupon set aside", "coupon"),
    _said("coupon.released", "释放优惠券", "Coupon free again", "coupon"),
    Entry("coupon.applied", "使用优惠券", "Coupon applied", "coupon", ("Coupon Applied", "UseCoupon", "UseDiscount")),
    Entry("coupon.denied", "优惠券不可用", "Coupon denied", "coupon", ("Coupon Denied",)),
    Entry("coupon.redeemed", "核销优惠券", "Coupon redeemed", "coupon", ("Coupon Redeemed",)),
    _said("coupon.expired", "优惠券过期", "Coupon expired", "coupon"),
    _said("coupon.returned", "退回优惠券", "Coupon returned", "coupon"),
    _said("coupon.revoked", "收回优惠券", "Coupon taken back", "coupon"),
    Entry("coupon.removed", "取消使用优惠券", "Coupon removed", "coupon", ("Coupon Removed",)),
    Entry("promotion.clicked", "点击活动", "Promotion clicked", "coupon", ("Promotion Clicked", "select_promotion"), entrance=True),
    Entry("checkin", "签到", "Checked in", "member", ("checkin.done", "Checked In", "check_in", "SignIn", "CheckIn")),
    Entry("member.joined", "成为会员", "Membership joined", "member", ("Membership Joined",)),
    _said("tier.changed", "等级变化", "Tier changed", "member", ("member.tier_changed", "Tier Changed")),
    Entry("points.earned", "获得积分", "Points earned", "member", ("Points Earned",)),
    Entry("points.spent", "使用积分", "Points spent", "member", ("Points Spent", "spend_virtual_currency")),
    _said("points.expired", "积分过期", "Points expired", "member"),
    Entry("mall.redeemed", "兑换积分商城", "Points mall redeemed", "member"),
    Entry("quest.completed", "完成任务", "Quest completed", "member", ("Quest Completed",)),
    Entry("lottery.drawn", "抽奖", "Lottery drawn", "member", ("Lottery Drawn",)),
    Entry("share.sent", "发起分享", "Shared", "share", ("Product Shared", "$MPShare", "share", "Content Shared", "Shared")),
    Entry("share.opened", "打开分享", "Share opened", "share", ("Share Opened",), entrance=True),
    Entry("share.engaged", "好友参与分享", "Friend took part", "share", ("Share Engaged",), entrance=True),
    Entry("invite.sent", "邀请好友", "Invite sent", "share", ("Invite Sent",)),
    Entry("invite.accepted", "接受邀请", "Invite accepted", "share", ("Invite Accepted",), entrance=True),
    _said("invite.succeeded", "邀请成功", "Friend joined", "share"),
    Entry("assist.started", "发起助力", "Assist started", "share"),
    Entry("assist.given", "助力好友", "Assist given", "share"),
    Entry("groupbuy.opened", "开团", "Group buy opened", "share"),
    Entry("groupbuy.joined", "参团", "Group buy joined", "share"),
    _said("groupbuy.completed", "成团", "Group buy completed", "share"),
    Entry("wecom.contact_added", "添加企业微信好友", "WeCom contact added", "community", (), entrance=True),
    Entry("wecom.contact_deleted", "删除企业微信好友", "WeCom contact deleted", "community"),
    Entry("wecom.group_joined", "加入会员群", "WeCom group joined", "community", (), entrance=True),
    Entry("wecom.group_left", "退出会员群", "WeCom group left", "community"),
    Entry("official_account.followed", "关注公众号", "Official account followed", "community", (), entrance=True),
    Entry("official_account.unfollowed", "取消关注公众号", "Official account unfollowed", "community"),
    Entry("official_account.scanned", "扫公众号二维码", "Official account code scanned", "community", (), entrance=True),
    Entry("official_account.messaged", "公众号发消息", "Message to official account", "community"),
    Entry("official_account.menu_clicked", "点击公众号菜单", "Official account menu clicked", "community"),
    _said("message.sent", "发送消息", "Message sent", "message", ("Email Sent", "SMS Sent", "Push Notification Sent")),
    _said("message.delivered", "消息送达", "Message delivered", "message", ("Email Delivered", "SMS Delivered", "Push Notification Received")),
    Entry("message.opened", "打开消息", "Message opened", "message", ("Email Opened",)),
    Entry("message.clicked", "点击消息", "Message clicked", "message", ("Email Link Clicked", "Push Notification Tapped", "$AppPushClick"), entrance=True),
    _said("message.failed", "消息失败", "Message failed", "message", ("Email Bounced", "SMS Failed", "Push Notification Bounced")),
    Entry("message.unsubscribed", "退订", "Unsubscribed", "message", ("Unsubscribed", "Email Unsubscribed")),
    Entry("form.viewed", "查看表单", "Form viewed", "form", ("Form Viewed",)),
    Entry("form.submitted", "提交表单", "Form submitted", "form", ("Form Submitted", "form_submit", "generate_lead", "Lead Captured")),
    Entry("booking.made", "预约", "Booking made", "form", ("Booking Made", "Appointment Booked")),
    Entry("booking.attended", "预约到店", "Booking attended", "form", ("Booking Attended",)),
    Entry("booking.cancelled", "取消预约", "Booking cancelled", "form", ("Booking Cancelled",)),
    Entry("survey.answered", "填写问卷", "Survey answered", "form", ("survey sent", "Survey Submitted")),
    Entry("user.registered", "注册", "Registered", "account", ("Signed Up", "$SignUp", "sign_up", "signUp", "User Signed Up", "user_signed_up"), entrance=True),
    Entry("person.enrolled", "建档", "Enrolled", "account", behaviour=False),
    Entry("user.login", "登录", "Logged in", "account", ("Signed In", "login", "Logged In", "LoginResult")),
    Entry("user.logout", "退出登录", "Logged out", "account", ("Signed Out", "logout", "Logged Out")),
    Entry("consent.updated", "修改授权", "Consent updated", "consent", ("Segment Consent Preference Updated",)),
    _said("tag.added", "打标签", "Tag added", "consent"),
    _said("tag.removed", "移除标签", "Tag removed", "consent"),
    Entry("profile.updated", "更新资料", "Profile updated", "system", ("identify", "group", "$identify", "$set", "$set_once", "$unset", "$groupidentify", "profile_set", "profile_set_once", "profile_increment", "profile_append", "profile_unset", "profile_delete"), behaviour=False),
    _said("segment.entered", "进入人群", "Segment entered", "system"),
    _said("segment.left", "离开人群", "Segment left", "system"),
    Entry("identity.linked", "关联身份", "Identity linked", "system", ("alias", "$create_alias", "$merge_dangerously", "$BindID", "$UnbindID"), behaviour=False),
    Entry("item.updated", "更新物品", "Item updated", "system", ("item_set", "item_delete"), behaviour=False),
    Entry("error.raised", "出错", "Error", "system", ("$exception", "AppCrashed")),
    Entry("web_vitals.measured", "网页性能", "Web vitals", "system", ("$web_vitals", "$$heatmap", "$feature_flag_called"), behaviour=False),
)
# fmt: on

BY_NAME: Final[Mapping[str, Entry]] = {name: entry for entry in CATALOGUE for name in (entry.name, *entry.aliases)}
"""Canonical name or alias → entry."""
PURCHASES: Final = sorted(name for name, entry in BY_NAME.items() if entry.sign > 0)
"""Names of events that are a purchase, also when it was free."""
UNSEEN: Final = frozenset(name for name, entry in BY_NAME.items() if not entry.sighting)
"""Names of events that say something of a person who need not have been there."""


def canonical(name: str) -> str:
    """The catalogue's name for a stored name; the name itself when it is not in the catalogue."""
    entry = BY_NAME.get(name)
    return entry.name if entry else name


@lru_cache(4_096)
def spellings(name: str) -> tuple[str, ...]:
    """All stored names that mean the same as `name`, itself first."""
    entry = BY_NAME.get(name)
    return (name,) if entry is None else (name, *(n for n in (entry.name, *entry.aliases) if n != name))


def label(name: str, locale: str = "zh_CN") -> str:
    """What people read for a stored name."""
    entry = BY_NAME.get(name)
    if entry is None:
        return name
    return entry.zh if locale.startswith("zh") else entry.en


def fen(amount: object, *, unit_fen: int) -> int | None:
    """An amount as whole fen, exactly: 19.9 yuan (`unit_fen` 100) → 1990. Halves of a fen go up. None when it is no
    amount: a text without a number, infinite, over `FEN_MAX`."""
    number = _number(amount)
    return None if number is None else _whole_fen(number * unit_fen)


def _number(amount: object) -> Decimal | None:
    """A number of at most `FEN_MAX`; None for what is none."""
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        return None
    text = str(amount).strip().lstrip("¥￥").replace(",", "").removesuffix("元").strip()
    try:
        number = Decimal(text)
        return number if number.is_finite() and abs(number) <= FEN_MAX else None
    except DecimalException:
        return None


def _whole_fen(amount: Decimal) -> int | None:
    return None if abs(amount) > FEN_MAX else int(amount.to_integral_value(ROUND_HALF_UP))


def value_fen(name: str, properties: Mapping[str, Any]) -> int:
    """The money an event moved: positive for a purchase, negative for a refund, 0 for everything else, for amounts that
    are none and for other currencies than renminbi (a dollar is not counted as a yuan)."""
    currency = properties.get("currency")
    if isinstance(currency, str) and currency.strip().upper() not in _RENMINBI:
        return 0
    return BY_NAME[name].sign * amount if (amount := named_fen(name, properties)) else 0


def named_fen(name: str, properties: Mapping[str, Any]) -> int | None:
    """The amount that a purchase or refund names, in hundredths, whatever its currency, not below 0: where no property
    says it, what its lines cost, if each has a price. None: it names none, or is neither purchase nor refund."""
    entry = BY_NAME.get(name)
    if entry is None or entry.sign == 0:
        return None
    purchase = entry.sign > 0
    for fields, unit_fen in (
        (_FEN_FIELDS if purchase else _REFUND_FEN_FIELDS, 1),
        (_YUAN_FIELDS if purchase else _REFUND_FIELDS, 100),
    ):
        for field in fields:
            if field in properties and (amount := fen(properties[field], unit_fen=unit_fen)) is not None:
                return abs(amount)
    return _cost(listed_lines(properties))


def _cost(lines: Sequence[Mapping[str, Any]]) -> int | None:
    """Exactly, unlike the figure `@line.value_fen` of rules, which SQL has to agree with."""
    total = Decimal(0)
    for line in lines:
        price, units = _first(line, PRICE_FEN), _first(line, QUANTITY, Decimal(1))
        if price is None and (yuan := _first(line, PRICE_YUAN)) is not None:
            price = yuan * 100
        if price is None or units is None:
            return None
        total += abs(price * units)
    return _whole_fen(total) if lines else None


def _first(line: Mapping[str, Any], names: Sequence[str], otherwise: Decimal | None = None) -> Decimal | None:
    """The number of the first of these properties that is one; None where there are only others."""
    said = [line[name] for name in names if line.get(name) is not None]
    return next((number for one in said if (number := _number(one)) is not None), None if said else otherwise)
