"""Drawings: the same evidence gives the same picture, nothing overlaps, nothing is drawn outside."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from siyu.console.drawing import NODES_MAX, Identifier, Link, lay_out, sparkline
from siyu.ids import KIND_RANK

identifiers = st.lists(
    st.tuples(st.sampled_from(sorted(KIND_RANK)), st.text("abc123", min_size=1, max_size=8), st.booleans()), max_size=60
).map(lambda rows: [Identifier(f"id{n}", *row) for n, row in enumerate(rows)])


@given(identifiers, st.data())
def test_layout(nodes: list[Identifier], data: st.DataObject) -> None:
    ends = st.sampled_from([node.id for node in nodes] or ["id0"])
    pairs = data.draw(st.lists(st.tuples(ends, ends), max_size=40))
    links = [Link(f"l{n}", a, b, "accepted", "seen") for n, (a, b) in enumerate(pairs)]
    graph = lay_out(nodes, links)
    assert graph == lay_out(reversed(nodes), links)
    assert len(graph.nodes) == min(len(nodes), NODES_MAX)
    assert graph.left_out == max(0, len(nodes) - NODES_MAX)
    places = {(node.x, node.y) for node in graph.nodes}
    assert len(places) == len(graph.nodes)
    for node in graph.nodes:
        assert node.x >= 0 and node.x + 176 <= graph.width
        assert node.y >= 0 and node.y + 40 <= graph.height
    drawn = {node.id for node in graph.nodes}
    assert {curve.link_id for curve in graph.curves} == {
        link.link_id for link in links if link.a in drawn and link.b in drawn and link.a != link.b
    }


def test_stronger_identifiers_stand_further_right() -> None:
    graph = lay_out(
        [Identifier("a", "device", "d"), Identifier("b", "phone", "p"), Identifier("c", "user_id", "u")],
        [Link("1", "c", "a", "accepted", "bind"), Link("2", "b", "c", "refused", "seen")],
    )
    x = {node.id: node.x for node in graph.nodes}
    assert x["a"] < x["b"] < x["c"]
    assert [curve.status for curve in graph.curves] == ["accepted", "refused"]


@given(st.lists(st.floats(-1e9, 1e9), max_size=50))
def test_sparklines_stay_inside(values: list[float]) -> None:
    line = re.search(r'polyline class="line" points="([^"]*)"', sparkline(values, 120, 30))
    assert line is not None
    points = [tuple(map(float, point.split(","))) for point in line[1].split()]
    assert len(points) == max(2, len(values))
    assert all(0 <= x <= 120 and 0 <= y <= 30 for x, y in points)
