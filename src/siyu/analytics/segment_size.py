"""Segment size (人群规模): how many persons fulfil a rule. The condition is a rule of the one language (docs/rules.md).

The persons are those with at least one event, ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from siyu.analytics.columns import Ints
from siyu.analytics.question import Question, Shape, refuse
from siyu.errors import MalformedRequest
from siyu.rules.possible import asked_rule
from siyu.rules.rule import Rule
from siyu.rules.window import Setting
from siyu.segments.population import Source, who
from siyu.segments.words import WORDS


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


def rule_of(condition: Mapping[str, Any]) -> Rule:
    """The condition as a rule. Raises InvalidQuestion."""
    try:
        return asked_rule(condition, WORDS, path="condition")
    except MalformedRequest as error:
        raise refuse(str(error), str(error.details.get("path", "condition"))) from None


def check(question: SegmentSize) -> None:
    """Refuse what cannot be asked. Raises InvalidQuestion."""
    rule_of(question.condition)


class SegmentOutcome(NamedTuple):
    """The persons of the segment, of how many."""

    inside: Ints
    total: int

    def persons(self, cell: SegmentCell) -> Ints:
        """The persons of the segment."""
        return self.inside

    def answer(self) -> SegmentCount:
        """How many they are."""
        return SegmentCount(len(self.inside), self.total)


async def outcome_of(question: SegmentSize, source: Source, setting: Setting) -> SegmentOutcome:
    """Who fulfils the condition. Raises QueryTooExpensive, EngineUnavailable."""
    total, found = await who(source, {"": rule_of(question.condition)}, setting)
    return SegmentOutcome(found[""], total)
