"""The demo brand as data: what it sells, where, with which campaigns and codes, to people from where."""

from __future__ import annotations

from typing import Final, NamedTuple

NAME_ZH: Final = "茗爪"
NAME_EN: Final = "Teapaw"
SLOGAN_ZH: Final = "一杯好茶，一只毛孩子"
SLOGAN_EN: Final = "A good tea, a happy paw"

MP_APPID: Final = "wxteapaw0mini"
OA_APPID: Final = "wxteapaw0oa"
CORP_ID: Final = "wwteapaw"
PERSONS: Final = 20_000
"""Customers, unless another number is asked for."""
SITE: Final = "https://www.teapaw.example"
SHOP_ENDS: Final = ("mini_program", "web", "app")
"""Ends with a shop. `official_account`, `wecom` and `store` are the others."""


class Product(NamedTuple):
    """Something sold."""

    sku: str
    name: str
    category: str
    price_fen: int
    interest: int
    """Who wants it: 0 tea, 1 cat, 2 dog."""
    cycle_days: int
    """After how long it is used up."""


PRODUCTS: Final = (
    Product("T101", "凤凰单丛 鸭屎香 100g", "乌龙茶", 12800, 0, 45),
    Product("T102", "凤凰单丛 蜜兰香 50g", "乌龙茶", 6800, 0, 30),
    Product("T103", "武夷岩茶 大红袍 100g", "乌龙茶", 16800, 0, 45),
    Product("T201", "明前龙井 50g", "绿茶", 15800, 0, 40),
    Product("T202", "碧螺春 100g", "绿茶", 13800, 0, 45),
    Product("T301", "小种红茶 100g", "红茶", 8800, 0, 40),
    Product("T302", "金骏眉 50g", "红茶", 19800, 0, 50),
    Product("T401", "福鼎白茶饼 350g", "白茶", 26800, 0, 90),
    Product("T402", "陈皮白茶 小饼 10 粒", "白茶", 5900, 0, 25),
    Product("T501", "熟普洱 龙珠 20 粒", "普洱", 9900, 0, 40),
    Product("T601", "冷泡茶包 四味 12 包", "茶包", 3990, 0, 14),
    Product("T602", "桂花乌龙 茶包 15 包", "茶包", 4590, 0, 18),
    Product("G701", "旅行茶具 快客杯", "茶具", 8900, 0, 400),
    Product("C101", "鸡肉冻干猫粮 1.5kg", "猫主粮", 15900, 1, 30),
    Product("C102", "三文鱼全价猫粮 2kg", "猫主粮", 18900, 1, 35),
    Product("C103", "幼猫奶糕粮 1kg", "猫主粮", 9900, 1, 25),
    Product("C201", "主食罐 鸡肉 170g×12", "猫罐头", 13900, 1, 20),
    Product("C202", "主食罐 鸭肉 85g×24", "猫罐头", 15600, 1, 22),
    Product("C301", "冻干鹌鹑 零食 60g", "宠物零食", 4900, 1, 20),
    Product("C302", "猫条 混合 40 支", "宠物零食", 3900, 1, 18),
    Product("C401", "豆腐猫砂 2.5kg×4", "猫砂", 7900, 1, 28),
    Product("D101", "鸭肉梨全价犬粮 2kg", "犬主粮", 16900, 2, 30),
    Product("D102", "小型犬幼犬粮 1.5kg", "犬主粮", 12900, 2, 28),
    Product("D201", "牛肉干 训练零食 200g", "宠物零食", 3600, 2, 21),
    Product("D202", "洁齿棒 30 支", "宠物零食", 5900, 2, 30),
    Product("G702", "猫爪杯与小鱼干 礼盒", "联名礼盒", 19900, 1, 400),
    Product("G703", "茶香除味喷雾 300ml", "宠物护理", 4200, 2, 45),
)


class Campaign(NamedTuple):
    """An advertising campaign with UTM parameters."""

    name: str
    source: str
    medium: str
    content: str
    share: float
    """Part of the visitors that advertising brings."""
    interest: float
    """How much its visitors want to buy, 1 = like anybody."""
    stay: float
    """How much they come back, 1 = like anybody."""
    window: tuple[float, float]
    """When it ran, as parts of the period."""


CAMPAIGNS: Final = (
    Campaign("autumn-tea-notes", "xiaohongshu", "kol", "brewing-notes", 0.24, 1.9, 1.6, (0.35, 0.95)),
    Campaign("free-cat-stick", "douyin", "feed", "freebie-video", 0.46, 0.18, 0.3, (0.45, 0.62)),
    Campaign("brand-words", "baidu", "cpc", "brand", 0.18, 1.2, 1.0, (0.0, 1.0)),
    Campaign("new-member-88", "wechat", "moments", "first-order-88", 0.12, 1.1, 0.9, (0.1, 1.0)),
)
"""The first works; the second brings the most people and hardly a customer: the report should show it."""


class Code(NamedTuple):
    """A channel code (渠道活码): a WeCom contact code per place."""

    state: str
    place: str
    share: float


CODES: Final = (
    Code("parcel-card", "包裹卡", 0.38),
    Code("gz-tianhe", "广州天河店", 0.24),
    Code("sh-xuhui", "上海徐汇店", 0.18),
    Code("oa-menu", "公众号菜单", 0.14),
    Code("pet-fair", "宠物展易拉宝", 0.06),
)
STAFF: Final = ("茶茶", "阿爪", "小满", "清明", "谷雨", "白露")
STORES: Final = ("广州天河店", "上海徐汇店")
GROUPS: Final = ("茗爪会员群", "猫咪喂养群", "工夫茶友群")
ARTICLES: Final = (
    "单丛怎么冲才香", "猫咪换粮七日法", "白茶为什么越放越值", "狗狗夏天能喝茶水吗", "一人一猫的下午茶",
)  # fmt: skip
SCENES: Final = {"search": "1006", "share": "1007", "group_share": "1008", "article": "1058", "code": "1047"}
"""WeChat scene values of mini-program launches."""

CITIES: Final = (
    ("广州", "广东", 0.17), ("深圳", "广东", 0.12), ("上海", "上海", 0.14), ("杭州", "浙江", 0.09),
    ("北京", "北京", 0.10), ("成都", "四川", 0.09), ("武汉", "湖北", 0.06), ("福州", "福建", 0.06),
    ("厦门", "福建", 0.05), ("潮州", "广东", 0.04), ("南京", "江苏", 0.05), ("西安", "陕西", 0.03),
)  # fmt: skip
SURNAMES: Final = "王李张刘陈杨黄赵周吴徐孙朱马胡郭林何高罗郑梁谢宋唐许邓冯韩曹"
GIVEN: Final = (
    "梓涵", "子轩", "欣怡", "宇航", "思雨", "浩然", "雨桐", "嘉怡", "俊杰", "佳琪", "晓彤", "志强", "丽华", "建国",
    "秀英", "明轩", "诗涵", "一诺", "若曦", "沐阳", "安然", "知夏", "语嫣", "书瑶", "景行", "清扬", "舒窈", "云起",
)  # fmt: skip
PETS: Final = ("年糕", "豆包", "芝麻", "奶茶", "布丁", "可乐", "旺财", "团子", "汤圆", "咪咪", "橘子", "小白")
MESSAGES: Final = (
    ("repurchase-reminder", "补货提醒", 0.34, 0.16),
    ("weekend-tea", "周末茶会", 0.22, 0.05),
    ("member-day", "会员日", 0.29, 0.11),
    ("new-arrival", "新品上架", 0.18, 0.04),
)
"""(campaign, title, part opened, part clicked)"""
