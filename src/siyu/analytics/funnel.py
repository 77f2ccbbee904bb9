"""Funnels (漏斗): how many persons get how far through steps, and how long it takes them.

The statement fetches the rows of the steps (all rows for a strict funnel) as two or three narrow columns; chains are
found in `chains`. docs/questions.md tells the semantics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from siyu.analytics.chains import Chains, Rows, Rules, find_chains, tied_units
from siyu.analytics.columns import Bools, Ints, firsts, ints, sorted_together
from siyu.analytics.groups import Labels, group_rows, one_group, shown_groups, value_codes
from siyu.analytics.question import (
    EXCLUSIONS_MAX,
    GROUPS_MAX,
    OTHER,
    STEPS_MAX,
    Breakdown,
    EventName,
    Interval,
    Matcher,
    Question,
    Shape,
    Span,
    Step,
    Where,
    Window,
    check_breakdown,
    refuse,
    span_of,
)
from siyu.analytics.scope import (
    MILLIS,
    Query,
    Scope,
    Shard,
    any_of_sql,
    during_sql,
    group_sql,
    matcher,
    matcher_sql,
    names_sql,
    person_column,
    shard_sql,
)
from siyu.rules import Params

_CODE_BITS = 5
_CODES = 1 << _CODE_BITS


class Exclusion(Shape, frozen=True, kw_only=True):
    """Who does this after reaching step `from` and before reaching step `to` (0 is the first) leaves the funnel."""

    event: EventName
    where: Where | None = None
    from_: Annotated[int, msgspec.Meta(ge=0, le=STEPS_MAX)] = msgspec.field(name="from")
    to: Annotated[int, msgspec.Meta(ge=0, le=STEPS_MAX)]


class FunnelCell(Shape, frozen=True, kw_only=True):
    """The persons who reached `step`; with `dropped`, those who reached the step before it and not this one."""

    step: Annotated[int, msgspec.Meta(ge=0, le=STEPS_MAX)]
    group: str | None = None
    dropped: bool = False


class Funnel(Question, frozen=True, kw_only=True, tag="funnel", tag_field="kind"):
    """See docs/questions.md, funnel."""

    steps: Annotated[list[Step], msgspec.Meta(min_length=1, max_length=STEPS_MAX)]
    order: Literal["ordered", "strict", "unordered"] = "ordered"
    window: Window = Window()
    range: Span | None = None
    exclusions: Annotated[list[Exclusion], msgspec.Meta(max_length=EXCLUSIONS_MAX)] = []
    breakdown: Breakdown | None = None
    cell: FunnelCell | None = None


class FunnelFigures(msgspec.Struct, omit_defaults=True):
    """Persons who reached each step; seconds from the step before, of the persons who made it, null for none."""

    counts: list[int]
    avg_conversion_s: list[float | None]
    median_conversion_s: list[float | None]
    persons: list[list[str]] | None = None


class FunnelGroups(msgspec.Struct):
    """The figures per value of the breakdown."""

    groups: dict[str, FunnelFigures]


class Walked(NamedTuple):
    """What one shard gave: per unit its person, its group and its chain."""

    person: Ints
    labels: Labels
    chains: Chains


class _Parts(NamedTuple):
    steps: list[Matcher]
    exclusions: list[Matcher]
    span: Interval

    @property
    def disjoint(self) -> bool:
        """No event can be two of these."""
        items = [*self.steps, *self.exclusions]
        names = [name for item in items for name in item.names]
        return all(item.names for item in items) and len(names) == len(set(names)) and len(items) < _CODES - 1


def check(question: Funnel) -> None:
    """Refuse what cannot be asked. Raises InvalidQuestion."""
    check_breakdown(question.breakdown, attributions=True)
    last = len(question.steps) - 1
    for i, exclusion in enumerate(question.exclusions):
        path = f"exclusions[{i}]"
        if exclusion.from_ >= exclusion.to:
            raise refuse("An exclusion stands between a step and a later one.", f"{path}.from")
        if exclusion.to > last:
            raise refuse("An exclusion ends at a step of the funnel.", f"{path}.to")
        if question.order == "unordered" and (exclusion.from_, exclusion.to) != (0, last):
            raise refuse("In an unordered funnel an exclusion spans all steps.", f"{path}.from")
    if question.breakdown is not None and question.breakdown.attribution.startswith("step:"):
        step = int(question.breakdown.attribution.removeprefix("step:"))
        if step > last:
            raise refuse("There is no such step.", "breakdown.attribution")
        if question.order == "unordered" and step > 0:
            raise refuse("In an unordered funnel only step:0 can be the attribution.", "breakdown.attribution")
    if question.cell is not None and question.cell.step > last:
        raise refuse("There is no such step.", "cell.step")
    if question.cell is not None and (question.breakdown is None) != (question.cell.group is None):
        raise refuse("A cell names a group exactly when there is a breakdown.", "cell.group")


def _parts(question: Funnel, scope: Scope) -> _Parts:
    steps = [matcher(step, f"steps[{i}]") for i, step in enumerate(question.steps)]
    exclusions = [
        matcher(Step(event=item.event, where=item.where), f"exclusions[{i}]")
        for i, item in enumerate(question.exclusions)
    ]
    return _Parts(steps, exclusions, span_of(question.range, scope.zone, scope.now))


def plan(question: Funnel, scope: Scope, shard: Shard) -> Query:
    """Rows (p, k[, m][, g]): k = milliseconds since the start, with the item's number in the low bits; where an event
    can be several items, k = milliseconds and m = a bit for each item."""
    parts, params = _parts(question, scope), Params()
    items = [*parts.steps, *parts.exclusions]
    elapsed = f"toUInt64({MILLIS} - {parts.span.start})"
    tests = [matcher_sql(item, params) for item in items]
    if parts.disjoint:
        code = ", ".join(f"{test}, {i}" for i, test in enumerate(tests))
        columns = [person_column(scope), f"{elapsed} * {_CODES} + multiIf({code}, {_CODES - 1}) AS k"]
    else:
        mask = " + ".join(f"({test}) * {1 << i}" for i, test in enumerate(tests))
        columns = [person_column(scope), f"{elapsed} AS k", f"toUInt32({mask}) AS m"]
    if question.breakdown is not None:
        columns.append(f"{group_sql(question.breakdown, scope, params)} AS g")
    wanted = names_sql((), params) if question.order == "strict" else any_of_sql(items, params)
    if question.order == "strict":
        wanted = f"({wanted} OR {any_of_sql(items, params)})"
    where = f"{during_sql(parts.span, params)} AND ({wanted}){shard_sql(shard)}"
    return Query(f"SELECT {', '.join(columns)} FROM events WHERE {where}", params.values)


def reduce(question: Funnel, scope: Scope, table: pa.Table) -> Walked:
    """The chains in one shard's rows."""
    parts = _parts(question, scope)
    columns = [ints(table, "p"), ints(table, "k")]
    if not parts.disjoint:
        columns.append(ints(table, "m"))
    texts: list[str] = []
    if question.breakdown is not None:
        codes, texts = value_codes(table["g"].combine_chunks())
        columns.append(codes)
    person, k, *more = sorted_together(*columns)
    mask = None if parts.disjoint else more[0]
    at = k if mask is not None else k >> _CODE_BITS
    steps, exclusions = _hits(k, mask, len(parts.steps), len(parts.exclusions))
    begins = firsts(person)
    owners = person[begins]
    rows = Rows(np.cumsum(begins) - 1, at, steps, exclusions, len(owners))
    rules = Rules(
        question.order,
        question.window.milliseconds,
        [(item.from_, item.to) for item in question.exclusions],
        overlapping=not parts.disjoint,
    )
    if question.breakdown is None:
        grouping = one_group(_without_junk(rows, rules) if question.order == "strict" else rows, owners)
    else:
        values = Labels(more[-1], texts)
        grouping = group_rows(rows, owners, values, question.breakdown, keep_all=question.order == "strict")
    return Walked(grouping.persons, grouping.labels, find_chains(grouping.rows, rules))


