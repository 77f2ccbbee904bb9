"""What is wrong with a rule or a condition, in Chinese: beside each English sentence that this room refuses with.

Errors are raised in English, in one place each; the reader's language is known only where they are shown.
`tests/rules/test_rule_errors.py` looks that no sentence is missing here."""

# ruff: noqa: E501 - a table: one sentence, one line.
from __future__ import annotations

import re
from typing import Final

from siyu.errors import SiyuError
from siyu.rules.vocabulary import Lang

_SENTENCES: Final[tuple[tuple[str, str], ...]] = (
    (r"A rule has at most (\d+) levels and (\d+) parts\.", r"一条规则最多 \1 层、\2 个部分。"),
    (r"A rule is a JSON object\.", "规则是一个 JSON 对象。"),
    (r"A rule has one of: (.+)\.", r"规则要有其中之一：\1。"),
    (r"(\w+) has no field (.+)\.", r"\1 没有字段 \2。"),
    (r"A list of at least one rule is needed\.", "请至少填写一个条件。"),
    (r"A list of at least one value is needed\.", "请至少填写一个值。"),
    (r"between takes the smaller value first: nothing lies in this range\.", "“介于”请把较小的值写在前面：这个范围内没有任何值。"),
    (r"(.+) is one of: (.+)\. It is never (.+)\.", r"\1 只能是：\2；不会是 \3。"),
    (r"(.+) is never below (-?\d+): this can never be\.", r"\1 不会小于 \2：这个条件永远不成立。"),
    (r"(.+) is from (-?\d+) to (-?\d+): this can never be\.", r"\1 只在 \2 到 \3 之间：这个条件永远不成立。"),
    (r"Nothing of persons is called (.+)\.", r"用户没有名为 \1 的信息。"),
    (r"There is no triggering event here\.", "这里没有触发事件。"),
    (r"There is no campaign here\.", "这里没有活动。"),
    (r"A metric is one of: (.+)\.", r"指标只能是：\1。"),
    (r"sum and distinct take a property in `of`, no other metric does\.", "只有求和与去重计数需要 `of` 写明属性，其他指标不需要。"),
    (r"Days cannot be summed up\.", "天数不能求和。"),
    (r"net is true for a count of orders or a sum of @value_fen\.", "net 只能用于订单次数或 @value_fen 的求和。"),
    (r"net needs the event that is the purchase\.", "net 需要写明哪个事件是购买。"),
    (r"crosses needs a triggering event: it is true at one moment only\.", "“越过”需要触发事件：它只在一瞬间成立。"),
    (r"A list of numbers is needed, for between of two\.", "需要一列数字；“介于”需要两个。"),
    (r"Either days, or range\.", "days 与 range 只能写一个。"),
    (r"at_most is less than at_least\.", "at_most 小于 at_least。"),
    (r"A JSON object is needed\.", "这里需要一个 JSON 对象。"),
    (r"There is no field (.+) here\.", r"这里没有字段 \1。"),
    (r"The operator is one of: (.+)\.", r"运算符只能是：\1。"),
    (r"A text of 1 to (\d+) characters is needed\.", r"请填写 1 到 \1 个字。"),
    (r"A whole number from (-?\d+) to (\d+) is needed\.", r"请填写 \1 到 \2 之间的整数。"),
    (r"A whole number of at most (\d+) is needed\.", r"请填写不超过 \1 的整数。"),
    (r"A number of at most (\d+) is needed\.", r"请填写不超过 \1 的数字。"),
    (r"1 to (\d+) event names are needed\.", r"请填写 1 到 \1 个事件名。"),
    (r"1 to (\d+) ends are needed\.", r"请填写 1 到 \1 个端。"),
    (r"1 to (\d+) (.+) are needed\.", r"请填写 1 到 \1 个值（\2）。"),
    (r"A calendar period is one of: (.+)\.", r"日历周期只能是：\1。"),
    (r"The window ends before it begins\.", "时间窗的结束早于开始。"),
    (r"A window is last and unit, this \(and ago\), days, from and to, or campaign\.", "时间窗是 last 加 unit、this（加 ago）、days、from 与 to，或 campaign。"),
    (r"The unit is one of: (.+)\.", r"单位只能是：\1。"),
    (r"A time is ISO 8601, such as (.+)\.", r"时间请写成 ISO 8601，例如 \1。"),
    (r"(\w+) takes no value\.", r"\1 不需要值。"),
    (r"between takes a list of two times\.", "“介于”需要两个时间。"),
    (r"A sentence has at most (\d+) characters\.", r"一句规则最多 \1 个字。"),
    (r"A sentence has at most (\d+) brackets inside each other\.", r"一句规则的括号最多嵌套 \1 层。"),
    (r"A number has at most 40 digits\.", "一个数字最多 40 位。"),
    (r"This is not understood from character (\d+) on: (.+)\. Expected: (.+)\.", r"从第 \1 个字起读不懂：\2。这里可以写：\3。"),
    (r"This is not understood from character (\d+) on: (.+)\.", r"从第 \1 个字起读不懂：\2。"),
    (r"A field of a line stands in conditions, and in sum and distinct of rules\.", "商品行的字段只能写在条件里，或规则的求和与去重计数里。"),
    (r"A property name is a text of 1 to 512 characters\.", "属性名为 1 到 512 个字。"),
    (r"A property path has at most (\d+) parts\.", r"属性路径最多 \1 段。"),
    (r"A condition has at most (\d+) levels and (\d+) parts\.", r"一个条件最多 \1 层、\2 个部分。"),
    (r"A condition has at most (\d+) parts\.", r"一个条件最多 \1 个部分。"),
    (r"A condition is a JSON object\.", "条件是一个 JSON 对象。"),
    (r"(\w+) takes a whole number from 1 to (\d+)\.", r"\1 需要 1 到 \2 之间的整数。"),
    (r"(\w+) takes a text of at least one character\.", r"\1 需要至少一个字。"),
    (r"(\w+) takes a number or a text\.", r"\1 需要数字或文字。"),
    (r"between takes a list of two numbers or two texts\.", "“介于”需要两个数字或两段文字。"),
    (r"between takes two numbers or two texts, not one of each\.", "“介于”需要两个数字或两段文字，不能一样一个。"),
    (r"A list of at most (\d+) values is needed\.", r"需要一列值，最多 \1 个。"),
    (r"A text has at most (\d+) characters\.", r"一段文字最多 \1 个字。"),
    (r"A text must be valid Unicode\.", "文字必须是有效的 Unicode。"),
    (r"A number must be finite, a whole number smaller than 2\^64\.", "数字必须有限，整数须小于 2^64。"),
    (r"A value is a text, a number, true or false\.", "值是文字、数字、true 或 false。"),
    (r"This is no rule of the builder\.", "这不是规则编辑器的内容，请刷新页面后再试。"),
    (r"The rule is too large\.", "规则太大了。"),
)  # fmt: skip
_COMPILED: Final = tuple((re.compile(english, re.DOTALL), chinese) for english, chinese in _SENTENCES)


def worded(error: SiyuError, lang: Lang) -> str:
    """What is wrong, in the reader's language where the sentence is there in it: `details["detail_zh"]`, or above."""
    if lang != "zh":
        return str(error)
    return str(error.details.get("detail_zh") or in_chinese(str(error)) or error)


def in_chinese(message: str) -> str | None:
    """The Chinese of a sentence that rules and conditions are refused with; None for any other."""
    for english, chinese in _COMPILED:
        if (found := english.fullmatch(message)) is not None:
            return found.expand(chinese)
    return None
