"""How a dimension is worked out, as a sentence for people. Pure."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from siyu.dimensions.dimension import (
    HOUR,
    WEEKDAY,
    After,
    Aggregate,
    Band,
    Const,
    Difference,
    Dimension,
    Expression,
    Ratio,
    Regularity,
    Since,
    Total,
)
from siyu.rules.rule import MONEY, SUM_SCALE
from siyu.rules.sentence import quoted, say_metric
from siyu.rules.vocabulary import Lang, Vocabulary

_KINDS: Final = {
    "zh": {
        "largest": "{of}的最大值", "smallest": "{of}的最小值", "sum": "{of}之和", "said": "注明{of}的次数",
        "commonest": "最常见的{of}", "different": "不同{of}的个数", "earliest": "最早的{of}",
        "latest": "最近的{of}", "first_day": "首日", "last_day": "末日", "gap_shortest": "最短间隔天数",
        "gap_longest": "最长间隔天数", "gap_median": "间隔天数中位数的两倍", "gap_squares": "间隔天数的平方和",
        "run": "最长连续天数",
    },
    "en": {
        "largest": "largest {of}", "smallest": "smallest {of}", "sum": "sum of {of}",
        "said": "number with {of}", "commonest": "commonest {of}", "different": "number of different {of}",
        "earliest": "first {of}",
        "latest": "last {of}", "first_day": "first local day", "last_day": "last local day",
        "gap_shortest": "shortest gap in days", "gap_longest": "longest gap in days",
        "gap_median": "doubled median of the gaps in days", "gap_squares": "sum of the squared gaps in days",
        "run": "longest row of local days",
    },
}  # fmt: skip
_FIELDS: Final = {
    "zh": {HOUR: "小时", WEEKDAY: "星期", MONEY: "金额（分）", "@end": "终端"},
    "en": {HOUR: "local hour", WEEKDAY: "local weekday", MONEY: "money in fen", "@end": "end"},
}
_FORMS: Final = {
    "zh": {
        "ratio": "{a} ÷ {b}", "times": " × {n}", "most": "，至多 {n}", "less": "{a} − {b}", "floor": "，不低于 {n}",
        "since": "今天 − {a}", "after": "{a} + {b}", "regular": "100 − 间隔的标准差 ÷ 间隔的平均数 × 100（{a}）",
        "band": "{a}：{bands}", "below": "低于 {n} 为{name}", "else": "其余为{name}", "hours": "，{n} 点",
        "weekdays": "，周 {n}", "or": " 或 ", "list": "，", "lines": "（含各商品行）",
    },
    "en": {
        "ratio": "{a} ÷ {b}", "times": " × {n}", "most": ", at most {n}", "less": "{a} − {b}",
        "floor": ", at least {n}", "since": "today − {a}", "after": "{a} + {b}",
        "regular": "100 − standard deviation of the gaps ÷ their mean × 100 ({a})", "band": "{a}: {bands}",
        "below": "below {n} {name}", "else": "else {name}", "hours": ", hours {n}", "weekdays": ", weekdays {n}",
        "or": " or ", "list": ", ", "lines": " (of its lines)",
    },
}  # fmt: skip


def explain(dimension: Dimension, words: Vocabulary, lang: Lang) -> str:
    """How a dimension without references is worked out."""
    return _Teller(words, lang).tell(dimension.expression, 10**dimension.decimals)


def _in_parts(expression: Expression) -> bool:
    """Whether it is kept in ten-thousandths: sums, largest and smallest of a property."""
    if not isinstance(expression, Aggregate):
        return False
    if expression.kind == "metric":
        return expression.base.kind == "sum" and expression.base.of != MONEY
    return expression.kind in ("largest", "smallest", "sum") and expression.fields != (MONEY,)


def _quotient(ratio: Ratio) -> tuple[Expression, Expression | None, Fraction]:
    """What is divided by what (None: by nothing), and what the outcome is multiplied with: without the factors that
    only make room for decimals."""
    if isinstance(ratio.b, Const):
        kept = SUM_SCALE if _in_parts(ratio.a) else 1
        return ratio.a, None, Fraction(ratio.scale * kept, ratio.b.value)
    if isinstance(ratio.a, Ratio) and isinstance(ratio.a.b, Const) and ratio.a.most is None:
        inner, _, factor = _quotient(ratio.a)
        return inner, ratio.b, factor * ratio.scale
    return ratio.a, ratio.b, Fraction(ratio.scale)


def _number(number: Fraction) -> str:
    return str(number.numerator) if number.denominator == 1 else f"{float(number):g}"


class _Teller:
    def __init__(self, words: Vocabulary, lang: Lang) -> None:
        self._words = words
        self._lang: Lang = lang
        self._forms = _FORMS[lang]

    def _say(self, form: str, **slots: object) -> str:
        return self._forms[form].format(**slots)

    def tell(self, expression: Expression, shift: int = 1) -> str:
        """`shift`: by how much a quotient at the top is larger than what is shown."""
        if isinstance(expression, Aggregate):
            return self._aggregate(expression)
        if isinstance(expression, Const):
            return str(expression.value)
        if isinstance(expression, Total):
            if len(expression.parts) == 1:
                return self.tell(expression.parts[0])
            return " + ".join(self._inner(part) for part in expression.parts)
        if isinstance(expression, Difference):
            floor = "" if expression.floor is None else self._say("floor", n=expression.floor)
            return self._say("less", a=self._inner(expression.a), b=self._inner(expression.b)) + floor
        if isinstance(expression, Ratio):
            return self._ratio(expression, shift)
        if isinstance(expression, Since):
            return self._say("since", a=self._inner(expression.day))
        if isinstance(expression, After):
            days = self._bracketed(expression.days, expression.scale)
            return self._say("after", a=self._inner(expression.at), b=days)
        if isinstance(expression, Regularity):
            return self._say("regular", a=self._inner(expression.squares))
        assert isinstance(expression, Band), expression
        bands = [
            self._say("below", n=edge, name=name)
            for edge, name in zip(expression.edges, expression.names[:-1], strict=True)
        ]
        bands.append(self._say("else", name=expression.names[-1]))
        return self._say("band", a=self._inner(expression.of), bands=self._forms["list"].join(bands))

    def _ratio(self, ratio: Ratio, shift: int) -> str:
        above, below, factor = _quotient(ratio)
        factor /= shift
        said = self._inner(above) if below is None else self._say("ratio", a=self._inner(above), b=self._inner(below))
        if factor.numerator == 1 and factor != 1:
            said = self._say("ratio", a=said, b=factor.denominator)
        elif factor != 1:
            said += self._say("times", n=_number(factor))
        return said if ratio.most is None else said + self._say("most", n=_number(Fraction(ratio.most, shift)))

    def _inner(self, expression: Expression) -> str:
        return self._bracketed(expression, 1)

    def _bracketed(self, expression: Expression, shift: int) -> str:
        """In brackets, unless it is one thing."""
        while isinstance(expression, Total) and len(expression.parts) == 1:
            expression = expression.parts[0]
        if isinstance(expression, Ratio):
            above, below, factor = _quotient(expression)
            if below is None and factor == shift and expression.most is None:
                return self._inner(above)
        said = self.tell(expression, shift)
        return said if isinstance(expression, Aggregate | Const) else f"({said})"

    def _aggregate(self, aggregate: Aggregate) -> str:
        fields = [_FIELDS[self._lang].get(name) or quoted(name) for name in aggregate.fields]
        measure = _FIELDS[self._lang][MONEY] if aggregate.base.is_money else None
        if aggregate.kind != "metric":
            of = self._forms["or"].join(fields) + (self._forms["lines"] if aggregate.lines else "")
            measure = _KINDS[self._lang][aggregate.kind].format(of=of)
        local = ""
        if aggregate.hours:
            local += self._say("hours", n=" ".join(map(str, aggregate.hours)))
        if aggregate.weekdays:
            local += self._say("weekdays", n=" ".join(map(str, aggregate.weekdays)))
        return f"[{say_metric(aggregate.base, self._words, self._lang, measure)}{local}]"