def _without_junk(rows: Rows, rules: Rules) -> Rows:
    """Of a strict funnel the rows that are steps or exclusions; the others are only remembered as gaps, except in units
    that `ties` will walk."""
    keep = np.logical_or.reduce([*rows.steps, *rows.exclusions])
    tied = tied_units(rows, rules)
    if len(tied):
        walked = np.zeros(rows.units, bool)
        walked[tied] = True
        keep |= walked[rows.unit]
    return rows.only(keep)


def _hits(k: Ints, mask: Ints | None, steps: int, exclusions: int) -> tuple[list[Bools], list[Bools]]:
    codes = k & (_CODES - 1)
    every = [(mask >> i & 1) != 0 if mask is not None else codes == i for i in range(steps + exclusions)]
    return every[:steps], every[steps:]


class FunnelOutcome(NamedTuple):
    """All shards together. `group`: the place of each unit's group among `names`."""

    question: Funnel
    person: Ints
    group: Ints
    chains: Chains
    names: list[str]

    def _in_group(self, name: str) -> Bools:
        place = self.names.index(name) if name in self.names else -1
        inside: Bools = self.group == place
        return inside

    def at_step(self, step: int, group: str | None, *, dropped: bool = False) -> Ints:
        """The persons who reached a step (or were lost before it), ascending."""
        depth = self.chains.depth
        here = depth == step if dropped else depth > step
        if group is not None:
            here = here & self._in_group(group)
        return np.unique(self.person[here])

    def persons(self, cell: FunnelCell) -> Ints:
        """The persons behind a number."""
        return self.at_step(cell.step, cell.group, dropped=cell.dropped)

    def figures(self, group: str | None) -> FunnelFigures:
        """Counts and conversion times of a group."""
        depth, times = self.chains
        if group is not None:
            mine = self._in_group(group)
            depth, times = depth[mine], times[mine]
        counts: list[int] = []
        averages: list[float | None] = []
        medians: list[float | None] = []
        for k in range(len(self.question.steps)):
            reached = depth > k
            counts.append(int(np.count_nonzero(reached)))
            if k == 0 or not counts[-1]:
                averages.append(None)
                medians.append(None)
                continue
            seconds = (times[reached, k] - times[reached, k - 1]) / 1000
            averages.append(float(seconds.mean()))
            medians.append(float(np.median(seconds)))
        return FunnelFigures(counts, averages, medians)

    def answer(self) -> FunnelFigures | FunnelGroups:
        """The counts, or the counts of each group."""
        if self.question.breakdown is None:
            return self.figures(None)
        return FunnelGroups({name: self.figures(name) for name in self.names})


def finish(question: Funnel, scope: Scope, parts: Sequence[Walked]) -> FunnelOutcome:
    """Put the shards together; name the groups."""
    person = np.concatenate([part.person for part in parts])
    chains = Chains(
        np.concatenate([part.chains.depth for part in parts]), np.concatenate([part.chains.times for part in parts])
    )
    limit = GROUPS_MAX if question.breakdown is None else question.breakdown.limit
    names, group = shown_groups([part.labels for part in parts], chains.depth > 0, limit)
    if OTHER in names[limit:]:
        once = _once(person, group == limit, chains.depth)
        person, group, chains = person[once], group[once], Chains(chains.depth[once], chains.times[once])
    return FunnelOutcome(question, person, group, chains, names)


def _once(person: Ints, other: Bools, depth: Ints) -> Bools:
    """A person with several values beyond the limit counts once there, with the deepest chain."""
    keep = np.ones(len(person), bool)
    rows = np.flatnonzero(other)
    order = rows[np.lexsort((-depth[rows], person[rows]))]
    keep[order[~firsts(person[order])]] = False
    return keep
