"""The kinds of questions: for each its shape and its four steps. A new kind is one line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

import msgspec
import pyarrow as pa

from siyu.analytics import activity, attribution, clv, funnel, paths, retention, rfm, segment_size, timeline, trend
from siyu.analytics.columns import Ints
from siyu.analytics.pages import PersonPage
from siyu.analytics.question import Question
from siyu.analytics.scope import Query, Scope, Shard
from siyu.errors import InvalidQuestion
from siyu.profile.timeline import Timeline

BYTES_MAX: Final = 256 * 1024


class Outcome(Protocol):
    """A finished question."""

    def answer(self) -> msgspec.Struct:
        """The figures."""

    def persons(self, cell: Any, /) -> Ints:
        """The numbers of the persons behind a cell, ascending."""


class Kind(NamedTuple):
    """How one kind of question is answered."""

    shape: type[Question]
    check: Callable[[Any], None]
    """Raises InvalidQuestion for what the shape alone cannot refuse."""
    plan: Callable[[Any, Scope, Shard], Query]
    """The statement that fetches the rows of one shard of the persons."""
    reduce: Callable[[Any, Scope, pa.Table], Any]
    """What these rows come to."""
    finish: Callable[[Any, Scope, Sequence[Any]], Outcome]
    """All shards together."""
    keeps: Literal["events", "figures"] = "events"
    """What a statement holds in memory, and so whether the persons have to be taken in several passes."""
    slices: bool = False
    """Its rows are single events: they may come from several statements at once."""
    otherwise: Callable[[Any, Scope, Shard], Query] | None = None
    """How to ask for the same when `plan` is too expensive."""
    names: bool = False
    """It wants to know the names of all events beforehand."""


KINDS: Final[dict[type[Question], Kind]] = {
    kind.shape: kind
    for kind in (
        Kind(funnel.Funnel, funnel.check, funnel.plan, funnel.reduce, funnel.finish, slices=True),
        Kind(
            retention.Retention,
            retention.check,
            retention.plan,
            retention.reduce,
            retention.finish,
            slices=True,
        ),
        Kind(trend.Trend, trend.check, trend.plan, trend.reduce, trend.finish, "figures", otherwise=trend.plan_wide),
        Kind(rfm.Rfm, rfm.check, rfm.plan, rfm.reduce, rfm.finish, slices=True),
        Kind(paths.Paths, paths.check, paths.plan, paths.reduce, paths.finish, slices=True, names=True),
        Kind(
            activity.Lifecycle,
            activity.check_lifecycle,
            activity.plan_lifecycle,
            activity.reduce_lifecycle,
            activity.finish_lifecycle,
            slices=True,
        ),
        Kind(
            activity.Stickiness,
            activity.check_stickiness,
            activity.plan_stickiness,
            activity.reduce_stickiness,
            activity.finish_stickiness,
            slices=True,
        ),
        Kind(
            attribution.Attribution,
            attribution.check,
            attribution.plan,
            attribution.reduce,
            attribution.finish,
            slices=True,
        ),
        Kind(clv.Clv, clv.check, clv.plan, clv.reduce, clv.finish),
    )
}

_AnyQuestion: TypeAlias = (
    funnel.Funnel
    | retention.Retention
    | trend.Trend
    | rfm.Rfm
    | paths.Paths
    | activity.Lifecycle
    | activity.Stickiness
    | segment_size.SegmentSize
    | attribution.Attribution
    | clv.Clv
    | timeline.TimelineQuestion
)
_decoder: Final = msgspec.json.Decoder(_AnyQuestion)
ANSWERS: Final[tuple[type[msgspec.Struct], ...]] = (
    *(funnel.FunnelFigures, funnel.FunnelGroups, retention.RetentionMatrix, retention.RetentionGroups),
    *(trend.TrendLines, trend.TrendGroups, rfm.RfmCounts, paths.PathGraph, activity.LifecycleCounts),
    *(activity.StickinessCounts, segment_size.SegmentCount, attribution.AttributionAnswer, clv.ClvAnswer),
    *(PersonPage, Timeline),
)
"""Whatever may be the answer to a question."""


def question_schemas(ref_template: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """JSON Schema of a question and of its answer, made from the types themselves, and the parts they refer to by
    `ref_template`."""
    (asked, *answers), parts = msgspec.json.schema_components([_AnyQuestion, *ANSWERS], ref_template=ref_template)
    return {"oneOf": asked.pop("anyOf"), **asked}, {"anyOf": answers}, parts


def parse_question(body: bytes | str | dict[str, Any]) -> Question:
    """The question in a JSON text or object, checked. Raises InvalidQuestion; `details["path"]` is the wrong field."""
    try:
        raw = msgspec.json.encode(body) if isinstance(body, dict) else body
        if len(raw) > BYTES_MAX:
            raise InvalidQuestion(f"A question has at most {BYTES_MAX} bytes.", path="")
        question: Question = _decoder.decode(raw)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        raise InvalidQuestion(message, path=place.rstrip("`").lstrip(".")) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, ValueError, OverflowError) as error:
        raise InvalidQuestion(f"This is not JSON: {error}", path="") from error
    if isinstance(question, timeline.TimelineQuestion):
        timeline.check(question)
    elif isinstance(question, segment_size.SegmentSize):
        segment_size.check(question)
    else:
        KINDS[type(question)].check(question)
    return question
