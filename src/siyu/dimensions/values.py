"""Values that are few and the same for every brand, with what people call them."""

from __future__ import annotations

from typing import Final

from siyu.rules.vocabulary import Choice

ENDS: Final = (
    Choice("mini_program", "小程序", "Mini-program"),
    Choice("official_account", "公众号", "Official account"),
    Choice("wecom", "企业微信", "WeCom"),
    Choice("web", "网站", "Website"),
    Choice("app", "App", "App"),
    Choice("store", "门店", "Store"),
    Choice("server", "服务器", "Server"),
)
LEVELS: Final = (Choice("low", "低", "low"), Choice("medium", "中", "medium"), Choice("high", "高", "high"))
