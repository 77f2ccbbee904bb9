"""Drawings made on the server: sparklines, and the graph of evidence between identifiers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from markupsafe import Markup

from siyu.ids import CARRIED, SINGLE, base_kind

NODES_MAX: Final = 36
"""More identifiers than that are listed, not drawn."""
_BOX_W, _BOX_H, _ROW, _COLUMN = 176, 40, 54, 262


def sparkline(values: Sequence[float], width: int = 120, height: int = 30) -> Markup:
    """A line with a faint area under it; a flat line for nothing."""
    points = list(values) or [0]
    if len(points) == 1:
        points = points * 2
    low, high = min(0, *points), max(points)
    span = (high - low) or 1
    step = width / (len(points) - 1)
    places = [(n * step, height - 2 - (value - low) / span * (height - 4)) for n, value in enumerate(points)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" preserveAspectRatio="none" aria-hidden="true">'
        '<polygon class="area" points="0,{h} {line} {w},{h}"/><polyline class="line" points="{line}"/></svg>'
    ).format(w=width, h=height, line=line)


class Node(NamedTuple):
    """An identifier on the drawing."""

    id: str
    kind: str
    value: str
    x: float
    y: float
    foreign: bool
    """Of another person: the other end of a refused or retracted link."""
    core: bool


class Curve(NamedTuple):
    """A link on the drawing, as an SVG path."""

    link_id: str
    path: str
    status: str
    rule: str


class Graph(NamedTuple):
    """A drawing of `width` × `height`."""

    nodes: list[Node]
    curves: list[Curve]
    width: float
    height: float
    left_out: int
    """Identifiers that had no room."""


class Identifier(NamedTuple):
    """What is drawn as a node."""

    id: str
    kind: str
    value: str
    foreign: bool = False


class Link(NamedTuple):
    """What is drawn as a curve between nodes `a` and `b`."""

    link_id: str
    a: str
    b: str
    status: str
    rule: str


def _column(identifier: Identifier) -> int:
    base = base_kind(identifier.kind)
    return 0 if base in CARRIED else 2 if base in SINGLE else 1


def lay_out(identifiers: Iterable[Identifier], links: Iterable[Link]) -> Graph:
    """Three columns from weak to strong: carried, current and many, single. The same input gives the same drawing."""
    links = list(links)
    degree: dict[str, int] = {}
    for link in links:
        for end in (link.a, link.b):
            degree[end] = degree.get(end, 0) + 1
    ranked = sorted(
        identifiers, key=lambda one: (one.foreign, -_column(one), -degree.get(one.id, 0), one.kind, one.value, one.id)
    )
    shown, left_out = ranked[:NODES_MAX], max(0, len(ranked) - NODES_MAX)
    columns = [[one for one in shown if _column(one) == number] for number in range(3)]
    used = [column for column in columns if column]
    tallest = max((len(column) for column in used), default=1)
    width = max(1, len(used)) * _COLUMN - (_COLUMN - _BOX_W) + 2
    nodes: dict[str, Node] = {}
    for number, column in enumerate(used):
        top = (tallest - len(column)) * _ROW / 2
        for place, one in enumerate(column):
            x, y = 1 + number * _COLUMN, 1 + top + place * _ROW
            nodes[one.id] = Node(*one[:3], x, y, one.foreign, base_kind(one.kind) in SINGLE and not one.foreign)
    inside = any(link.a in nodes and link.b in nodes and nodes[link.a].x == nodes[link.b].x for link in links)
    curves = [
        Curve(link.link_id, _curve(nodes[link.a], nodes[link.b]), link.status, link.rule)
        for link in links
        if link.a in nodes and link.b in nodes and link.a != link.b
    ]
    return Graph(
        list(nodes.values()), curves, width + (44 if inside else 0), tallest * _ROW - (_ROW - _BOX_H) + 2, left_out
    )


def _curve(a: Node, b: Node) -> str:
    if a.x > b.x:
        a, b = b, a
    y1, y2 = a.y + _BOX_H / 2, b.y + _BOX_H / 2
    x1, x2 = a.x + _BOX_W, b.x
    bend1 = bend2 = (x1 + x2) / 2
    if a.x == b.x:
        x2, bend1 = x1, x1 + 24 + min(20.0, abs(y1 - y2) / 12)
        bend2 = bend1
    return f"M{x1:.0f} {y1:.0f} C{bend1:.0f} {y1:.0f} {bend2:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
