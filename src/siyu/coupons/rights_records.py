"""SQL statements for the archive and the erasure of a person. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

_LOCKS_OF: Final = "SELECT id FROM coupon_locks WHERE anchor = ANY($1::bigint[]) AND holder = ANY($2::text[])"
_ERASE: Final = {
    "coupon_lock_parts": f"DELETE FROM coupon_lock_parts WHERE lock IN ({_LOCKS_OF})",
    "coupon_locks": "DELETE FROM coupon_locks WHERE anchor = ANY($1::bigint[]) AND holder = ANY($2::text[])",
    "coupons": "DELETE FROM coupons WHERE anchor = ANY($1::bigint[]) AND holder = ANY($2::text[])",
}
_ENTITLED: Final = "DELETE FROM price_rule_entitlements WHERE holder = ANY($1::text[])"
_HOLDERS: Final = "DELETE FROM coupon_holders WHERE anchor = ANY($1::bigint[])"


async def archived(connection: Any, anchors: Sequence[int], holders: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Everything in these wallets, oldest first; no codes."""
    coupons = await connection.fetch(
        "SELECT id AS coupon_id, template, version, pool, state, given_at, valid_from, valid_until, redeemed_at"
        " FROM coupons WHERE anchor = ANY($1::bigint[]) AND holder = ANY($2::text[]) ORDER BY id",
        anchors, holders,
    )  # fmt: skip
    locks = await connection.fetch(
        'SELECT id AS lock_id, order_id, "end", state, points, points_back, at, ends_at, decided_at FROM coupon_locks'
        " WHERE anchor = ANY($1::bigint[]) AND holder = ANY($2::text[]) ORDER BY at",
        anchors, holders,
    )  # fmt: skip
    parts = await connection.fetch(
        "SELECT lock AS lock_id, source, coupon AS coupon_id, off_fen, back FROM coupon_lock_parts"
        f" WHERE lock IN ({_LOCKS_OF}) ORDER BY lock, place",
        anchors, holders,
    )  # fmt: skip
    rules = await connection.fetch(
        "SELECT DISTINCT rule, lock AS lock_id FROM price_rule_entitlements WHERE holder = ANY($1::text[])"
        " ORDER BY rule",
        holders,
    )
    return {
        "coupons": [dict(row) for row in coupons],
        "locks": [dict(row) for row in locks],
        "discounts": [dict(row) for row in parts],
        "used_once": [dict(row) for row in rules],
    }


async def erase(connection: Any, anchors: Sequence[int], holders: Sequence[str], own: Sequence[int]) -> dict[str, int]:
    """Remove what is in these wallets, and what waits of the identifiers that are `own`: rows by table."""
    removed = {"price_rule_entitlements": _rows(await connection.execute(_ENTITLED, holders))}
    for table, sql in _ERASE.items():
        removed[table] = _rows(await connection.execute(sql, anchors, holders))
    removed["coupon_holders"] = _rows(await connection.execute(_HOLDERS, own))
    return removed


def _rows(status: str) -> int:
    return int(status.rpartition(" ")[2])
