"""Why two identifiers are one person: the shortest chain of links between them. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID


class Edge(NamedTuple):
    """A link as a step between two identifiers."""

    link_id: UUID
    a: int
    b: int


def shortest_path(edges: Iterable[Edge], start: int, goal: int) -> list[Edge] | None:
    """The links of a shortest chain from `start` to `goal`, in order; None when there is none.

    Of equally short chains, the one whose links come first in `edges`."""
    steps: dict[int, list[tuple[int, Edge]]] = {}
    for edge in edges:
        steps.setdefault(edge.a, []).append((edge.b, edge))
        steps.setdefault(edge.b, []).append((edge.a, edge))
    came: dict[int, tuple[int, Edge] | None] = {start: None}
    waiting = deque([start])
    while waiting and goal not in came:
        here = waiting.popleft()
        for there, edge in steps.get(here, ()):
            if there not in came:
                came[there] = (here, edge)
                waiting.append(there)
    if goal not in came:
        return None
    path: list[Edge] = []
    at = goal
    while (step := came[at]) is not None:
        at, edge = step
        path.append(edge)
    return path[::-1]
