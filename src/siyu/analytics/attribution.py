"""Attribution (归因): which channels the conversions are credited to.

A journey is the touches of a person before a conversion, within the window; touches after one conversion belong to the
next. Persons with touches and no conversion after them are journeys to nowhere, which only the Markov model uses.
None of these models is causal: they divide what happened. What a channel caused, only a holdout tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias, get_args

import msgspec
import numpy as np
import pyarrow as pa

from siyu.analytics.columns import Ints, floats, ints
from siyu.analytics.credit import Journey, markov_credit, rule_credit
from siyu.analytics.groups import value_codes
from siyu.analytics.question import Question, Shape, Span, Step, Window, field_of, refuse, span_of
from siyu.analytics.scope import (
    MILLIS,
    Query,
    Scope,
    Shard,
    any_of_sql,
    during_sql,
    matcher,
    matcher_sql,
    person_column,
    shard_sql,
)
from siyu.rules import Params, field_text_sql, numeric_sql
from siyu.rules.condition import parse_field

Model: TypeAlias = Literal["first", "last", "last_non_direct", "linear", "position", "time_decay", "markov"]
MODELS: Final[tuple[Model, ...]] = get_args(Model)
CHANNELS_MAX: Final = 200
_TOUCH, _CONVERSION = 1, 2


class AttributionCell(Shape, frozen=True, kw_only=True):
    """The persons whose journey to a conversion touched a channel; without `channel`, all that converted."""

    channel: str | None = None


class Attribution(Question, frozen=True, kw_only=True, tag="attribution", tag_field="kind"):
    """See docs/questions.md, attribution."""

    conversion: Step
    touch: Step = Step()
    channel: str = "utm_source"
    models: Annotated[list[Model], msgspec.Meta(min_length=1)] = msgspec.field(default_factory=lambda: list(MODELS))
    value: str | None = None
    direct: str = "direct"
    window: Window = Window(n=30, unit="day")
    range: Span | None = None
    cell: AttributionCell | None = None


class ChannelCredit(msgspec.Struct):
    """Conversions and value credited to a channel by each model; how many journeys touched it."""

    channel: str
    journeys: int
    conversions: dict[str, float]
    value: dict[str, float]


class AttributionAnswer(msgspec.Struct):
    """`unattributed`: conversions without a touch before them. `removal_effect`: the share of conversions the Markov
    chain loses without the channel."""

    conversions: int
    value: float
    unattributed: int
    channels: list[ChannelCredit]
    removal_effect: dict[str, float]
    causal: bool = False


def check(question: Attribution) -> None:
    """Refuse what cannot be asked. Raises InvalidQuestion."""
    field_of(question.channel, "channel")
    if question.value is not None:
        field_of(question.value, "value")
    if question.conversion.event is None:
        raise refuse("A conversion is an event.", "conversion.event")


def plan(question: Attribution, scope: Scope, shard: Shard) -> Query:
    """Rows (p, k, c, g, v): bit 1 a touch, bit 2 a conversion; the channel; the value. Touches reach back before the
    range by the window."""
    span, params = span_of(question.range, scope.zone, scope.now), Params()
    touch = matcher(question.touch, "touch")
    conversion = matcher(question.conversion, "conversion")
    channel = field_text_sql(parse_field(question.channel), params)
    is_touch = f"({matcher_sql(touch, params)} AND {channel} != '')"
    is_conversion = f"({matcher_sql(conversion, params)} AND {during_sql(span, params)})"
    value = "toFloat64(0)"
    if question.value is not None:
        field = parse_field(question.value)
        number = "value_fen" if field.root == "value_fen" else numeric_sql(field_text_sql(field, params))
        value = f"if({is_conversion}, toFloat64(ifNull({number}, 0)), 0)"
    reach = span._replace(start=max(0, span.start - question.window.milliseconds))
    where = f"{during_sql(reach, params)} AND ({any_of_sql([touch, conversion], params)})"
    return Query(
        f"SELECT {person_column(scope)}, {MILLIS} AS k,"
        f" toUInt8({is_touch} * {_TOUCH} + {is_conversion} * {_CONVERSION}) AS c,"
        f" if({is_touch}, {channel}, '') AS g, {value} AS v"
        f" FROM events WHERE {where} AND c > 0{shard_sql(shard)}",
        params.values,
    )


class Travelled(NamedTuple):
    """The journeys of a shard with their persons."""

    persons: list[int]
    journeys: list[Journey]
    unattributed: int
    lost: list[tuple[str, ...]]


def reduce(question: Attribution, scope: Scope, table: pa.Table) -> Travelled:
    """One shard's rows as journeys. At one instant touches come before conversions, the smallest value first."""
    person, at, kind = ints(table, "p"), ints(table, "k"), ints(table, "c")
    codes, texts = value_codes(table["g"].combine_chunks())
    value = floats(table, "v")
    order = np.lexsort((value, codes, kind, at, person))
    window = question.window.milliseconds
    found = Travelled([], [], 0, [])
    unattributed, current = 0, -1
    touches: list[tuple[int, str]] = []
    rows = zip(person[order], at[order], kind[order], codes[order], value[order], strict=True)
    for p, t, c, g, v in rows:
        if p != current:
            found.lost.append(tuple(channel for _, channel in touches))
            current, touches = int(p), []
        if c & _TOUCH:
            touches.append((int(t), texts[g]))
        if c & _CONVERSION:
            reached = [(moment, channel) for moment, channel in touches if t - moment <= window]
            touches = []
            unattributed += not reached
            found.persons.append(current)
            ages = tuple((int(t) - moment) / 86_400_000 for moment, _ in reached)
            found.journeys.append(Journey(tuple(channel for _, channel in reached), ages, float(v)))
    found.lost.append(tuple(channel for _, channel in touches))
    return found._replace(unattributed=unattributed, lost=[journey for journey in found.lost if journey])


