"""Tags (标签): a tree such as 广州 ⊃ 广州天河店, and who carries which tag, as a fold over additions and removals.

A tag is named by its path, the names from the root down joined by `/`: `广州/广州天河店`. A bare name is a root. A path
that a tag once had (before an operator moved or renamed it) keeps leading to it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from enum import IntEnum
from typing import Final, NamedTuple

from siyu.errors import Conflict, MalformedRequest, NotFound

PATH_JOIN: Final = "/"
TAG_CHARS_MAX: Final = 50
"""Of one name."""
DEPTH_MAX: Final = 8


class WrongTag(MalformedRequest):
    """A text that cannot be the path of a tag."""

    code = "WRONG_TAG"
    status = 422


class TagNotFound(NotFound):
    """No tag has this id or path."""

    code = "TAG_NOT_FOUND"


class TagTaken(Conflict):
    """Another tag stands at this path already."""

    code = "TAG_TAKEN"


class TagChange(IntEnum):
    """What happens to a tag of a person, in the order inside one event: a removal wins over an addition."""

    ADD = 0
    REMOVE = 1


class Tag(NamedTuple):
    """A node of the tree."""

    tag_id: int
    parent_id: int | None
    name: str
    path: str


class TagOp(NamedTuple):
    """A tag given to, or taken from, an identifier."""

    at_ms: int
    event_id: str
    change: TagChange
    path: str
    origin: str
    """manual, rule, import or event."""
    by: str
    """Who or what: an operator's name, a rule's id, the write key of an event."""


def tag_path(text: str) -> str:
    """The clean path `text` names: trimmed names, NFC. Raises WrongTag."""
    names = [unicodedata.normalize("NFC", name).strip() for name in text.split(PATH_JOIN)]
    if len(names) > DEPTH_MAX:
        raise WrongTag(f"The tag {text[:80]!r} is deeper than {DEPTH_MAX} levels.")
    for name in names:
        if not name or len(name) > TAG_CHARS_MAX or not name.isprintable():
            raise WrongTag(f"{name[:80]!r} cannot be the name of a tag: 1 to {TAG_CHARS_MAX} printable characters.")
    return PATH_JOIN.join(names)


def lineage(path: str) -> list[str]:
    """The path of every node from the root down to `path` itself."""
    names = path.split(PATH_JOIN)
    return [PATH_JOIN.join(names[: depth + 1]) for depth in range(len(names))]


def fold_tags(ops: Iterable[TagOp]) -> dict[str, TagOp]:
    """The tags a person carries, by path: for each, the newest operation by (event time, event id), removals winning a
    tie. Pure: order and duplicates of `ops` do not matter."""
    newest: dict[str, TagOp] = {}
    for op in ops:
        if (other := newest.get(op.path)) is None or op > other:
            newest[op.path] = op
    return {path: newest[path] for path in sorted(newest) if newest[path].change is TagChange.ADD}
