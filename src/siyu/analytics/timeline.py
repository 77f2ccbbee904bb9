"""The timeline of one person as a question: its events, newest first."""

from __future__ import annotations

from uuid import UUID

from siyu.analytics.question import Question, Shape, refuse
from siyu.errors import MalformedRequest
from siyu.profile.timeline import PAGE_MAX, Page, parse_cursor


class PersonName(Shape, frozen=True, kw_only=True):
    """A person by one of its identifiers."""

    kind: str
    value: str


class TimelineQuestion(Question, frozen=True, kw_only=True, tag="timeline", tag_field="kind"):
    """See docs/questions.md, timeline."""

    person: str | PersonName
    before: str | None = None


def check(question: TimelineQuestion) -> None:
    """Refuse what cannot be asked. Raises InvalidQuestion."""
    page_of(question)
    if isinstance(question.person, str):
        try:
            UUID(question.person)
        except ValueError:
            raise refuse("A person is its id, or {kind, value} of an identifier.", "person") from None
    if question.persons:
        raise refuse("A timeline is of one person.", "persons")


def page_of(question: TimelineQuestion) -> Page:
    """The page asked for. Raises InvalidQuestion."""
    try:
        before = None if question.before is None else parse_cursor(question.before)
    except MalformedRequest as error:
        raise refuse(str(error), "before") from None
    if question.limit > PAGE_MAX:
        raise refuse(f"A page of a timeline has at most {PAGE_MAX} events.", "limit")
    return Page(min(question.limit, PAGE_MAX), before)
