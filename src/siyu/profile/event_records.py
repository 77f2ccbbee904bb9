"""What the profile reads and removes in ClickHouse: the events of a person's members, each in its time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from siyu.identity.spans import BEGINNING_MS, END_MS, Span
from siyu.profile.timeline import PLACES, Page
from siyu.store.clickhouse import EventStore

_PLACE: Final = f"toUInt16(1 + xxHash64(source, event_id) % {PLACES})"
_MS: Final = "toUnixTimestamp64Milli({0})"
_FROM_MS: Final = "fromUnixTimestamp64Milli({0}, 'UTC')"


def members_sql(spans: Sequence[Span]) -> tuple[str, dict[str, Any]]:
    """A condition on anchor and time, and its parameters."""
    whole = sorted({s.anchor for s in spans if s.since_ms <= BEGINNING_MS and s.until_ms >= END_MS})
    parts = ["anchor IN {whole:Array(UInt32)}"] if whole else []
    params: dict[str, Any] = {"whole": whole} if whole else {}
    for n, span in enumerate(s for s in spans if s.anchor not in set(whole)):
        parts.append(
            f"(anchor = {{anchor_{n}:UInt32}} AND occurred_at >= {_FROM_MS.format(f'{{since_{n}:Int64}}')}"
            f" AND occurred_at < {_FROM_MS.format(f'{{until_{n}:Int64}}')})"
        )
        params |= {
            f"anchor_{n}": span.anchor,
            f"since_{n}": _clamped(span.since_ms),
            f"until_{n}": _clamped(span.until_ms),
        }
    return "(" + " OR ".join(parts or ["0"]) + ")", params


def _clamped(ms: int) -> int:
    """Within what DateTime64 knows (1900 to 2299)."""
    return min(max(ms, -2_208_988_800_000), 10_413_791_999_999)


async def page(events: EventStore, spans: Sequence[Span], wanted: Page) -> list[tuple[Any, ...]]:
    """Up to `wanted.limit` events before `wanted.before`, newest first, and those at the very place of the last:
    (anchor, at_ms, place, event_id, name, end, received_ms, properties, context)."""
    where, params = members_sql(spans)
    if (before := wanted.before) is not None:
        at = _FROM_MS.format("{before:Int64}")
        where += f" AND occurred_at <= {at} AND (occurred_at < {at} OR {_PLACE} < {{place:UInt16}})"
        params |= {"before": _clamped(before.at_ms), "place": before.place}
    return await events.rows(
        f"""SELECT anchor, {_MS.format("occurred_at")}, {_PLACE} AS place, event_id, name, end,
                   {_MS.format("received_at")}, properties, context
            FROM events WHERE {where}
            ORDER BY occurred_at DESC, place DESC LIMIT {{rows:UInt32}} WITH TIES""",
        params | {"rows": wanted.limit},
    )


async def count(events: EventStore, spans: Sequence[Span]) -> int:
    """How many events there are."""
    where, params = members_sql(spans)
    return int((await events.rows(f"SELECT count() FROM events WHERE {where}", params))[0][0])


async def delete(events: EventStore, spans: Sequence[Span]) -> int:
    """Remove the events, on every replica before it returns, and answer how many there were."""
    found = await count(events, spans)
    if found:
        where, params = members_sql(spans)
        await events.command(f"ALTER TABLE events DELETE WHERE {where}", params, settings={"mutations_sync": 2})
    return found