class AttributionOutcome(NamedTuple):
    """All shards together."""

    question: Attribution
    travelled: Travelled

    def persons(self, cell: AttributionCell) -> Ints:
        """The persons behind a number."""
        pairs = zip(self.travelled.persons, self.travelled.journeys, strict=True)
        inside = {p for p, journey in pairs if cell.channel is None or cell.channel in journey.channels}
        return np.array(sorted(inside), np.int64)

    def answer(self) -> AttributionAnswer:
        """The credit of every channel by every model."""
        reached = [journey for journey in self.travelled.journeys if journey.channels]
        channels = sorted({channel for journey in reached for channel in journey.channels})
        credits: dict[str, dict[str, tuple[float, float]]] = {}
        effects: dict[str, float] = {}
        for model in dict.fromkeys(self.question.models):
            if model == "markov":
                if len(channels) > CHANNELS_MAX:
                    raise refuse(f"The Markov model takes at most {CHANNELS_MAX} channels.", "channel")
                credits[model], effects = markov_credit(reached, self.travelled.lost)
            else:
                credits[model] = rule_credit(reached, model, direct=self.question.direct)
        lines = [
            ChannelCredit(
                channel,
                sum(channel in journey.channels for journey in reached),
                {model: found.get(channel, (0.0, 0.0))[0] for model, found in credits.items()},
                {model: found.get(channel, (0.0, 0.0))[1] for model, found in credits.items()},
            )
            for channel in channels
        ]
        lines.sort(key=lambda line: (-line.journeys, line.channel))
        total = sum(journey.value for journey in self.travelled.journeys)
        return AttributionAnswer(len(self.travelled.journeys), total, self.travelled.unattributed, lines, effects)


def finish(question: Attribution, scope: Scope, parts: Sequence[Travelled]) -> AttributionOutcome:
    """Put the shards together."""
    return AttributionOutcome(
        question,
        Travelled(
            [p for part in parts for p in part.persons],
            [journey for part in parts for journey in part.journeys],
            sum(part.unattributed for part in parts),
            [journey for part in parts for journey in part.lost],
        ),
    )
