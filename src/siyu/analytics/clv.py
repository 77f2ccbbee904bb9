"""Customer lifetime value (客户生命周期价值): what each buyer is expected to buy in the time to come.

BG/NBD says how many purchases, gamma-gamma how much each (`buying`). A purchase is a local day with purchases, as in
RFM; time is measured in weeks from a customer's first purchase to the end of the range.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from siyu.analytics.buying import (
    Buying,
    Customers,
    Floats,
    Spending,
    expected_purchases,
    expected_spend,
    fit_buying,
    fit_spending,
    probability_alive,
)
from siyu.analytics.calendar import day_sql, midnight_ms
from siyu.analytics.columns import Ints, floats, ints
from siyu.analytics.question import (
    EventName,
    Interval,
    Question,
    Shape,
    Span,
    Step,
    Where,
    Window,
    field_of,
    refuse,
    span_of,
)
from siyu.analytics.scope import (
    Query,
    Scope,
    Shard,
    during_sql,
    matcher,
    matcher_sql,
    person_column,
    shard_sql,
)
from siyu.collect.catalogue import PURCHASES
from siyu.errors import InvalidQuestion
from siyu.rules import Params, field_text_sql, numeric_sql

DECILES: Final = 10
CUSTOMERS_MIN: Final = 50
REPEATERS_MIN: Final = 10
HORIZON_WEEKS_MAX: Final = 260
_EPOCH: Final = date(1970, 1, 1)


class TooFewBuyers(InvalidQuestion):
    """Nothing is wrong with the question: there is not enough to fit the model to."""


class ClvCell(Shape, frozen=True, kw_only=True):
    """The persons of a tenth by expected value; 1 is the most valuable."""

    decile: Annotated[int, msgspec.Meta(ge=1, le=DECILES)]


class Clv(Question, frozen=True, kw_only=True, tag="clv", tag_field="kind"):
    """See docs/questions.md, clv."""

    event: EventName | None = None
    where: Where | None = None
    value: str = "@value_fen"
    range: Span | None = None
    horizon: Window = Window(n=52, unit="week")
    cell: ClvCell | None = None


class ClvDecile(msgspec.Struct):
    """A tenth of the buyers: what they are expected to bring, and the mean chance that they still buy."""

    decile: int
    persons: int
    expected_purchases: float
    expected_value: float
    alive: float


class ClvAnswer(msgspec.Struct):
    """Sums over all buyers, the fitted models, and the tenths. `spending` is null when too few bought again with money:
    then the value is the mean spend so far times the expected purchases."""

    persons: int
    repeat_buyers: int
    horizon_weeks: float
    expected_purchases: float
    expected_value: float
    buying: dict[str, float]
    spending: dict[str, float] | None
    deciles: list[ClvDecile]


def check(question: Clv) -> None:
    """Refuse what cannot be asked. Raises InvalidQuestion."""
    field_of(question.value, "value")
    if _weeks(question) > HORIZON_WEEKS_MAX:
        raise refuse(f"The horizon is at most {HORIZON_WEEKS_MAX} weeks.", "horizon.n")


def _weeks(question: Clv) -> float:
    return question.horizon.milliseconds / (7 * 86_400_000)


def _span(question: Clv, scope: Scope) -> Interval:
    if question.range is not None:
        return span_of(question.range, scope.zone, scope.now)
    tomorrow = scope.now.astimezone(scope.zone).date() + timedelta(days=1)
    return scope.history(midnight_ms(tomorrow, scope.zone))


def plan(question: Clv, scope: Scope, shard: Shard) -> Query:
    """Rows (p, d, m): a person's day with purchases and its total."""
    span, params = _span(question, scope), Params()
    matches = matcher_sql(matcher(Step(event=question.event, where=question.where), "event"), params)
    if question.event is None:
        matches = f"({matches} AND (value_fen > 0 OR name IN {params.add(PURCHASES, 'Array(String)')}))"
    field = field_of(question.value, "value")
    number = "value_fen" if field.root == "value_fen" else f"ifNull({numeric_sql(field_text_sql(field, params))}, 0)"
    where = f"{during_sql(span, params)} AND {matches}{shard_sql(shard)}"
    return Query(
        f"SELECT {person_column(scope)}, toInt32({day_sql(scope.zone, span)}) AS d, toFloat64(sum({number})) AS m"
        f" FROM events WHERE {where} GROUP BY p, d",
        params.values,
    )


