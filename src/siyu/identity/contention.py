"""Where the first time of a link is not enough: identifiers that changed hands, or may have. Pure.

A shared device, a phone of two persons or an unbound openid needs the order of all its sightings. Links are put into
groups whose sightings are read together; between two sightings of one link nothing else of its group happened.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from uuid import UUID

from siyu.identity.evidence import Identifier, Tier, is_current, rank
from siyu.identity.exact_times import Wanted
from siyu.identity.link_records import LinkRow
from siyu.identity.resolution import END, Spans, person_at
from siyu.ids import base_kind

Group = dict[UUID, Wanted]
Intervals = tuple[tuple[int, int], ...]
"""Half-open spans of event time, epoch ms."""


def contended(
    identifiers: Mapping[int, Identifier],
    rows: Iterable[LinkRow],
    spans: Mapping[int, Spans],
    cuts: Mapping[int, list[int]],
) -> list[Group]:
    """The groups of links whose every sighting matters. `spans`: whose each identifier is, as far as known."""
    rows = list(rows)
    core, units = _Components(rows, 40), _Components(rows, 10)
    mixed = {core(row.a) for row in rows if row.weight // 10 == Tier.CURRENT and is_current(identifiers[row.a].kind)}
    found: dict[tuple[object, ...], list[LinkRow]] = {}
    for row in rows:
        tier = row.weight // 10
        if tier == Tier.STRONG and (row.a in cuts or row.b in cuts):
            found.setdefault(("strong", row.link_id), []).append(row)
        elif tier == Tier.CURRENT:
            part = core(row.a)
            kind = "" if part in mixed else base_kind(identifiers[row.b].kind)
            found.setdefault(("current", part, kind), []).append(row)
        elif tier == Tier.CARRIED and base_kind(identifiers[row.a].kind) != base_kind(identifiers[row.b].kind):
            found.setdefault(("carried", units(row.b)), []).append(row)
    groups: list[Group] = []
    for members in found.values():
        breaks = {row.link_id: _breaks(row, spans, cuts) for row in members}
        if len(members) > 1 or any(breaks.values()):
            groups.append(_group(identifiers, members, len(groups), breaks))
    return groups


def _group(
    identifiers: Mapping[int, Identifier], rows: Sequence[LinkRow], number: int, breaks: Mapping[UUID, tuple[int, ...]]
) -> Group:
    if rows[0].weight // 10 == Tier.CARRIED:
        # At one instant the strongest counts: it comes last, so that what follows it is compared with it.
        ordered = sorted(rows, key=lambda row: (rank(identifiers[row.a].kind), row.link_id), reverse=True)
    else:
        ordered = sorted(rows, key=lambda row: row.link_id)
    return {
        row.link_id: Wanted(
            row.a,
            row.b,
            rank(identifiers[row.a].kind) == rank(identifiers[row.b].kind),
            number,
            order,
            breaks[row.link_id],
        )
        for order, row in enumerate(ordered)
    }


def _breaks(row: LinkRow, spans: Mapping[int, Spans], cuts: Mapping[int, list[int]]) -> tuple[int, ...]:
    if not cuts and (row.weight // 10 != Tier.CARRIED or len(spans.get(row.a, ())) < 2):
        return ()
    # A sighting at the very instant of an unbind still belongs to the life before it.
    instants = {cut + 1 for end in (row.a, row.b) for cut in cuts.get(end, ())}
    if row.weight // 10 == Tier.CARRIED:
        instants.update(since for since, _ in spans.get(row.a, ())[1:])
    return tuple(sorted(instants))


class _Components:
    """Identifier → a name of its connected part over links of a weight below `limit`."""

    def __init__(self, rows: Iterable[LinkRow], limit: int) -> None:
        self._parent: dict[int, int] = {}
        for row in rows:
            if row.weight < limit and row.rule != "unbind":
                one, other = self(row.a), self(row.b)
                self._parent[max(one, other)] = min(one, other)

    def __call__(self, id_: int) -> int:
        parent = self._parent
        root = id_
        while (above := parent.get(root, root)) != root:
            root = above
        while id_ != root:
            parent[id_], id_ = root, parent.get(id_, root)
        return root


def quiet(
    rows: Iterable[LinkRow],
    groups: Sequence[Group],
    times: Mapping[UUID, Iterable[int]],
    spans: Mapping[int, Spans],
    contested: Callable[[LinkRow], bool],
) -> dict[UUID, Intervals]:
    """Link → when a further sighting of it changes nothing: from its first on, and for contended links only while
    nobody else of the group came in between. `contested`: sightings of this one never stand for those of another."""
    by_id = {row.link_id: row for row in rows}
    result: dict[UUID, Intervals] = {link_id: ((row.first_ms + 1, END),) for link_id, row in by_id.items()}
    for group in groups:
        pieces = {
            link_id: _pieces(by_id[link_id], wanted, spans, contested(by_id[link_id]))
            for link_id, wanted in group.items()
        }
        by_label: dict[object, list[tuple[UUID, int, int]]] = {}
        for link_id, parts in pieces.items():
            for start, end, label in parts:
                by_label.setdefault(label, []).append((link_id, start, end))
        seen = sorted((at, wanted.order, link_id) for link_id, wanted in group.items() for at in times.get(link_id, ()))
        found: dict[UUID, list[tuple[int, int]]] = {link_id: [] for link_id in group}
        for start, end, label in _runs(seen, pieces):
            for link_id, low, high in by_label[label]:
                begin = max(start, low, by_id[link_id].first_ms + 1)
                if begin < min(end, high):
                    found[link_id].append((begin, min(end, high)))
        for link_id, intervals in found.items():
            if by_id[link_id].refused is None:
                result[link_id] = tuple(intervals)
    return result


def _pieces(row: LinkRow, wanted: Wanted, spans: Mapping[int, Spans], contested: bool) -> list[tuple[int, int, object]]:
    """(start, end, label) between the breaks of a link. Sightings of one label in a row are worth one."""
    starts = [-END, *wanted.breaks]
    return [
        (start, end, (row.link_id, start) if contested else (person_at(spans[row.a], start), row.b))
        for start, end in zip(starts, [*starts[1:], END], strict=True)
    ]


def _runs(
    seen: Sequence[tuple[int, int, UUID]], pieces: Mapping[UUID, Sequence[tuple[int, int, object]]]
) -> Iterator[tuple[int, int, object]]:
    """(start, end, label) of sightings in a row with one label."""
    run_start, run_label = 0, None
    for at, _, link_id in seen:
        parts = pieces[link_id]
        label = parts[bisect_right(parts, at, key=lambda part: part[0]) - 1][2]
        if label != run_label:
            if run_label is not None:
                yield run_start, at, run_label
            run_start, run_label = at, label
    if run_label is not None:
        yield run_start, END, run_label
