"""Dimensions of what people do: activity, browsing, cart, when and where."""
# ruff: noqa: E501 - a table: one entry, one line.

from __future__ import annotations

from typing import Final

from siyu.dimensions.dimension import HOUR, WEEKDAY, Aggregate, Difference, Dimension, Ratio
from siyu.dimensions.expressions import (
    BOUGHT,
    PAID,
    PRODUCT_NAME,
    base,
    count,
    days,
    distinct,
    figure,
    first,
    last,
    latest,
    of_lines,
    percent,
    ref,
    since,
    streak,
)
from siyu.dimensions.values import ENDS
from siyu.rules.commerce import BRAND, CATEGORY, PRODUCT
from siyu.rules.condition import parse_condition
from siyu.rules.moments import WEEKDAYS

_LOOKED = ("product.viewed", "product.clicked")
_WANTED = ("product.viewed", "product.favourited", "cart.added", *BOUGHT)
_CART, _PAY = "cart.added", "order.checkout_started"


def _on(*ends: str) -> Aggregate:
    return count((), condition=parse_condition({"@end": list(ends)}))


# fmt: off
BEHAVIOUR: Final = (
    Dimension("events", "行为总次数", "Actions", "activity", "times", count(), "How much this person has done, ever.", "一共做过多少次行为。"),
    Dimension("events_7d", "近7天行为次数", "Actions in 7 days", "activity", "times", count((), last(7)), "How busy the person is this week.", "最近一周的活跃程度。"),
    Dimension("events_30d", "近30天行为次数", "Actions in 30 days", "activity", "times", count((), last(30)), "How busy the person is this month.", "最近一个月的活跃程度。"),
    Dimension("events_90d", "近90天行为次数", "Actions in 90 days", "activity", "times", count((), last(90)), "How busy the person is this season.", "最近一季的活跃程度。"),
    Dimension("active_days", "活跃天数", "Active days", "activity", "days", days(), "Local days on which the person did something.", "有行为的自然日数。"),
    Dimension("active_days_7d", "近7天活跃天数", "Active days in 7 days", "activity", "days", days((), last(7)), "Days of the last seven times 24 hours with something done.", "最近七天里有行为的天数。"),
    Dimension("active_days_30d", "近30天活跃天数", "Active days in 30 days", "activity", "days", days((), last(30)), "Days of the last thirty with something done.", "最近三十天里有行为的天数。"),
    Dimension("active_days_90d", "近90天活跃天数", "Active days in 90 days", "activity", "days", days((), last(90)), "Days of the last ninety with something done.", "最近九十天里有行为的天数。"),
    Dimension("events_365d", "近365天行为次数", "Actions in 365 days", "activity", "times", count((), last(365)), "How much was done in a year.", "一年内做过多少次行为。"),
    Dimension("first_active_at", "首次行为时间", "First action at", "activity", "", first(), "When the first thing was done that is known.", "已知最早的行为时间。"),
    Dimension("last_active_at", "最近行为时间", "Last action at", "activity", "", latest(), "When the last thing was done.", "最近一次行为的时间。"),
    Dimension("tenure_days", "相识天数", "Days known", "activity", "days", since((), "first_day"), "Local days since the first action: how long we know each other.", "从第一次行为到今天的天数。"),
    Dimension("idle_days", "沉默天数", "Idle days", "activity", "days", since(), "Local days since the last action.", "从最近一次行为到今天的天数。"),
    Dimension("active_streak", "连续活跃天数", "Streak of active days", "activity", "days", streak(), "Days in a row up to today or yesterday.", "到今天（或昨天）为止连续有行为的天数。"),
    Dimension("longest_streak", "最长连续活跃天数", "Longest streak of active days", "activity", "days", figure("run"), "The longest row of days there ever was.", "历史上最长的连续活跃天数。"),
    Dimension("activity_trend", "活跃变化率", "Change of activity", "activity", "percent", percent(ref("events_30d"), Difference(count((), last(60)), ref("events_30d"))), "The last 30 days against the 30 before: 100 is no change.", "最近30天与之前30天之比，100表示没有变化。"),
    Dimension("actions_per_day", "活跃日均行为次数", "Actions per active day", "activity", "per_day", Ratio(count(), days(), 10), "How much is done on a day with anything done.", "有行为的日子平均做多少次。", 1),
    Dimension("event_kinds", "行为种类数", "Kinds of actions", "activity", "kinds", distinct("@name"), "How many different things the person does.", "做过多少种不同的行为。"),
    Dimension("page_views", "浏览页面次数", "Page views", "browse", "times", count("page.viewed"), "Pages looked at.", "看过多少次页面。"),
    Dimension("page_views_30d", "近30天浏览页面次数", "Page views in 30 days", "browse", "times", count("page.viewed", last(30)), "Pages looked at in the last 30 days.", "最近30天看过多少次页面。"),
    Dimension("product_views", "浏览商品次数", "Product views", "browse", "times", count("product.viewed"), "Products looked at.", "看过多少次商品。"),
    Dimension("product_views_7d", "近7天浏览商品次数", "Product views in 7 days", "browse", "times", count("product.viewed", last(7)), "Fresh interest in products.", "最近一周对商品的兴趣。"),
    Dimension("product_views_30d", "近30天浏览商品次数", "Product views in 30 days", "browse", "times", count("product.viewed", last(30)), "Products looked at in the last 30 days.", "最近30天看过多少次商品。"),
    Dimension("products_viewed", "浏览商品款数", "Products viewed", "browse", "items", of_lines("different", _LOOKED, *PRODUCT), "Different products looked at.", "看过多少款不同商品。"),
    Dimension("views_per_product", "每款商品浏览次数", "Views per product", "browse", "per_item", Ratio(count(_LOOKED), of_lines("different", _LOOKED, *PRODUCT), 10), "High: comes back to the same things before deciding.", "数值高表示反复看同样的商品才决定。", 1),
    Dimension("categories_viewed", "浏览品类数", "Categories viewed", "browse", "kinds", of_lines("different", _LOOKED, *CATEGORY), "Different categories looked at.", "看过多少个品类。"),
    Dimension("list_views", "浏览列表次数", "List views", "browse", "times", count("product.list_viewed"), "Lists of products looked through.", "翻看商品列表的次数。"),
    Dimension("searches", "搜索次数", "Searches", "browse", "times", count("product.searched"), "How often the person searched for products.", "搜索商品的次数。"),
    Dimension("searches_30d", "近30天搜索次数", "Searches in 30 days", "browse", "times", count("product.searched", last(30)), "Fresh searches.", "最近30天的搜索次数。"),
    Dimension("last_search", "最近搜索词", "Last search", "browse", "", figure("latest", "product.searched", "query", "keyword", "search_term", "key_word"), "What was searched for last.", "最近一次搜索的内容。"),
    Dimension("favourites", "收藏次数", "Favourites", "browse", "times", count("product.favourited"), "Products put on the wish list.", "收藏商品的次数。"),
    Dimension("content_views", "阅读内容次数", "Content views", "browse", "times", count("content.viewed"), "Articles and stories read.", "阅读文章、内容的次数。"),
    Dimension("live_visits", "进直播间次数", "Live room visits", "browse", "times", count("live.entered"), "Visits to live rooms.", "进入直播间的次数。"),
    Dimension("store_visits", "到店次数", "Store visits", "browse", "times", count("store.visited"), "Visits to shops of brick.", "到线下门店的次数。"),
    Dimension("app_opens", "打开应用次数", "App opens", "browse", "times", count("app.opened"), "How often app or mini-program was opened.", "打开应用或小程序的次数。"),
    Dimension("app_opens_30d", "近30天打开应用次数", "App opens in 30 days", "browse", "times", count("app.opened", last(30)), "Opened in the last 30 days.", "最近30天打开应用的次数。"),
    Dimension("clicks", "点击元素次数", "Clicks", "browse", "times", count("element.clicked"), "Clicks that were recorded.", "记录到的点击次数。"),
    Dimension("last_viewed_at", "最近浏览商品时间", "Product viewed last at", "browse", "", latest("product.viewed"), "When a product was looked at last.", "最近一次看商品的时间。"),
    Dimension("days_since_view", "距上次浏览商品天数", "Days since product view", "browse", "days", since("product.viewed"), "Local days without looking at a product.", "多少天没看商品了。"),
    Dimension("last_viewed_product", "最近浏览商品", "Product viewed last", "browse", "", of_lines("latest", "product.viewed", *PRODUCT_NAME), "By name, else by number.", "名称，没有名称时为编号。"),
    Dimension("most_viewed_product", "最常浏览商品", "Product viewed most", "browse", "", of_lines("commonest", "product.viewed", *PRODUCT_NAME), "The product the person looks at most.", "看得最多的商品。"),
    Dimension("cart_adds", "加购次数", "Cart adds", "cart", "times", count(_CART), "How often something went into the cart.", "加入购物车的次数。"),
    Dimension("cart_adds_7d", "近7天加购次数", "Cart adds in 7 days", "cart", "times", count(_CART, last(7)), "Fresh wish to buy.", "最近一周的购买意向。"),
    Dimension("cart_adds_30d", "近30天加购次数", "Cart adds in 30 days", "cart", "times", count(_CART, last(30)), "Cart adds in the last 30 days.", "最近30天的加购次数。"),
    Dimension("cart_removals", "移出购物车次数", "Cart removals", "cart", "times", count("cart.removed"), "How often something was taken out again.", "移出购物车的次数。"),
    Dimension("cart_removal_share", "移出购物车占比", "Cart removal share", "cart", "percent", percent(count("cart.removed"), count(_CART), 100), "Of what went in, how much came out.", "加购后又移出的比例。"),
    Dimension("products_carted", "加购商品款数", "Products carted", "cart", "items", of_lines("different", _CART, *PRODUCT), "Different products put into the cart.", "加购过多少款商品。"),
    Dimension("last_cart_at", "最近加购时间", "Carted last at", "cart", "", latest(_CART), "When something went into the cart last.", "最近一次加购的时间。"),
    Dimension("days_since_cart", "距上次加购天数", "Days since cart add", "cart", "days", since(_CART), "Local days since something went into the cart.", "距最近一次加购的天数。"),
    Dimension("last_carted_product", "最近加购商品", "Product carted last", "cart", "", of_lines("latest", _CART, *PRODUCT_NAME), "What went into the cart last.", "最近加购的商品。"),
    Dimension("checkouts", "开始结算次数", "Checkouts", "cart", "times", count(_PAY), "How often a checkout was begun.", "开始结算的次数。"),
    Dimension("checkouts_30d", "近30天开始结算次数", "Checkouts in 30 days", "cart", "times", count(_PAY, last(30)), "Checkouts in the last 30 days.", "最近30天开始结算的次数。"),
    Dimension("view_to_cart", "浏览加购率", "Views to cart", "cart", "percent", percent(count(_CART), count("product.viewed"), 100), "Of a hundred product views, cart adds.", "每百次看商品中加购的次数。"),
    Dimension("view_to_order", "浏览下单率", "Views to orders", "cart", "percent", percent(count(PAID), count("product.viewed"), 100), "Of a hundred product views, paid orders.", "每百次看商品中支付订单的次数。"),
    Dimension("cart_to_order", "加购下单率", "Cart to orders", "cart", "percent", percent(count(PAID), count(_CART), 100), "Of a hundred cart adds, paid orders.", "每百次加购中支付订单的次数。"),
    Dimension("checkout_to_order", "结算支付率", "Checkouts to orders", "cart", "percent", percent(count(PAID), count(_PAY), 100), "Of a hundred checkouts, paid orders.", "每百次结算中支付成功的次数。"),
    Dimension("preferred_category", "偏好品类", "Preferred category", "preference", "", of_lines("commonest", _WANTED, *CATEGORY), "The category seen, kept, carted and bought most.", "浏览、收藏、加购、购买最多的品类。"),
    Dimension("preferred_category_90d", "近90天偏好品类", "Preferred category in 90 days", "preference", "", of_lines("commonest", _WANTED, *CATEGORY, window=last(90)), "The same of the last 90 days: tastes change.", "最近90天的偏好品类：口味会变。"),
    Dimension("preferred_brand", "偏好品牌", "Preferred brand", "preference", "", of_lines("commonest", _WANTED, *BRAND), "The brand seen, kept, carted and bought most.", "浏览、收藏、加购、购买最多的品牌。"),
    Dimension("preferred_product", "偏好商品", "Preferred product", "preference", "", of_lines("commonest", _WANTED, *PRODUCT), "The product number seen, kept, carted and bought most.", "浏览、收藏、加购、购买最多的商品编号。"),
    Dimension("preferred_hour", "偏好时段", "Preferred hour", "preference", "hour", figure("commonest", (), HOUR), "The local hour, 0 to 23, with most actions: when to write.", "行为最多的小时（0至23）：什么时候联系最合适。"),
    Dimension("preferred_weekday", "偏好星期", "Preferred weekday", "preference", "", figure("commonest", (), WEEKDAY), "The local weekday with most actions, 1 is Monday.", "行为最多的星期几，1为周一。", choices=WEEKDAYS),
    Dimension("purchase_hour", "偏好下单时段", "Preferred hour of orders", "preference", "hour", figure("commonest", PAID, HOUR), "The local hour with most paid orders.", "支付订单最多的小时。"),
    Dimension("purchase_weekday", "偏好下单星期", "Preferred weekday of orders", "preference", "", figure("commonest", PAID, WEEKDAY), "The local weekday with most paid orders, 1 is Monday.", "支付订单最多的星期几，1为周一。", choices=WEEKDAYS),
    Dimension("weekend_share", "周末行为占比", "Weekend share", "preference", "percent", percent(Aggregate("metric", base(), weekdays=(6, 7)), count()), "Of all actions, those on Saturday and Sunday.", "周六、周日行为的占比。"),
    Dimension("night_share", "夜间行为占比", "Night share", "preference", "percent", percent(Aggregate("metric", base(), hours=(22, 23, 0, 1, 2, 3, 4, 5)), count()), "Of all actions, those from 22:00 to 6:00.", "22点至次日6点行为的占比。"),
    Dimension("work_hours_share", "工作时段行为占比", "Working hours share", "preference", "percent", percent(Aggregate("metric", base(), hours=tuple(range(9, 18)), weekdays=(1, 2, 3, 4, 5)), count()), "Of all actions, Monday to Friday from 9:00 to 18:00.", "周一至周五9点至18点行为的占比。"),
    Dimension("preferred_end", "偏好渠道", "Preferred end", "channel", "", figure("commonest", (), "@end"), "The end with most actions.", "行为最多的终端。", choices=ENDS),
    Dimension("preferred_end_30d", "近30天偏好渠道", "Preferred end in 30 days", "channel", "", figure("commonest", (), "@end", window=last(30)), "The end with most actions in the last 30 days.", "最近30天行为最多的终端。", choices=ENDS),
    Dimension("first_end", "首次行为渠道", "First end", "channel", "", figure("earliest", (), "@end"), "Where the first action was.", "第一次行为所在的终端。", choices=ENDS),
    Dimension("last_end", "最近行为渠道", "Last end", "channel", "", figure("latest", (), "@end"), "Where the last action was.", "最近一次行为所在的终端。", choices=ENDS),
    Dimension("ends_used", "使用渠道数", "Ends used", "channel", "kinds", distinct("@end"), "How many different ends the person uses.", "使用过多少个终端。"),
    Dimension("purchase_end", "偏好下单渠道", "Preferred end of orders", "channel", "", figure("commonest", PAID, "@end"), "Where most orders were paid, as their sender says.", "支付订单最多的终端（按上报方）。", choices=ENDS),
    Dimension("purchase_ends", "下单渠道数", "Ends of orders", "channel", "kinds", distinct("@end", PAID), "On how many ends the person buys: two and more is omnichannel.", "在多少个终端下过单，两个以上即全渠道。"),
    Dimension("mini_program_share", "小程序行为占比", "Mini-program share", "channel", "percent", percent(_on("mini_program"), count()), "Of all actions, those in the mini-program.", "小程序内行为的占比。"),
    Dimension("app_share", "应用行为占比", "App share", "channel", "percent", percent(_on("app"), count()), "Of all actions, those in the app.", "应用内行为的占比。"),
    Dimension("web_share", "网站行为占比", "Website share", "channel", "percent", percent(_on("web"), count()), "Of all actions, those on the website.", "网站上行为的占比。"),
    Dimension("store_share", "门店行为占比", "Store share", "channel", "percent", percent(_on("store"), count()), "Of all actions, those in shops.", "门店行为的占比。"),
    Dimension("wecom_share", "企业微信行为占比", "WeCom share", "channel", "percent", percent(_on("wecom"), count()), "Of all actions, those in WeCom.", "企业微信内行为的占比。"),
    Dimension("official_account_actions", "公众号互动次数", "Official account actions", "channel", "times", count(("official_account.messaged", "official_account.menu_clicked", "official_account.scanned")), "Messages, menu clicks and scans at the official account.", "在公众号发消息、点菜单、扫码的次数。"),
    Dimension("wecom_contacts", "加好友次数", "WeCom contacts added", "channel", "times", count("wecom.contact_added"), "How often staff became a WeCom contact.", "添加企业微信好友的次数。"),
    Dimension("wecom_deletions", "删好友次数", "WeCom contacts deleted", "channel", "times", count("wecom.contact_deleted"), "How often the person left a WeCom contact.", "删除企业微信好友的次数。"),
    Dimension("groups_joined", "入群次数", "Groups joined", "channel", "times", count("wecom.group_joined"), "How often the person joined a customer group.", "加入客户群的次数。"),
    Dimension("groups_left", "退群次数", "Groups left", "channel", "times", count("wecom.group_left"), "How often the person left a customer group.", "退出客户群的次数。"),
)
# fmt: on