class Bought(NamedTuple):
    """Per person the first and last day, the number of days, and the spend on all and on all but the first."""

    person: Ints
    first: Ints
    last: Ints
    days: Ints
    spent: Floats
    spent_again: Floats


def reduce(question: Clv, scope: Scope, table: pa.Table) -> Bought:
    """One shard's days as buyers."""
    person, day, money = ints(table, "p"), ints(table, "d"), floats(table, "m")
    order = np.lexsort((day, person))
    person, day, money = person[order], day[order], money[order]
    different, start, count = np.unique(person, return_index=True, return_counts=True)
    total = np.add.reduceat(money, start) if len(start) else money
    return Bought(different, day[start], day[start + count - 1], count.astype(np.int64), total, total - money[start])


class ClvOutcome(NamedTuple):
    """Every buyer with its expectation, and its tenth."""

    question: Clv
    person: Ints
    repeaters: int
    buying: Buying
    spending: Spending | None
    purchases: Floats
    value: Floats
    alive: Floats
    decile: Ints

    def persons(self, cell: ClvCell) -> Ints:
        """The persons of a tenth."""
        return np.sort(self.person[self.decile == cell.decile])

    def answer(self) -> ClvAnswer:
        """Sums, models, tenths."""
        deciles = []
        for number in range(1, DECILES + 1):
            inside = self.decile == number
            count = int(inside.sum())
            alive = float(self.alive[inside].mean()) if count else 0.0
            purchases, value = float(self.purchases[inside].sum()), float(self.value[inside].sum())
            deciles.append(ClvDecile(number, count, purchases, value, alive))
        return ClvAnswer(
            len(self.person),
            self.repeaters,
            _weeks(self.question),
            float(self.purchases.sum()),
            float(self.value.sum()),
            self.buying._asdict(),
            None if self.spending is None else self.spending._asdict(),
            deciles,
        )


def finish(question: Clv, scope: Scope, parts: Sequence[Bought]) -> ClvOutcome:
    """Fit both models to everybody and score everybody. Raises TooFewBuyers."""
    bought = Bought(*(np.concatenate([part[i] for part in parts]) for i in range(len(Bought._fields))))
    repeats = (bought.days - 1).astype(np.float64)
    if len(repeats) < CUSTOMERS_MIN or np.count_nonzero(repeats) < REPEATERS_MIN:
        message = f"The model needs {CUSTOMERS_MIN} buyers, {REPEATERS_MIN} of them with repeats."
        raise TooFewBuyers(message, path="range")
    today = (scope.now.astimezone(scope.zone).date() - _EPOCH).days
    if question.range is not None:
        today = int(_last_day(question, scope))
    age = np.maximum(today - bought.first, bought.last - bought.first) / 7
    mean = bought.spent_again / np.maximum(repeats, 1)
    customers = Customers(repeats, (bought.last - bought.first) / 7, age, mean)
    buying = fit_buying(customers)
    again = (repeats > 0) & (mean > 0)
    spending = (
        fit_spending(Customers(*(column[again] for column in customers))) if again.sum() >= REPEATERS_MIN else None
    )
    purchases = expected_purchases(buying, customers, _weeks(question))
    if spending is not None and spending.q > 1:
        each = expected_spend(spending, customers)
    else:
        spending, each = None, np.full(len(repeats), float(bought.spent.sum() / bought.days.sum()))
    value = purchases * each
    order = np.lexsort((bought.person, -value))
    decile = np.empty(len(order), np.int64)
    decile[order] = 1 + np.arange(len(order)) * DECILES // len(order)
    alive = probability_alive(buying, customers)
    return ClvOutcome(question, bought.person, int(again.sum()), buying, spending, purchases, value, alive, decile)


def _last_day(question: Clv, scope: Scope) -> int:
    """The last local day of the range, days since 1970."""
    span = _span(question, scope)
    local = scope.now.fromtimestamp((span.end - 1) / 1000, scope.zone)
    return (local.date() - _EPOCH).days
