"""Who enters and who leaves: what is kept against what is true. Pure, on arrays.

Persons with the same set of segments are taken together, so the work follows the number of different sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from siyu.rules.masks import Mask

Persons: TypeAlias = npt.NDArray[np.int64]
Keys: TypeAlias = frozenset[str]


class Change(NamedTuple):
    """Persons whose set of segments becomes another."""

    before: Keys
    after: Keys
    persons: Persons
    gone: bool
    """They are nobody any more: merged into somebody, or erased."""


def changes(
    kept: Iterable[tuple[Keys, Sequence[int]]], persons: Persons, found: Mapping[str, Mask], gone: Iterable[int] = ()
) -> list[Change]:
    """What to write. `kept`: persons by their set of segments. `found`: of which of `persons` (ascending) each segment
    holds that was looked at. Whoever is in `kept` or `gone` and not in `persons` is nobody any more."""
    sets: list[Keys] = [frozenset()]
    rows: list[Persons] = []
    codes: list[npt.NDArray[np.int64]] = []
    for keys, members in kept:
        rows.append(np.array(members, np.int64))
        codes.append(np.full(len(members), len(sets), np.int64))
        sets.append(keys)
    everybody = np.unique(np.concatenate([persons, np.fromiter(gone, np.int64), *rows]))
    before = np.zeros(len(everybody), np.int64)
    if rows:
        before[np.searchsorted(everybody, np.concatenate(rows))] = np.concatenate(codes)
    names = sorted(found)
    after = np.zeros(len(everybody), np.int64)
    different, code = _different([found[name] for name in names], len(persons))
    after[np.searchsorted(everybody, persons)] = code + 1
    answers = [frozenset(compress(names, bits)) for bits in different]
    looked_at = frozenset(names)
    result = []
    pairs, place = np.unique(before * (len(answers) + 1) + after, return_inverse=True)
    order = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[order], np.arange(len(pairs) + 1))
    for n, pair in enumerate(pairs.tolist()):
        was, now = sets[pair // (len(answers) + 1)], pair % (len(answers) + 1)
        will = (was - looked_at) | answers[now - 1] if now else frozenset()
        if will != was:
            result.append(Change(was, will, everybody[order[bounds[n] : bounds[n + 1]]], not now))
    return result


def _different(masks: Sequence[Mask], size: int) -> tuple[list[list[bool]], npt.NDArray[np.int64]]:
    """The different combinations of answers, and which one each person has."""
    if not masks:
        return [[]], np.zeros(size, np.int64)
    words = -(-len(masks) // 64)
    bits = np.zeros((size, words * 64), np.bool_)
    for n, mask in enumerate(masks):
        bits[:, n] = mask
    packed = np.packbits(bits, axis=1).view(np.uint64)
    # Whole numbers are sorted far faster than strings of bytes.
    rows = packed[:, 0] if words == 1 else packed.view(np.dtype((np.void, words * 8))).ravel()
    _, first, code = np.unique(rows, return_index=True, return_inverse=True)
    return bits[first, : len(masks)].tolist(), code.astype(np.int64)
