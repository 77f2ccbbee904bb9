"""A segment: a rule under a name. What its rule means with other segments in it, and what makes it change. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from siyu.errors import Conflict, MalformedRequest, NotFound
from siyu.rules.parse import SEGMENTS, parse_rule, refuse
from siyu.rules.rule import Group, InvalidRule, Negation, Person, Rule, leaves, metrics_of
from siyu.rules.vocabulary import Vocabulary

KEY: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}\Z", re.ASCII)
LABEL_CHARS_MAX: Final = 100
SEGMENTS_MAX: Final = 500
LEAVES_MAX: Final = 1_000
"""Of a rule with all segments that it names written out."""
LISTED: Final = "listed"
"""The attribute that uploaded lists are: keys of the lists the person is on."""


class SegmentNotFound(NotFound):
    """No segment has this key."""

    code = "SEGMENT_NOT_FOUND"


class SegmentTaken(Conflict):
    """There is a segment with this key already."""

    code = "SEGMENT_EXISTS"


class SegmentInUse(Conflict):
    """Other segments name this one."""

    code = "SEGMENT_IN_USE"


class Segment(NamedTuple):
    """A segment as it is kept."""

    key: str
    label: str
    rule: dict[str, Any]
    listed: bool
    announced: bool
    version: int
    built: int
    size: int
    created_at: datetime
    changed_at: datetime
    built_at: datetime | None
    problem: str | None = None
    """Why its members wait: what could not be read."""

    @property
    def is_built(self) -> bool:
        """Whether the members were those of this version once."""
        return self.built == self.version

    @property
    def is_ready(self) -> bool:
        """Whether the members are those of this version, kept true."""
        return self.is_built and self.problem is None


class Live(NamedTuple):
    """A segment ready to be evaluated."""

    segment: Segment
    rule: Rule
    """With all segments that it names written out."""
    uses: frozenset[str]
    """Their keys, at any depth."""

    def ages(self, words: Vocabulary) -> bool:
        """Whether the calendar, or the age of something, can change who is in it without any event."""
        return ages(self.rule, words)


def ages(rule: Rule, words: Vocabulary) -> bool:
    """Whether the calendar, or the age of something, can change of whom a rule holds without any event."""
    return any(metric.turns for metric in metrics_of(rule)) or any(
        (kind := words.kind_of(leaf.name)) is not None and (kind.ages or leaf.op == "within")
        for leaf in leaves(rule)
        if isinstance(leaf, Person)
    )


def check_key(key: str) -> str:
    """`key` when it can be one. Raises InvalidRule."""
    if not KEY.match(key):
        raise refuse("A key has 1 to 64 of a-z, 0-9, _, . and -, the first a letter or digit.", "key")
    return key


def check_label(label: str) -> str:
    """The clean label. Raises InvalidRule."""
    clean = label.strip()
    if not 1 <= len(clean) <= LABEL_CHARS_MAX or not clean.isprintable():
        raise refuse(f"A label has 1 to {LABEL_CHARS_MAX} printable characters.", "label")
    return clean


def live_of(segments: Iterable[Segment], words: Vocabulary) -> tuple[dict[str, Live], dict[str, MalformedRequest]]:
    """The segments written out, and what is wrong with those that cannot be: a circle, an unknown key, a rule that is
    not understood (any more). One that names such a segment cannot be either; the others can."""
    parsed: dict[str, Rule] = {}
    wrong: dict[str, MalformedRequest] = {}
    known = {segment.key: segment for segment in segments}
    for key, segment in known.items():
        try:
            parsed[key] = parse_rule(segment.rule, words)
        except MalformedRequest as error:
            wrong[key] = error
    live = {}
    for key in parsed:
        try:
            live[key] = _live(known[key], parsed)
        except InvalidRule as error:
            wrong[key] = error
    return live, wrong


def _live(segment: Segment, parsed: Mapping[str, Rule]) -> Live:
    uses: set[str] = set()
    rule = expand(parsed[segment.key], parsed, (segment.key,), uses)
    if sum(1 for _ in leaves(rule)) > LEAVES_MAX:
        raise refuse(f"With the segments it names, a segment has at most {LEAVES_MAX} conditions.", "rule")
    return Live(segment, rule, frozenset(uses))


def expand(rule: Rule, parsed: Mapping[str, Rule], above: tuple[str, ...], uses: set[str]) -> Rule:
    """`rule` with the rules of the segments it names in their place; their keys are added to `uses`."""
    if isinstance(rule, Group):
        return rule._replace(parts=tuple(expand(part, parsed, above, uses) for part in rule.parts))
    if isinstance(rule, Negation):
        return Negation(expand(rule.part, parsed, above, uses))
    if not isinstance(rule, Person) or rule.name != SEGMENTS:
        return rule
    if rule.op not in ("contains", "not_contains"):
        raise refuse("A segment may say which segments a person is in, or not in.", "rule")
    key = str(rule.value)
    if key in above:
        raise refuse(f"The segments {' → '.join([*above, key])} name each other in a circle.", "rule")
    if key not in parsed:
        raise refuse(f"There is no segment {key!r}.", "rule")
    uses.add(key)
    inner = expand(parsed[key], parsed, (*above, key), uses)
    return inner if rule.op == "contains" else Negation(inner)
