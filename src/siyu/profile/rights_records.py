"""SQL of person rights: what is removed, and the record of exports and erasures. `connection` is a raw asyncpg one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from siyu.identity.spans import Span
from siyu.profile.read import SPANS, columns_of

ERASURE_LOCK: Final = 0x51_1A
"""Advisory lock held shared by a batch of the processor and exclusively by an erasure: neither happens in the middle
of the other."""

LOGS: Final = {
    "traits": ("trait_changes", "superseded_traits"),
    "tags": ("tag_ops",),
    "consents": ("consent_ops",),
    "touches": ("touches",),
    "purchases": ("purchases",),
}
"""Name in a receipt → tables."""


async def lock_out_processing(connection: Any) -> None:
    """Wait for running batches and keep new ones waiting until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", ERASURE_LOCK)


async def delete_logs(connection: Any, spans: Sequence[Span]) -> dict[str, int]:
    """Remove what the logs hold of the members, each in its time; rows by name of `LOGS`."""
    removed = {}
    for name, tables in LOGS.items():
        removed[name] = 0
        for table in tables:
            done = await connection.execute(
                f"""{SPANS} DELETE FROM {table} r USING m
                    WHERE r.anchor = m.anchor AND r.at >= m.since AND r.at < m.until""",
                *columns_of(spans),
            )
            removed[name] += int(done.split()[-1])
    return removed


class Record(NamedTuple):
    """Who did what to whose data, and when."""

    record_id: UUID
    person_ids: Sequence[UUID]
    """Every id the person had or has; the present one first."""
    at: datetime
    by: str


async def add_export(connection: Any, record: Record, path: str | None) -> None:
    """Record that a person was exported, to a file or (None) to the caller."""
    await connection.execute(
        "INSERT INTO exports (id, person_id, at, by, path) VALUES ($1, $2, $3, $4, $5)",
        record.record_id,
        record.person_ids[0],
        record.at,
        record.by,
        path,
    )


async def delete_exports(connection: Any, person_ids: Sequence[UUID]) -> list[str | None]:
    """Forget the exports of a person (whichever id it had then); their paths."""
    rows = await connection.fetch("DELETE FROM exports WHERE person_id = ANY($1::uuid[]) RETURNING path", person_ids)
    return [row[0] for row in rows]


async def add_erasure(connection: Any, record: Record, reason: str, rows: str) -> None:
    """Keep the receipt of an erasure, found by any id the person had."""
    await connection.execute(
        "INSERT INTO erasures (id, at, by, reason, rows) VALUES ($1, $2, $3, $4, $5)",
        record.record_id,
        record.at,
        record.by,
        reason,
        rows,
    )
    await connection.execute(
        "INSERT INTO erased_ids (person_id, erasure) SELECT unnest($1::uuid[]), $2", record.person_ids, record.record_id
    )


async def was_erased(connection: Any, person_id: UUID) -> bool:
    """Whether a person with this id was erased before."""
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM erased_ids WHERE person_id = $1)", person_id))


async def uids_of(connection: Any, spans: Sequence[Span]) -> list[UUID]:
    """The public ids of the members, the canonical one first."""
    rows = await connection.fetch(
        "SELECT uid FROM identifiers WHERE id = ANY($1::bigint[]) ORDER BY id <> $2, id",
        sorted({span.anchor for span in spans}),
        spans[0].person if spans else 0,
    )
    return [row[0] for row in rows]
