"""Funnels (漏斗): how many persons get how far through steps, and how long it takes them.

The statement fetches the rows of the steps (all rows for a strict funnel) as two or three narrow columns; chains are
found in `chains`. docs/questions.md tells the semantics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siyu.analytics.chains import Chains, Rows, Rules, find_chains
from siyu.analytics.columns import Bools, Ints, firsts
from siyu.analytics.groups import Labels, group_rows, one_group, shown_groups, value_codes
from siyu.analytics.packing import Packing, Sorted, in_blocks, packing_of
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
    Query,
    Scope,
    Shard,
    any_of_sql,
    during_sql,
    group_sql,
    matcher,
    matcher_sql,
    names_sql,
    shard_sql,
)
from siyu.rules import Params


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
        return all(item.names for item in items) and len(names) == len(set(names))


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


def _packing(parts: _Parts, scope: Scope) -> Packing:
    items = len(parts.steps) + len(parts.exclusions)
    return packing_of(parts.span, items.bit_length() if parts.disjoint else items, scope.stored.persons)


def plan(question: Funnel, scope: Scope, shard: Shard) -> Query:
    """Rows as `packing` has them, and their value g in a breakdown. The small number is 1 + the item's place, 0 for
    none; where an event can be several items, a bit for each."""
    parts, params = _parts(question, scope), Params()
    items = [*parts.steps, *parts.exclusions]
    tests = [matcher_sql(item, params) for item in items]
    if parts.disjoint:
        low = f"multiIf({', '.join(f'{test}, {i}' for i, test in enumerate(tests, 1))}, 0)"
    else:
        low = " + ".join(f"({test}) * {1 << i}" for i, test in enumerate(tests))
    columns = _packing(parts, scope).sql(scope.person, low)
    if question.breakdown is not None:
        columns += f", {group_sql(question.breakdown, scope, params)} AS g"
    wanted = names_sql((), params) if question.order == "strict" else any_of_sql(items, params)
    if question.order == "strict":
        wanted = f"({wanted} OR {any_of_sql(items, params)})"
    where = f"{during_sql(parts.span, params)} AND ({wanted}){shard_sql(shard, scope.person)}"
    return Query(f"SELECT {columns} FROM events WHERE {where}", params.values)


def reduce(question: Funnel, scope: Scope, table: pa.Table) -> Walked:
    """The chains in one shard's rows, walked in blocks of persons."""
    parts = _parts(question, scope)
    codes, texts = None, [""]
    if question.breakdown is not None:
        codes, texts = value_codes(table["g"].combine_chunks())
    found = _packing(parts, scope).read(table, codes)
    return _joined(in_blocks(found, lambda block: _walked(question, parts, block, texts)))


def _walked(question: Funnel, parts: _Parts, found: Sorted, texts: list[str]) -> Walked:
    """The chains in rows of some persons; `texts` are the values of the breakdown."""
    place = None
    if question.order == "strict" and not _regroups(question.breakdown):
        place = _telling(found)
        found = found.take(place)
    person = found.person
    begins = firsts(person)
    owners = person[begins]
    steps, exclusions = _hits(found.low, parts)
    rows = Rows(np.cumsum(begins) - 1, found.elapsed, steps, exclusions, len(owners), place)
    if question.breakdown is None or found.beside is None:
        grouping = one_group(rows, owners)
    else:
        values = Labels(found.beside, texts)
        grouping = group_rows(rows, owners, values, question.breakdown, keep_all=question.order == "strict")
    rules = Rules(
        question.order,
        question.window.milliseconds,
        [(item.from_, item.to) for item in question.exclusions],
        overlapping=not parts.disjoint,
    )
    return Walked(grouping.persons, grouping.labels, find_chains(grouping.rows, rules))


def _joined(blocks: Sequence[Walked]) -> Walked:
    """All blocks of a shard as one; their labels are places among the same texts."""
    persons, labels, chains = zip(*blocks, strict=True)
    depth, times = zip(*chains, strict=True)
    codes = np.concatenate([one.code for one in labels])
    return Walked(
        np.concatenate(persons), Labels(codes, labels[0].texts), Chains(np.concatenate(depth), np.concatenate(times))
    )


def _regroups(breakdown: Breakdown | None) -> bool:
    """Which events stand between two others depends on the group."""
    return breakdown is not None and breakdown.event_prop is not None and breakdown.attribution == "all_events"


def _telling(rows: Sorted) -> Ints:
    """Of a strict funnel the rows that are steps or exclusions; the others are only remembered as gaps, except of
    persons that `ties` will walk."""
    keep = rows.low != 0
    tied = keep & rows.beside_equal()
    if tied.any():
        keep |= rows.of_persons(np.unique(rows.person[tied]))
    return np.flatnonzero(keep)


def _hits(low: npt.NDArray[Any], parts: _Parts) -> tuple[list[Bools], list[Bools]]:
    steps, items = len(parts.steps), len(parts.steps) + len(parts.exclusions)
    every = [low == i + 1 if parts.disjoint else (low >> i & 1) != 0 for i in range(items)]
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
