"""SQL statements on templates, price rules and pools. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from io import BytesIO
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from siyu.coupons.code import Codes, Sealed
from siyu.coupons.template import PriceRule, Template

_NEWEST: Final = "SELECT DISTINCT ON (id) id, version, {0} FROM {1} {2} ORDER BY id, version DESC"
_ADD: Final = """
INSERT INTO {1} (id, version, {0}, at)
SELECT $1, coalesce((SELECT max(version) FROM {1} WHERE id = $1), 0) + 1, $2, $3 RETURNING version"""
_TOTAL: Final = """
INSERT INTO coupon_totals AS t (template, total) VALUES ($1, $2)
ON CONFLICT (template) DO UPDATE SET total = excluded.total
WHERE excluded.total IS NULL OR excluded.total >= t.issued"""
_PUT: Final = """
INSERT INTO coupons (code, sealed, template, version, pool, state)
SELECT code, sealed, $3, 0, $4, 'pooled' FROM unnest($1::uuid[], $2::bytea[]) AS n(code, sealed)
ON CONFLICT (code) DO NOTHING"""


_BLOCK_BYTES: Final = 16
COPY_SECONDS_MAX: Final = 300.0


class Stored(NamedTuple):
    """A template with how many of it were given."""

    version: int
    template: Template
    issued: int


@lru_cache(maxsize=4_096)
def _template(text: str) -> Template:
    return msgspec.json.decode(text, type=Template)


@lru_cache(maxsize=4_096)
def _rule(text: str) -> PriceRule:
    return msgspec.json.decode(text, type=PriceRule)


async def lock_definitions(connection: Any) -> None:
    """Be the only one that changes templates and rules, until the transaction ends."""
    await connection.execute("LOCK TABLE coupon_templates, price_rules IN SHARE ROW EXCLUSIVE MODE")


async def newest(connection: Any, ids: Collection[str] | None = None) -> dict[str, Stored]:
    """The version that counts of these templates, or of all."""
    where = "" if ids is None else "WHERE id = ANY($1::text[])"
    sql = f"""SELECT n.id, n.version, n.template, coalesce(t.issued, 0)
FROM ({_NEWEST.format("template", "coupon_templates", where)}) n LEFT JOIN coupon_totals t ON t.template = n.id
ORDER BY n.id"""
    rows = await connection.fetch(sql, *([] if ids is None else [sorted(ids)]))
    return {row[0]: Stored(row[1], _template(row[2]), row[3]) for row in rows}


async def versions(connection: Any, wanted: Collection[tuple[str, int]]) -> dict[tuple[str, int], Template]:
    """Templates as they were in these versions."""
    rows = await connection.fetch(
        "SELECT t.id, t.version, t.template FROM unnest($1::text[], $2::int[]) AS n(id, version)"
        " JOIN coupon_templates t ON t.id = n.id AND t.version = n.version",
        [one for one, _ in wanted], [version for _, version in wanted],
    )  # fmt: skip
    return {(row[0], row[1]): _template(row[2]) for row in rows}


_known: dict[tuple[str, int], Template] = {}
"""Versions never change: what was read once need not be read again."""
_KNOWN_MAX: Final = 20_000


async def terms(connection: Any, wanted: Collection[tuple[str, int]]) -> dict[tuple[str, int], Template]:
    """`versions`, remembered. Not for a transaction that may have stored one itself."""
    missing = [one for one in wanted if one not in _known]
    if missing:
        if len(_known) > _KNOWN_MAX:
            _known.clear()
        _known.update(await versions(connection, missing))
    return {one: _known[one] for one in wanted}


async def add_template(connection: Any, one: Template, at: datetime) -> int | None:
    """Store the next version; None when more were given than its total allows."""
    status = await connection.execute(_TOTAL, one.id, one.total)
    if not str(status).endswith(" 1"):
        return None
    text = msgspec.json.encode(one).decode()
    version: int = await connection.fetchval(_ADD.format("template", "coupon_templates"), one.id, text, at)
    return version


async def history(connection: Any, template: str, limit: int) -> list[tuple[int, Template, datetime]]:
    """(version, template, when it was stored), the newest first."""
    rows = await connection.fetch(
        "SELECT version, template, at FROM coupon_templates WHERE id = $1 ORDER BY version DESC LIMIT $2",
        template, limit,
    )  # fmt: skip
    return [(row[0], _template(row[1]), row[2]) for row in rows]


async def states(connection: Any, template: str) -> dict[str, int]:
    """State → how many coupons of a template that are somebody's are in it."""
    rows = await connection.fetch(
        "SELECT state, count(*) FROM coupons WHERE template = $1 AND holder IS NOT NULL GROUP BY state", template
    )
    return {row[0]: row[1] for row in rows}


