"""The Merkle tree of RFC 6962 (RFC 9162, section 2.1) over SHA-256: roots, inclusion, consistency. Pure.

Leaves are only ever appended, so a complete subtree never changes: whoever keeps one hash of every 256 leaves, of every
65,536 and so on proves anything by reading a few rows (`subtrees`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

EMPTY_ROOT: Final = sha256(b"").digest()
HASH_BYTES: Final = 32
TILE_HEIGHT: Final = 8
"""A tile is the hash of a complete subtree whose height is a multiple of this."""


class Subtree(NamedTuple):
    """A complete one: leaves [place · 2^height, (place + 1) · 2^height)."""

    height: int
    place: int


class Range(NamedTuple):
    """Leaves [start, end) whose tree is one node of a larger one."""

    start: int
    end: int


class Tile(NamedTuple):
    """Hash of 256^level leaves, the `place`-th of its level."""

    level: int
    place: int
    hash: bytes


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of a leaf."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of two neighbours."""
    return sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """Root over neighbouring complete subtrees, from left to right, each smaller than the one before it."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for one in reversed(hashes[:-1]):
        root = node_hash(one, root)
    return root


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Root of leaf hashes whose number is a power of two, or of any tree."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def subtrees(span: Range) -> Iterator[Subtree]:
    """The complete subtrees that make up a range, left to right. Its start must be that of a node (0 always is)."""
    start = span.start
    while start < span.end:
        height = (span.end - start).bit_length() - 1
        if start:
            height = min(height, (start & -start).bit_length() - 1)
        yield Subtree(height, start >> height)
        start += 1 << height


class Frontier:
    """The right edge of a tree: all that is needed to append to it and to know its root."""

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """`hashes`: of `subtrees(Range(0, size))`. Raises ValueError when they are not as many."""
        if len(hashes) != size.bit_count():
            raise ValueError(f"a tree of {size} has {size.bit_count()} complete subtrees, not {len(hashes)}")
        self.size = size
        self._hashes = list(hashes)

    def append(self, leaf: bytes) -> list[Tile]:
        """Add a leaf hash; the tiles that it completes."""
        tiles: list[Tile] = []
        hashes, place, height = self._hashes, self.size, 0
        while place & 1:
            leaf = node_hash(hashes.pop(), leaf)
            place >>= 1
            height += 1
            if not height % TILE_HEIGHT:
                tiles.append(Tile(height // TILE_HEIGHT, place, leaf))
        hashes.append(leaf)
        self.size += 1
        return tiles

    def root(self) -> bytes:
        """Of all leaves so far."""
        return fold(self._hashes)


def _split(count: int) -> int:
    """The largest power of two below `count` (at least 2)."""
    return 1 << ((count - 1).bit_length() - 1)


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The nodes of the audit path of a leaf, lowest first. Raises ValueError."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} has no leaf {index}")
    path, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(Range(middle, end))
            end = middle
        else:
            path.append(Range(start, middle))
            start = middle
    return path[::-1]


def consistency_ranges(old: int, size: int) -> list[Range]:
    """The nodes that prove that the first `old` leaves of a tree are the tree of that size. Raises ValueError."""
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {size} does not continue one of {old}")
    if old in (0, size):
        return []
    path, start, end, whole = [], 0, size, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(Range(middle, end))
            end = middle
        else:
            path.append(Range(start, middle))
            start, whole = middle, False
    if not whole:
        path.append(Range(start, end))
    return path[::-1]


def hashes_of(ranges: Sequence[Range], hash_of: Callable[[Subtree], bytes]) -> list[bytes]:
    """The hash of each range, from those of complete subtrees."""
    return [fold([hash_of(one) for one in subtrees(span)]) for span in ranges]


def root_by_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root to which an audit path leads from a leaf hash. Raises ValueError when it cannot be one of that tree."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} has no leaf {index}")
    place, last, root = index, size - 1, leaf
    for one in path:
        if last == 0:
            raise ValueError("the path is too long")
        if place & 1 or place == last:
            root = node_hash(one, root)
            while place and not place & 1:
                place >>= 1
                last >>= 1
        else:
            root = node_hash(root, one)
        place >>= 1
        last >>= 1
    if last:
        raise ValueError("the path is too short")
    return root


def is_consistent(old: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the path proves that the tree of `size` begins with the one of `old` (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= size or (old in (0, size) and path):
        return False
    if old == 0:
        return old_root == EMPTY_ROOT
    if old == size:
        return old_root == root
    hashes = list(path) if old & (old - 1) else [old_root, *path]
    if not hashes:
        return False
    place, last = old - 1, size - 1
    while place & 1:
        place >>= 1
        last >>= 1
    first = second = hashes[0]
    for one in hashes[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = node_hash(one, first), node_hash(one, second)
            while place and not place & 1:
                place >>= 1
                last >>= 1
        else:
            second = node_hash(second, one)
        place >>= 1
        last >>= 1
    return last == 0 and first == old_root and second == root
