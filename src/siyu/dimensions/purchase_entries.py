"""Dimensions of buying: orders, money, rhythm, price, service."""
# ruff: noqa: E501 - a table: one entry, one line.

from __future__ import annotations

from typing import Final

from siyu.dimensions.dimension import Aggregate, Band, Const, Difference, Dimension, Ratio, Total
from siyu.dimensions.expressions import (
    BOUGHT,
    EVER,
    PAID,
    PRODUCT_NAME,
    QUANTITY,
    base,
    count,
    days,
    figure,
    first,
    gaps,
    items,
    last,
    latest,
    mean_gap,
    money,
    next_after,
    of_lines,
    percent,
    ref,
    regularity,
    since,
    span,
    this,
)
from siyu.dimensions.values import LEVELS
from siyu.rules.commerce import BRAND, CATEGORY, PRODUCT
from siyu.rules.condition import parse_condition
from siyu.rules.rule import MONEY, SUM_SCALE
from siyu.rules.window import Window

REFUND: Final = "order.refunded"
_SAVING: Final = ("discount_fen", "saved_fen", "coupon_fen")
_STARS: Final = ("stars", "rating", "score")
_YUAN_SAVING: Final = ("discount", "discount_amount", "coupon_amount")
_CHEAPER: Final = parse_condition(
    {"any": [
        *({"property": name, "op": "gt", "value": 0} for name in (*_SAVING, *_YUAN_SAVING)),
        *({"property": name, "op": "exists"} for name in ("coupon", "coupon_id", "coupon_code")),
    ]}
)  # fmt: skip
_WITH_COUPON: Final = parse_condition(
    {"any": [{"property": name, "op": "exists"} for name in ("coupon", "coupon_id", "coupon_code")]}
)


def _added(name: str, fen: int, window: Window = EVER) -> Ratio:
    """A property of paid orders summed up, in fen; `fen`: how many of them one of it is."""
    return Ratio(Aggregate("metric", base(PAID, window, kind="sum", of=name)), Const(SUM_SCALE), fen)


_SAVED: Final = Total((*(_added(name, 1) for name in _SAVING), *(_added(name, 100) for name in _YUAN_SAVING)))
_LIST: Final = Total((_added("list_fen", 1),))

