"""Which identifiers are one person: a union-find that refuses what no person may have. Pure.

An identifier that was unbound lives several lives: each life (from one unbind to the next) is an element of its own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from siyu.identity.evidence import Identifier, Link, Reason, is_single, rank


class Parts:
    """Elements joined into parts; at most one value of each single kind and `members_max` elements in each."""

    def __init__(
        self, identifiers: Mapping[int, Identifier], cuts: Mapping[int, Sequence[int]], members_max: int
    ) -> None:
        self.identifiers = identifiers
        self.cuts = cuts
        self._members_max = members_max
        self._first: dict[int, int] = {}
        self.owner: list[int] = []
        """Element → its identifier."""
        self._singles: dict[int, dict[str, set[int]]] = {}
        for id_, identifier in identifiers.items():
            self._first[id_] = len(self.owner)
            for _ in range(len(cuts.get(id_, ())) + 1):
                if is_single(identifier.kind):
                    self._singles[len(self.owner)] = {identifier.kind: {id_}}
                self.owner.append(id_)
        self._parent = list(range(len(self.owner)))
        self._size = [1] * len(self.owner)

    def element(self, id_: int, at_ms: int) -> int:
        """The life of `id_` that a sighting at `at_ms` speaks of. An unbind ends the life after its own instant."""
        cuts = self.cuts.get(id_)
        return self._first[id_] + (bisect_left(cuts, at_ms) if cuts else 0)

    def lives(self, id_: int) -> list[tuple[int | None, int]]:
        """(begin, element) of each life; the first has no begin."""
        first = self._first[id_]
        begins = [None, *self.cuts.get(id_, ())]
        return [(begin, first + n) for n, begin in enumerate(begins)]

    def find(self, element: int) -> int:
        """The element that stands for the part."""
        parent = self._parent
        while parent[element] != element:
            parent[element] = parent[parent[element]]
            element = parent[element]
        return element

    def join(self, one: int, other: int, *, users: bool = False) -> Reason | None:
        """Make two parts one, or say why not. `users`: two user_ids may become one (a declared alias of them)."""
        one, other = self.find(one), self.find(other)
        if one == other:
            return None
        if refusal := self.refusal(one, other, users=users):
            return refusal
        if self._size[one] < self._size[other]:
            one, other = other, one
        self._parent[other] = one
        self._size[one] += self._size[other]
        for kind, values in self._singles.pop(other, {}).items():
            self._singles.setdefault(one, {}).setdefault(kind, set()).update(values)
        return None

    def refusal(self, one: int, other: int, *, users: bool = False) -> Reason | None:
        """Why the parts of these roots cannot be one person; None when they can."""
        left, right = self._singles.get(one), self._singles.get(other)
        if left and right:
            for kind in sorted(left.keys() & right.keys()):
                same = left[kind] <= right[kind] or right[kind] <= left[kind]
                if not same and not (users and kind == "user_id"):
                    return Reason("CONFLICT", kind)
        if self._size[one] + self._size[other] > self._members_max:
            return Reason("CAP")
        return None

    def numbers(self) -> dict[int, int]:
        """Root → the number of its person: its member of the strongest kind, lowest key.

        A past life gives its number only when no present life needs it, so that two persons never share one."""
        order = {id_: (rank(identifier.kind), identifier.key) for id_, identifier in self.identifiers.items()}
        members: dict[int, list[int]] = {}
        for element in range(len(self.owner)):
            members.setdefault(self.find(element), []).append(element)
        last = {self._first[id_] + len(instants) for id_, instants in self.cuts.items() if id_ in self._first}
        numbers: dict[int, int] = {}
        past: list[tuple[tuple[int, str], int]] = []
        for root, elements in members.items():
            present = [self.owner[e] for e in elements if e in last or self.owner[e] not in self.cuts]
            if present:
                numbers[root] = present[0] if len(present) == 1 else min(present, key=order.__getitem__)
            else:
                past.append((min(order[self.owner[e]] for e in elements), root))
        taken = set(numbers.values())
        for _, root in sorted(past):
            ids = sorted({self.owner[e] for e in members[root]}, key=order.__getitem__)
            numbers[root] = ids[0] if len(ids) == 1 else next((i for i in ids if i not in taken), ids[0])
            taken.add(numbers[root])
        return numbers


def cuts_of(links: Iterable[Link]) -> dict[int, list[int]]:
    """Identifier → the instants at which it was unbound, ascending, without repeats."""
    cuts: dict[int, set[int]] = {}
    for link in links:
        if link.rule == "unbind":
            cuts.setdefault(link.a, set()).add(link.times[0])
    return {id_: sorted(instants) for id_, instants in cuts.items()}
