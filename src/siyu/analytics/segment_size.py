"""Segment size (人群规模): how many persons fulfil a condition about what they did.

    {"did": {"event": NAME, "where"?, "at_least"?: 1, "at_most"?, "days"?: N}}
    {"all": [C, ...]}   {"any": [C, ...]}   {"not": C}

The persons are those with at least one event, ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from siyu.analytics.columns import Ints, ints
from siyu.analytics.question import EventName, Interval, Question, Shape, Span, Step, Where, epoch_ms, refuse, span_of
from siyu.analytics.scope import Query, Scope, Shard, during_sql, matcher, matcher_sql, person_column, shard_sql
from siyu.rules import Params

DEPTH_MAX: Final = 6
PARTS_MAX: Final = 50


class Did(Shape, frozen=True, kw_only=True):
    """Did something so often, in the last `days` times 24 hours or in `range`; ever, where neither is named."""

    event: EventName | None = None
    where: Where | None = None
    at_least: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 1
    at_most: Annotated[int, msgspec.Meta(ge=0, le=10**9)] | None = None
    days: Annotated[int, msgspec.Meta(ge=1, le=36_600)] | None = None
    range: Span | None = None


class SegmentCell(Shape, frozen=True, kw_only=True):
    """The persons of the segment."""


class SegmentSize(Question, frozen=True, kw_only=True, tag="segment_size", tag_field="kind"):
    """See docs/questions.md, segment_size."""

    condition: dict[str, Any]
    cell: SegmentCell | None = None


class SegmentCount(msgspec.Struct):
    """Persons that fulfil the condition, of how many there are."""

    count: int
    total: int


def check(question: SegmentSize) -> None:
    """Refuse what cannot be asked. Raises InvalidQuestion."""
    for path, did in _parts(question.condition, "condition", DEPTH_MAX, [PARTS_MAX]):
        matcher(Step(event=did.event, where=did.where), path)
        if did.at_most is not None and did.at_most < did.at_least:
            raise refuse("at_most is less than at_least.", f"{path}.at_most")
        if did.days is not None and did.range is not None:
            raise refuse("Either days, or range.", f"{path}.days")


def _word(data: object, path: str) -> str:
    if not isinstance(data, Mapping) or len(data) != 1 or next(iter(data)) not in ("did", "all", "any", "not"):
        raise refuse("A condition is one of did, all, any, not.", path)
    return str(next(iter(data)))


def _did(data: object, path: str) -> Did:
    try:
        return msgspec.convert(data, Did)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        raise refuse(message, path + place.rstrip("`")) from None


def _parts(data: Any, path: str, depth: int, budget: list[int]) -> list[tuple[str, Did]]:
    """Every `did` with its path. Raises InvalidQuestion."""
    budget[0] -= 1
    if depth < 0 or budget[0] < 0:
        raise refuse(f"A condition has at most {DEPTH_MAX} levels and {PARTS_MAX} parts.", path)
    word = _word(data, path)
    inner = data[word]
    if word == "did":
        return [(f"{path}.did", _did(inner, f"{path}.did"))]
    if word == "not":
        return _parts(inner, f"{path}.not", depth - 1, budget)
    if not isinstance(inner, list) or not inner:
        raise refuse(f"{word} takes a list of conditions.", f"{path}.{word}")
    return [part for i, item in enumerate(inner) for part in _parts(item, f"{path}.{word}[{i}]", depth - 1, budget)]


def _did_sql(did: Did, scope: Scope, params: Params) -> str:
    matches = matcher_sql(matcher(Step(event=did.event, where=did.where), "condition"), params)
    if did.days is not None:
        since = Interval(epoch_ms(scope.now - timedelta(days=did.days)), epoch_ms(scope.now) + 1)
        matches = f"({matches} AND {during_sql(since, params)})"
    elif did.range is not None:
        matches = f"({matches} AND {during_sql(span_of(did.range, scope.zone, scope.now), params)})"
    count = f"countIf({matches})"
    enough = f"{count} >= {params.add(did.at_least, 'UInt64')}"
    if did.at_most is None:
        return f"({enough})"
    return f"({enough} AND {count} <= {params.add(did.at_most, 'UInt64')})"


def _condition_sql(data: Any, scope: Scope, params: Params) -> str:
    word = _word(data, "condition")
    inner = data[word]
    if word == "did":
        return _did_sql(_did(inner, "condition.did"), scope, params)
    if word == "not":
        return f"(NOT {_condition_sql(inner, scope, params)})"
    return f"({(' AND ' if word == 'all' else ' OR ').join(_condition_sql(item, scope, params) for item in inner)})"


def plan(question: SegmentSize, scope: Scope, shard: Shard) -> Query:
    """Rows (p, h): every person, and whether the condition holds; two numbers where no persons are asked for."""
    params = Params()
    holds = _condition_sql(question.condition, scope, params)
    persons = f"SELECT {person_column(scope)}, {holds} AS h FROM events WHERE 1{shard_sql(shard)} GROUP BY p"
    if question.cell is not None:
        return Query(f"SELECT p FROM ({persons}) WHERE h ORDER BY p", params.values)
    return Query(f"SELECT countIf(h) AS inside, count() AS total FROM ({persons})", params.values)


def reduce(question: SegmentSize, scope: Scope, table: pa.Table) -> pa.Table:
    """The engine's rows as they are."""
    return table


class SegmentOutcome(NamedTuple):
    """All shards together."""

    parts: list[pa.Table]

    def persons(self, cell: SegmentCell) -> Ints:
        """The persons of the segment."""
        return np.sort(np.concatenate([ints(part, "p") for part in self.parts]))

    def answer(self) -> SegmentCount:
        """How many they are."""
        inside = sum(part["inside"][0].as_py() for part in self.parts)
        return SegmentCount(inside, sum(part["total"][0].as_py() for part in self.parts))


def finish(question: SegmentSize, scope: Scope, parts: Sequence[pa.Table]) -> SegmentOutcome:
    """Put the shards together."""
    return SegmentOutcome(list(parts))
