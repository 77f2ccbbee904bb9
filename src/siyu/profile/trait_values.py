"""One trait of all persons at once, for questions that compare persons by it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import msgspec

from siyu.profile import records
from siyu.profile.catalogue import declared_of
from siyu.profile.trait import Op, TraitEvent, TraitOp, fold
from siyu.profile.trait import TraitEffects as _Effects

# The log says in its text which names an event concerns; only these rows, and deletions, can matter.
_ROWS: Final = """
SELECT coalesce((SELECT m.person FROM memberships m WHERE m.anchor = r.anchor AND m.since <= r.at
                 ORDER BY m.since DESC LIMIT 1), r.anchor),
       (extract(epoch FROM r.at) * 1000)::bigint, r.event_id, r.source, r.anchor, r.ops
FROM trait_changes r WHERE position($1 IN r.ops) > 0 OR position('"delete":true' IN r.ops) > 0
"""
_decode: Final = msgspec.json.Decoder(_Effects).decode


async def values_of_all(connection: Any, name: str) -> dict[int, Any]:
    """Person number → the value of the trait, of those that have one. `connection`: a raw asyncpg connection."""
    rows = await connection.fetch(_ROWS, msgspec.json.encode(name).decode())
    declared = declared_of(await records.read_declared(connection))
    operations: dict[int, list[TraitOp]] = defaultdict(list)
    for person, at_ms, event_id, source, anchor, ops in rows:
        event = TraitEvent(at_ms, event_id, source, anchor, _decode(ops))
        operations[person] += [op for op in event.operations() if op.name == name or op.op is Op.DELETE]
    found = {person: fold(ops, declared).get(name) for person, ops in operations.items()}
    return {person: trait.value for person, trait in found.items() if trait is not None}