# fmt: off
PURCHASE: Final = (
    Dimension("orders", "订单数", "Orders", "purchase", "orders", count(PAID), "Paid orders, ever.", "一共支付过多少单。"),
    Dimension("orders_7d", "近7天订单数", "Orders in 7 days", "purchase", "orders", count(PAID, last(7)), "Paid orders in the last 7 days.", "最近7天支付的订单数。"),
    Dimension("orders_30d", "近30天订单数", "Orders in 30 days", "purchase", "orders", count(PAID, last(30)), "Paid orders in the last 30 days.", "最近30天支付的订单数。"),
    Dimension("orders_90d", "近90天订单数", "Orders in 90 days", "purchase", "orders", count(PAID, last(90)), "Paid orders in the last 90 days.", "最近90天支付的订单数。"),
    Dimension("orders_365d", "近365天订单数", "Orders in 365 days", "purchase", "orders", count(PAID, last(365)), "Paid orders in a year.", "一年内支付的订单数。"),
    Dimension("orders_this_month", "本月订单数", "Orders this month", "purchase", "orders", count(PAID, this("month")), "Paid orders of the calendar month.", "本自然月支付的订单数。"),
    Dimension("orders_this_year", "本年订单数", "Orders this year", "purchase", "orders", count(PAID, this("year")), "Paid orders of the calendar year.", "本自然年支付的订单数。"),
    Dimension("net_orders", "净订单数", "Net orders", "purchase", "orders", count(PAID, net=True), "Orders that were not wholly refunded.", "没有全额退款的订单数。"),
    Dimension("orders_made", "提交订单次数", "Orders made", "purchase", "orders", count("order.created"), "Orders made, paid or not.", "提交过的订单数，不论是否支付。"),
    Dimension("orders_cancelled", "取消订单次数", "Orders cancelled", "purchase", "orders", count("order.cancelled"), "Orders cancelled.", "取消过的订单数。"),
    Dimension("payment_share", "订单支付率", "Payment share", "purchase", "percent", percent(count(PAID), count("order.created"), 100), "Of the orders made, those paid.", "提交的订单中支付成功的比例。"),
    Dimension("order_days", "下单天数", "Days with orders", "purchase", "days", days(PAID), "Local days with a paid order.", "有支付订单的自然日数。"),
    Dimension("first_order_at", "首单时间", "First order at", "purchase", "", first(PAID), "When the first order was paid.", "第一次支付订单的时间。"),
    Dimension("last_order_at", "最近下单时间", "Last order at", "purchase", "", latest(PAID), "When the last order was paid.", "最近一次支付订单的时间。"),
    Dimension("items_bought", "购买件数", "Items bought", "purchase", "items", items(BOUGHT), "The quantities of all paid orders together.", "所有支付订单的件数之和。"),
    Dimension("basket_size", "平均每单件数", "Basket size", "purchase", "items", Ratio(items(PAID), of_lines("said", PAID, *QUANTITY), 10), "Items of an order, of the orders that say how many.", "注明件数的订单平均每单几件。", 1),
    Dimension("largest_basket", "最大单件数", "Largest basket", "purchase", "items", Ratio(of_lines("largest", PAID, *QUANTITY), Const(SUM_SCALE), 1), "Most items of one order.", "一单最多买了几件。"),
    Dimension("products_bought", "购买商品款数", "Products bought", "purchase", "items", of_lines("different", BOUGHT, *PRODUCT), "Different products bought.", "买过多少款商品。"),
    Dimension("categories_bought", "购买品类数", "Categories bought", "purchase", "kinds", of_lines("different", BOUGHT, *CATEGORY), "Different categories bought: how much of the range is used.", "买过多少个品类，即品类渗透。"),
    Dimension("first_product", "首购商品", "First product", "purchase", "", of_lines("earliest", BOUGHT, *PRODUCT_NAME), "What was bought first.", "第一次买的商品。"),
    Dimension("last_product", "最近购买商品", "Last product", "purchase", "", of_lines("latest", BOUGHT, *PRODUCT_NAME), "What was bought last.", "最近一次买的商品。"),
    Dimension("favourite_product", "最常购买商品", "Favourite product", "purchase", "", of_lines("commonest", BOUGHT, *PRODUCT_NAME), "What was bought in most orders.", "在最多订单里出现的商品。"),
    Dimension("bought_category", "最常购买品类", "Category bought most", "purchase", "", of_lines("commonest", BOUGHT, *CATEGORY), "The category of most orders.", "订单最多的品类。"),
    Dimension("bought_brand", "最常购买品牌", "Brand bought most", "purchase", "", of_lines("commonest", BOUGHT, *BRAND), "The brand of most orders.", "订单最多的品牌。"),
    Dimension("payment_method", "常用支付方式", "Payment method", "purchase", "", figure("commonest", PAID, "payment_method", "pay_method", "pay_type"), "How most orders are paid.", "最常用的支付方式。"),
    Dimension("purchase_store", "常去门店", "Store of orders", "purchase", "", figure("commonest", PAID, "store", "store_name", "shop", "store_id"), "The store of most orders.", "下单最多的门店。"),
    Dimension("spend_fen", "累计消费额", "Spend", "money", "fen", money(), "Paid for orders, before refunds.", "支付订单的总金额，未扣退款。"),
    Dimension("spend_30d_fen", "近30天消费额", "Spend in 30 days", "money", "fen", money(PAID, last(30)), "Paid in the last 30 days.", "最近30天支付的金额。"),
    Dimension("spend_90d_fen", "近90天消费额", "Spend in 90 days", "money", "fen", money(PAID, last(90)), "Paid in the last 90 days.", "最近90天支付的金额。"),
    Dimension("spend_365d_fen", "近365天消费额", "Spend in 365 days", "money", "fen", money(PAID, last(365)), "Paid in a year.", "一年内支付的金额。"),
    Dimension("spend_this_month_fen", "本月消费额", "Spend this month", "money", "fen", money(PAID, this("month")), "Paid in the calendar month.", "本自然月支付的金额。"),
    Dimension("spend_this_year_fen", "本年消费额", "Spend this year", "money", "fen", money(PAID, this("year")), "Paid in the calendar year.", "本自然年支付的金额。"),
    Dimension("net_spend_fen", "净消费额", "Net spend", "money", "fen", money(net=True), "Paid less refunded.", "支付金额减去退款。"),
    Dimension("net_spend_365d_fen", "近365天净消费额", "Net spend in 365 days", "money", "fen", money(PAID, last(365), net=True), "Paid less refunded in a year.", "一年内支付减去退款的金额。"),
    Dimension("average_order_fen", "客单价", "Average order", "money", "fen", Ratio(money(), count(PAID), 1), "Spend per paid order.", "平均每单支付的金额。"),
    Dimension("average_order_90d_fen", "近90天客单价", "Average order in 90 days", "money", "fen", Ratio(money(PAID, last(90)), count(PAID, last(90)), 1), "Spend per paid order of the last 90 days.", "最近90天平均每单的金额。"),
    Dimension("largest_order_fen", "最高单笔金额", "Largest order", "money", "fen", figure("largest", PAID, MONEY), "The dearest order.", "金额最高的一单。"),
    Dimension("smallest_order_fen", "最低单笔金额", "Smallest order", "money", "fen", figure("smallest", PAID, MONEY), "The cheapest order.", "金额最低的一单。"),
    Dimension("spend_per_day_fen", "下单日均消费额", "Spend per order day", "money", "fen", Ratio(money(), days(PAID), 1), "Spend per local day with an order.", "有订单的日子平均消费多少。"),
    Dimension("spend_per_item_fen", "件单价", "Spend per item", "money", "fen", Ratio(money(), items(BOUGHT), 1), "Spend divided by items: how dear the chosen goods are.", "消费额除以件数：平均一件多少钱。"),
    Dimension("spend_trend", "消费变化率", "Change of spend", "money", "percent", percent(ref("spend_90d_fen"), Difference(money(PAID, last(180)), ref("spend_90d_fen"))), "The last 90 days against the 90 before: 100 is no change.", "最近90天与之前90天之比，100表示没有变化。"),
    Dimension("recent_spend_share", "近90天消费占比", "Share of recent spend", "money", "percent", percent(ref("spend_90d_fen"), money(), 100), "How much of all spend fell into the last 90 days.", "最近90天消费占全部的比例。"),
    Dimension("days_to_first_order", "首单前天数", "Days to first order", "rhythm", "days", Difference(figure("first_day", PAID), figure("first_day"), 0), "From the first action to the first order: how long winning took.", "从第一次行为到首单的天数。"),
    Dimension("days_since_order", "距上次下单天数", "Days since order", "rhythm", "days", since(PAID), "Local days since the last paid order.", "距最近一次支付订单的天数。"),
    Dimension("days_since_first_order", "首单至今天数", "Days since first order", "rhythm", "days", since(PAID, "first_day"), "How long the person has been a customer.", "成为客户多少天了。"),
    Dimension("order_gap", "平均下单间隔", "Mean gap between orders", "rhythm", "days", mean_gap(PAID), "Mean days between days with orders.", "两次下单日之间平均隔几天。", 1),
    Dimension("order_gap_median", "下单间隔中位数", "Median gap between orders", "rhythm", "days", Ratio(figure("gap_median", PAID), Const(2), 10), "The middle gap: one long break does not move it.", "下单间隔的中位数，不受个别长间隔影响。", 1),
    Dimension("order_gap_shortest", "最短下单间隔", "Shortest gap between orders", "rhythm", "days", figure("gap_shortest", PAID), "The shortest gap between days with orders.", "两次下单日之间最短隔几天。"),
    Dimension("order_gap_longest", "最长下单间隔", "Longest gap between orders", "rhythm", "days", figure("gap_longest", PAID), "The longest gap between days with orders.", "两次下单日之间最长隔几天。"),
    Dimension("order_gaps", "下单间隔个数", "Gaps between orders", "rhythm", "times", gaps(PAID), "How many gaps the figures of rhythm are made of.", "节奏类指标由多少个间隔算出。"),
    Dimension("order_span", "首末单相隔天数", "Days from first to last order", "rhythm", "days", span(PAID), "How long the person has been buying.", "第一单到最近一单相隔多少天。"),
    Dimension("order_regularity", "下单规律度", "Regularity of orders", "rhythm", "percent", regularity(PAID), "100: every gap the same; 0: no rhythm. From three days with orders on.", "100表示每次间隔相同，0表示毫无规律；至少三个下单日才有。"),
    Dimension("next_order_at", "预计下次下单时间", "Next order expected at", "rhythm", "", next_after(PAID), "The last order and the mean gap.", "最近下单时间加平均间隔。"),
    Dimension("overdue_days", "逾期未购天数", "Days overdue", "rhythm", "days", Difference(since(PAID), Ratio(span(PAID), gaps(PAID), 1)), "Days since the last order less the mean gap: above 0 the person is late.", "距上次下单天数减去平均间隔：大于0即已过了该买的时候。"),
    Dimension("activity_gap", "平均活跃间隔", "Mean gap between active days", "rhythm", "days", mean_gap(()), "Mean days between active days.", "两个活跃日之间平均隔几天。", 1),
    Dimension("activity_regularity", "活跃规律度", "Regularity of activity", "rhythm", "percent", regularity(()), "100: comes as regularly as a clock.", "100表示来得像钟表一样规律。"),
    Dimension("discounted_orders", "优惠订单数", "Discounted orders", "price", "orders", count(PAID, condition=_CHEAPER), "Paid orders with a discount or a coupon.", "用了折扣或优惠券的订单数。"),
    Dimension("full_price_orders", "原价订单数", "Full price orders", "price", "orders", Difference(count(PAID), count(PAID, condition=_CHEAPER), 0), "Paid orders without discount or coupon.", "没有折扣和优惠券的订单数。"),
    Dimension("discount_share", "优惠订单占比", "Discount share", "price", "percent", percent(count(PAID, condition=_CHEAPER), count(PAID)), "Of the paid orders, those with a discount or a coupon.", "订单中用了折扣或优惠券的比例。"),
    Dimension("discount_share_90d", "近90天优惠订单占比", "Discount share in 90 days", "price", "percent", percent(count(PAID, last(90), _CHEAPER), count(PAID, last(90))), "The same of the last 90 days.", "最近90天订单中用了优惠的比例。"),
    Dimension("saved_fen", "累计优惠额", "Saved", "price", "fen", _SAVED, "All discounts of paid orders together.", "支付订单的优惠总额。"),
    Dimension("discount_depth", "优惠力度", "Depth of discounts", "price", "percent", percent(_SAVED, Total((_SAVED, money()))), "Of the price before discounts, the part saved.", "优惠额占优惠前金额的比例。"),
    Dimension("below_list_share", "低于标价占比", "Below list price", "price", "percent", Difference(Const(100), percent(money(), _LIST, 100)), "How far orders were paid below their list price (list_fen).", "实付比标价（list_fen）低多少。"),
    Dimension("coupon_orders", "用券订单数", "Orders with a coupon", "price", "orders", count(PAID, condition=_WITH_COUPON), "Paid orders that name a coupon.", "写明优惠券的订单数。"),
    Dimension("price_sensitivity", "价格敏感度", "Price sensitivity", "price", "", Band(percent(Total((count(PAID, condition=_CHEAPER), count("coupon.redeemed"))), count(PAID), 100), (25, 60), ("low", "medium", "high")), "By discounted orders and redeemed coupons per order: below 25 % low, from 60 % high.", "按优惠订单与核销券数占订单数：低于25%为低，60%起为高。", choices=LEVELS),
    Dimension("spending_power", "消费力", "Spending power", "price", "", Band(Ratio(money(), count(PAID), 1), (10_000, 30_000), ("low", "medium", "high")), "By the average order: below 100 yuan low, from 300 yuan high.", "按客单价：低于100元为低，300元起为高。", choices=LEVELS),
    Dimension("coupons_viewed", "看券次数", "Coupons seen", "price", "times", count("coupon.viewed"), "How often a coupon was seen.", "看到优惠券的次数。"),
    Dimension("coupons_claimed", "领券张数", "Coupons claimed", "price", "items", count(("coupon.claimed", "coupon.issued")), "Coupons taken or given.", "领取或收到的优惠券数。"),
    Dimension("coupons_claimed_30d", "近30天领券张数", "Coupons claimed in 30 days", "price", "items", count(("coupon.claimed", "coupon.issued"), last(30)), "Coupons taken or given in the last 30 days.", "最近30天领取或收到的优惠券数。"),
    Dimension("coupons_used", "核销券数", "Coupons used", "price", "items", count("coupon.redeemed"), "Coupons redeemed.", "核销的优惠券数。"),
    Dimension("coupons_used_90d", "近90天核销券数", "Coupons used in 90 days", "price", "items", count("coupon.redeemed", last(90)), "Coupons redeemed in the last 90 days.", "最近90天核销的优惠券数。"),
    Dimension("coupon_use_share", "优惠券核销率", "Coupon use share", "price", "percent", percent(count("coupon.redeemed"), count(("coupon.claimed", "coupon.issued")), 100), "Of the coupons taken, those redeemed.", "领取的优惠券中核销的比例。"),
    Dimension("coupons_expired", "过期券数", "Coupons expired", "price", "items", count("coupon.expired"), "Coupons that were let expire.", "放任过期的优惠券数。"),
    Dimension("coupons_denied", "用券被拒次数", "Coupons denied", "price", "times", count("coupon.denied"), "How often a coupon could not be used.", "优惠券用不了的次数。"),
    Dimension("last_coupon_at", "最近用券时间", "Coupon used last at", "price", "", latest("coupon.redeemed"), "When a coupon was redeemed last.", "最近一次核销优惠券的时间。"),
    Dimension("promotion_clicks", "点击活动次数", "Promotion clicks", "price", "times", count("promotion.clicked"), "Promotions clicked.", "点击活动的次数。"),
    Dimension("refunds", "退款次数", "Refunds", "service", "times", count(REFUND), "How often money was given back.", "退款的次数。"),
    Dimension("refunds_90d", "近90天退款次数", "Refunds in 90 days", "service", "times", count(REFUND, last(90)), "Refunds in the last 90 days.", "最近90天退款的次数。"),
    Dimension("refund_fen", "累计退款额", "Refunded", "service", "fen", Difference(Const(0), money(REFUND)), "Money given back.", "退回的金额。"),
    Dimension("refund_share", "退款次数占比", "Refund share", "service", "percent", percent(count(REFUND), count(PAID), 100), "Refunds for a hundred paid orders.", "每百单中退款的次数。"),
    Dimension("refund_money_share", "退款金额占比", "Refunded money share", "service", "percent", percent(Difference(Const(0), money(REFUND)), money(), 100), "Of the money paid, how much went back.", "支付金额中退回的比例。"),
    Dimension("last_refund_at", "最近退款时间", "Refunded last at", "service", "", latest(REFUND), "When money was given back last.", "最近一次退款的时间。"),
    Dimension("reviews", "评价次数", "Reviews", "service", "times", count("order.reviewed"), "Products reviewed.", "评价商品的次数。"),
    Dimension("review_share", "评价率", "Review share", "service", "percent", percent(count("order.reviewed"), count(PAID), 100), "Reviews for a hundred paid orders.", "每百单中评价的次数。"),
    Dimension("review_stars", "平均评价星级", "Mean stars", "service", "", Ratio(Ratio(figure("sum", "order.reviewed", *_STARS), Const(SUM_SCALE // 10), 1), figure("said", "order.reviewed", *_STARS), 1), "Mean of the stars given.", "评价的平均星级。", 1),
    Dimension("bookings", "预约次数", "Bookings", "service", "times", count("booking.made"), "Bookings made.", "预约的次数。"),
    Dimension("bookings_attended", "预约到店次数", "Bookings attended", "service", "times", count("booking.attended"), "Bookings attended.", "预约后到店的次数。"),
    Dimension("booking_share", "预约到店率", "Booking attendance", "service", "percent", percent(count("booking.attended"), count("booking.made"), 100), "Of the bookings, those attended.", "预约中到店的比例。"),
    Dimension("forms", "提交表单次数", "Forms submitted", "service", "times", count("form.submitted"), "Forms submitted.", "提交表单的次数。"),
    Dimension("surveys", "填写问卷次数", "Surveys answered", "service", "times", count("survey.answered"), "Surveys answered.", "填写问卷的次数。"),
    Dimension("errors_met", "遇到出错次数", "Errors met", "service", "times", count("error.raised"), "How often something failed under the person's hands.", "使用中遇到出错的次数。"),
)
# fmt: on
