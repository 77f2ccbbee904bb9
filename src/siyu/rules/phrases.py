"""The words of sentences, Chinese and English: data. A template says a node's parts in order; `sentence` fills it in to
write and follows it to read, so the two cannot differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from siyu.rules.vocabulary import Lang


class Phrases(NamedTuple):
    """How one language says a rule. `{slots}` are filled in by `sentence`."""

    both: str
    either: str
    all: str
    any: str
    n_of_m: str
    negation: str
    between_parts: str
    open: str
    close: str
    metric: str
    where: str
    net: str
    trigger: str
    trigger_is: str
    any_event: str
    between_names: str
    true: str
    false: str
    yuan: str
    """After an amount."""
    of_yuan: str
    """After the name of an attribute that is one."""
    fields: Mapping[str, str]
    units: Mapping[str, str]
    one_unit: Mapping[str, str]
    """The same of one."""
    periods: Mapping[str, str]
    windows: Mapping[str, str]
    measures: Mapping[str, str]
    operators: Mapping[str, str]


ZH: Final = Phrases(
    both="且",
    either="或",
    all="全部满足（{parts}）",
    any="任一满足（{parts}）",
    n_of_m="至少满足 {n} 项（{parts}）",
    negation="不满足（{part}）",
    between_parts="；",
    open="（",
    close="）",
    metric="{window}{events}{where}{net}的{measure} {test}",
    where="，其中（{condition}）",
    net="，扣除退款",
    trigger="触发事件{is_event}{where}",
    trigger_is="为{events}",
    any_event="任意行为",
    between_names="、",
    true="真",
    false="假",
    yuan="{amount} 元",
    of_yuan="（元）",
    fields={
        "@end": "终端",
        "@source": "来源",
        "@name": "事件名",
        "@value_fen": "金额（元）",
        "@line.sku": "商品行的SKU",
        "@line.product_id": "商品行的商品编号",
        "@line.name": "商品行的名称",
        "@line.category": "商品行的品类",
        "@line.brand": "商品行的品牌",
        "@line.price": "商品行的单价",
        "@line.quantity": "商品行的件数",
        "@line.value_fen": "商品行的金额（元）",
    },
    units={"second": "秒", "minute": "分钟", "hour": "小时", "day": "天", "week": "周"},
    one_unit={"second": "秒", "minute": "分钟", "hour": "小时", "day": "天", "week": "周"},
    periods={"day": "日", "week": "周", "month": "月", "quarter": "季度", "half": "半年", "year": "年"},
    windows={
        "ever": "累计",
        "last": "最近 {n} {unit}内",
        "this": "本{period}",
        "ago": "往前第 {n} 个{period}",
        "days": "含今天的 {n} 个自然日内",
        "between": "从{start}起到{end}前",
        "since": "从{start}起",
        "until": "到{end}前",
        "campaign": "活动期间",
    },
    measures={
        "count": "次数",
        "money": "金额（元）",
        "sum": "{of}之和",
        "days": "天数",
        "distinct": "{of}的种类数",
        "first": "首次时间",
        "last": "最近一次时间",
        "streak": "连续天数",
    },
    operators={
        "eq": "等于 {value}",
        "ne": "不等于 {value}",
        "gt": "大于 {value}",
        "gte": "至少 {value}",
        "lt": "小于 {value}",
        "lte": "至多 {value}",
        "in": "属于 {values}",
        "not_in": "不属于 {values}",
        "between": "介于 {value} 与 {value2} 之间",
        "contains": "包含 {value}",
        "not_contains": "不包含 {value}",
        "starts_with": "开头是 {value}",
        "ends_with": "结尾是 {value}",
        "exists": "有值",
        "is_null": "没有值",
        "is_multiple_of": "是 {value} 的倍数",
        "has_tag": "带有 {value}",
        "within": "在最近 {n} {unit}内",
        "crosses": "刚刚达到 {value}",
    },
)

EN: Final = Phrases(
    both="and",
    either="or",
    all="all of ({parts})",
    any="any of ({parts})",
    n_of_m="at least {n} of ({parts})",
    negation="not ({part})",
    between_parts="; ",
    open="(",
    close=")",
    metric="the {measure} of {events}{where}{net} {window} {test}",
    where=" where ({condition})",
    net=" net of refunds",
    trigger="the event{is_event}{where}",
    trigger_is=" is {events}",
    any_event="any behaviour",
    between_names=", ",
    true="true",
    false="false",
    yuan="{amount} yuan",
    of_yuan=" (yuan)",
    fields={
        "@end": "end",
        "@source": "source",
        "@name": "event name",
        "@value_fen": "amount in yuan",
        "@line.sku": "line SKU",
        "@line.product_id": "line product",
        "@line.name": "line name",
        "@line.category": "line category",
        "@line.brand": "line brand",
        "@line.price": "line price",
        "@line.quantity": "line quantity",
        "@line.value_fen": "line amount in yuan",
    },
    units={"second": "seconds", "minute": "minutes", "hour": "hours", "day": "days", "week": "weeks"},
    one_unit={"second": "second", "minute": "minute", "hour": "hour", "day": "day", "week": "week"},
    periods={
        "day": "day",
        "week": "week",
        "month": "month",
        "quarter": "quarter",
        "half": "half-year",
        "year": "year",
    },
    windows={
        "ever": "ever",
        "last": "in the last {n} {unit}",
        "this": "this {period}",
        "ago": "in the {period} {n} back",
        "days": "in the last {n} local days",
        "between": "from {start} to before {end}",
        "since": "from {start} on",
        "until": "before {end}",
        "campaign": "during the campaign",
    },
    measures={
        "count": "number",
        "money": "money in yuan",
        "sum": "sum of {of}",
        "days": "number of days",
        "distinct": "number of different {of}",
        "first": "first time",
        "last": "last time",
        "streak": "streak of days",
    },
    operators={
        "eq": "equals {value}",
        "ne": "does not equal {value}",
        "gt": "is more than {value}",
        "gte": "is at least {value}",
        "lt": "is less than {value}",
        "lte": "is at most {value}",
        "in": "is one of {values}",
        "not_in": "is none of {values}",
        "between": "is between {value} and {value2}",
        "contains": "contains {value}",
        "not_contains": "does not contain {value}",
        "starts_with": "starts with {value}",
        "ends_with": "ends with {value}",
        "exists": "has a value",
        "is_null": "has no value",
        "is_multiple_of": "is a multiple of {value}",
        "has_tag": "has the tag {value}",
        "within": "is within the last {n} {unit}",
        "crosses": "just reached {value}",
    },
)

PHRASES: Final[Mapping[Lang, Phrases]] = {"zh": ZH, "en": EN}
