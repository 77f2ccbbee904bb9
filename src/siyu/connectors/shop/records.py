"""SQL of connectors. `connection` is a raw asyncpg connection."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from siyu.connectors.shop.dialect import Mapping

_COLUMNS: Final = 'name, dialect, mapping, "end", client_id, secret, active, changed_at'


class Connector(NamedTuple):
    """A receiver of deliveries."""

    name: str
    dialect: str
    mapping: Mapping
    end: str
    client_id: str
    secret: bytes
    """Sealed."""
    active: bool
    changed_at: datetime


def _connector(row: Any) -> Connector:
    return Connector(row[0], row[1], msgspec.json.decode(row[2], type=Mapping), *tuple(row)[3:])


async def put(connection: Any, one: Connector) -> None:
    """Store one, in place of what had its name."""
    await connection.execute(
        f"INSERT INTO shop_connectors ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO UPDATE"
        ' SET dialect = $2, mapping = $3, "end" = $4, client_id = $5, secret = $6, active = $7, changed_at = $8',
        *one._replace(mapping=msgspec.json.encode(one.mapping).decode()),  # type: ignore[arg-type]  # as it is stored
    )


async def find(connection: Any, name: str) -> Connector | None:
    """One connector."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM shop_connectors WHERE name = $1", name)
    return None if row is None else _connector(row)


async def connectors(connection: Any) -> list[Connector]:
    """All of them, by name."""
    return [
        _connector(row)
        for row in await connection.fetch(f"SELECT {_COLUMNS} FROM shop_connectors ORDER BY name LIMIT 1000")
    ]


class Noted(NamedTuple):
    """What became of a delivery."""

    code: str
    at: datetime
    detail: str


async def note(connection: Any, connector: str, noted: Noted) -> None:
    """Write down what became of a delivery: the last one of its kind, at most once a second."""
    await connection.execute(
        "INSERT INTO shop_connector_outcomes AS o (connector, code, at, detail) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (connector, code) DO UPDATE SET at = excluded.at, detail = excluded.detail"
        " WHERE o.at <= excluded.at - interval '1 second'",
        connector, *noted,
    )  # fmt: skip


async def noted(connection: Any) -> dict[str, list[Noted]]:
    """Connector → what became of its deliveries, the latest first."""
    found: dict[str, list[Noted]] = {}
    rows = await connection.fetch("SELECT connector, code, at, detail FROM shop_connector_outcomes ORDER BY at DESC")
    for row in rows:
        found.setdefault(row[0], []).append(Noted(row[1], row[2], row[3]))
    return found
