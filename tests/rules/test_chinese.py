"""Every sentence that refuses something to a customer, a till or an operator is there in Chinese, once."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import siyu
from siyu.chinese import COMPILED, in_chinese, letters, said_in_chinese, worded
from siyu.coupons import giving, holding
from siyu.errors import Contended, EngineUnavailable, Refused, SiyuError
from siyu.shop import quoted

ROOMS = (
    "analytics", "api", "calendar", "connectors", "console", "coupons", "dimensions", "identity", "ledger", "loyalty",
    "membership", "profile", "rules", "segments", "shop",
)  # fmt: skip
SOURCES = Path(siyu.__path__[0])
NOT_SHOWN = (Contended, EngineUnavailable)
"""Tried again, or shown by a sentence of the console's own."""
CODES = {"INSUFFICIENT", "NOT_STACKABLE"}
"""The second argument of a quote's `Refused`, which is another one."""
PASSED_ON = {
    "It does not apply to this order.",
    "Nobody is known as 7.",
    "The coupon does not apply: 7.",
    "1 to 7 event names are needed.",
    "1 to 7 ends are needed.",
    "'7' in the address is not an id (a UUID).",
    "'7' in the address is not a whole number.",
}
"""Put together where this does not look."""
INSIDE = {"Other processors register the same identifiers."}
"""Nobody outside reads them."""


def errors() -> dict[str, type[SiyuError]]:
    """Name → class of all errors of the rooms."""
    for module in pkgutil.walk_packages(siyu.__path__, "siyu."):
        if module.name.split(".")[1] in ROOMS:
            importlib.import_module(module.name)
    found, waiting = dict[str, type[SiyuError]](), [SiyuError]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            found[cls.__name__] = cls
            waiting.append(cls)
    return found


ERRORS = errors()


def sentences() -> Iterator[str]:
    """What everything that refuses says, with 7 where something is filled in."""
    for room in ROOMS:
        for path in sorted((SOURCES / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                    yield from said_by(node.func.id, node.args, room)
    for words in (holding.SAID, giving._WORDS, quoted._WORDS):
        yield from words.values()


def said_by(name: str, arguments: list[ast.expr], room: str) -> Iterator[str]:
    if name == "refuse" and room == "rules":
        yield from variants(arguments[0])
    if (cls := ERRORS.get(name)) is not None and not issubclass(cls, NOT_SHOWN):
        yield from variants(arguments[1] if cls is Refused and len(arguments) > 1 else arguments[0])


def variants(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.IfExp):
        yield from variants(node.body)
        yield from variants(node.orelse)
    elif isinstance(node, ast.BinOp):
        yield from (left + right for left in variants(node.left) for right in variants(node.right))
    elif isinstance(node, ast.FormattedValue):
        yield from variants(node.value) if isinstance(node.value, ast.IfExp) else ("7",)
    elif isinstance(node, ast.JoinedStr):
        found = [""]
        for part in node.values:
            found = [text + more for text in found for more in variants(part)]
        yield from found


ALL = sorted(set(sentences()) - {"7"} - CODES - INSIDE | PASSED_ON)  # 7: a message passed on is no sentence of its own


def test_they_are_found() -> None:
    assert len(ALL) > 250


@pytest.mark.parametrize("sentence", ALL)
def test_it_is_there_in_chinese(sentence: str) -> None:
    chinese = in_chinese(sentence)
    assert chinese is not None
    assert any("\u4e00" <= character <= "\u9fff" for character in chinese)
    assert sentence.count("7") == chinese.count("7"), "what is filled in stands in both"
    meant = [letters(english.pattern) for english, _ in COMPILED if english.fullmatch(sentence)]
    assert len(set(meant)) == len(meant), "it is not clear which line answers"


def test_no_line_is_for_nothing() -> None:
    unused = [english.pattern for english, _ in COMPILED if not any(english.fullmatch(one) for one in ALL)]
    assert unused == []


def test_states_are_said_in_chinese_and_any_other_sentence_is_none() -> None:
    assert in_chinese("The order is fulfilled: refund it instead.") == "订单已发货，请改用退款。"
    assert in_chinese("The available account does not have 500.") == "可用余额不足 500。"
    assert in_chinese("Something went wrong on our side.") is None


def test_conditions_that_do_not_hold_are_said_in_their_own_words() -> None:
    why = [{"zh": "城市是北京", "en": "city is 北京"}, {"zh": "等级是金卡", "en": "tier is 金卡"}]
    message = "It is not for this person. Not fulfilled: city is 北京; tier is 金卡."
    assert said_in_chinese(message, {"why": why}) == "不适用于这位用户。未满足：城市是北京；等级是金卡。"
    error = Refused("NOT_ELIGIBLE", message, why=why)
    assert (worded(error, "en"), worded(error, "zh")) == (message, said_in_chinese(message, {"why": why}))
    assert said_in_chinese("Whatever.", {"detail_zh": "自己的话"}) == "自己的话"


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("1999 fen are to be paid.", "应付 ¥19.99。"),
        ("Between 1 and -5 fen can be given back.", "可退 ¥0.01 到 -¥0.05。"),
        ("tea-1 costs 100000 fen now.", "tea-1 现价 ¥1000.00。"),
        ("The refund R7 was one of 5 fen.", "退款 R7 的金额是 ¥0.05。"),
    ],
)
def test_money_is_said_in_yuan(english: str, chinese: str) -> None:
    assert in_chinese(english) == chinese