async def rule_history(connection: Any, rule: str, limit: int) -> list[tuple[int, PriceRule, datetime]]:
    """(version, price rule, when it was stored), the newest first."""
    rows = await connection.fetch(
        "SELECT version, rule, at FROM price_rules WHERE id = $1 ORDER BY version DESC LIMIT $2", rule, limit
    )
    return [(row[0], _rule(row[1]), row[2]) for row in rows]


async def price_rules(connection: Any) -> dict[str, tuple[int, PriceRule]]:
    """The version that counts of every price rule."""
    rows = await connection.fetch(_NEWEST.format("rule", "price_rules", ""))
    return {row[0]: (row[1], _rule(row[2])) for row in rows}


async def add_price_rule(connection: Any, one: PriceRule, at: datetime) -> int:
    """Store the next version."""
    text = msgspec.json.encode(one).decode()
    version: int = await connection.fetchval(_ADD.format("rule", "price_rules"), one.id, text, at)
    return version


class Pool(NamedTuple):
    """Codes that were made or brought together."""

    id: str
    template: str
    codes: int
    imported: int
    at: datetime
    left: int
    """Nobody's yet."""


async def add_pool(connection: Any, pool: str, template: str, at: datetime) -> bool:
    """A pool without codes; False when it is there."""
    status = await connection.execute(
        "INSERT INTO coupon_pools (id, template, codes, imported, at) VALUES ($1, $2, 0, 0, $3) ON CONFLICT DO NOTHING",
        pool, template, at,
    )  # fmt: skip
    return str(status).endswith(" 1")


async def put_codes(connection: Any, pool: str, template: str, codes: Sequence[Sealed]) -> int:
    """Put codes into a pool; those known already, in whichever pool, are left out. How many are new."""
    status = await connection.execute(_PUT, [one.number for one in codes], [one.body for one in codes], template, pool)
    return int(str(status).rpartition(" ")[2])


async def copy_codes(connection: Any, pool: str, template: str, codes: Codes) -> None:
    """Put codes that were just made into a pool, as fast as it goes: rows that differ in one column, as the bytes of
    COPY."""
    before = (6).to_bytes(2) + _BLOCK_BYTES.to_bytes(4)
    after = b"".join(
        len(field).to_bytes(4) + field for field in (b"", template.encode(), (0).to_bytes(4), pool.encode(), b"pooled")
    )
    rows = np.frombuffer(before + bytes(_BLOCK_BYTES) + after, np.uint8)
    body = np.tile(rows, (len(codes), 1))
    body[:, len(before) : len(before) + _BLOCK_BYTES] = codes
    # The head of the binary format: signature, no flags, no extension; and its end.
    whole = b"PGCOPY\n\xff\r\n\0" + bytes(8) + body.tobytes() + b"\xff\xff"
    await connection.copy_to_table(
        "coupons",
        source=BytesIO(whole),
        columns=("code", "sealed", "template", "version", "pool", "state"),
        format="binary",
        timeout=COPY_SECONDS_MAX,
    )


async def count_codes(connection: Any, pool: str, codes: int, imported: int) -> None:
    """So many more are in the pool."""
    await connection.execute(
        "UPDATE coupon_pools SET codes = codes + $2, imported = imported + $3 WHERE id = $1", pool, codes, imported
    )


async def pools(connection: Any, template: str) -> list[Pool]:
    """The pools of a template."""
    rows = await connection.fetch(
        """SELECT p.id, p.template, p.codes, p.imported, p.at,
           (SELECT count(*) FROM coupons c WHERE c.template = p.template AND c.pool = p.id AND c.state = 'pooled')
           FROM coupon_pools p WHERE p.template = $1 ORDER BY p.id""",
        template,
    )
    return [Pool(*row) for row in rows]


async def pool_names(connection: Any, template: str) -> list[str]:
    """The names of a template's pools."""
    rows = await connection.fetch("SELECT id FROM coupon_pools WHERE template = $1", template)
    return [row[0] for row in rows]


async def has_pool(connection: Any, template: str) -> bool:
    """Whether coupons of a template come out of pools."""
    found: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM coupon_pools WHERE template = $1)", template)
    return found


async def find_pool(connection: Any, pool: str) -> str | None:
    """The template of a pool."""
    found: str | None = await connection.fetchval("SELECT template FROM coupon_pools WHERE id = $1", pool)
    return found


async def pool_page(connection: Any, pool: str, after: int, limit: int) -> list[tuple[int, Any, bytes, str]]:
    """(id, code number, sealed, state) of a pool's codes, after an id."""
    rows = await connection.fetch(
        "SELECT id, code, sealed, state FROM coupons WHERE pool = $1 AND template = $4 AND id > $2"
        " ORDER BY id LIMIT $3",
        pool, after, limit, await find_pool(connection, pool),
    )  # fmt: skip
    return [tuple(row) for row in rows]
