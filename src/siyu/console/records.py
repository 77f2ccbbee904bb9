"""SQL of the console's own tables."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from siyu.console.operator import Operator
from siyu.console.tables import login_failures, operator_sessions, operators

_OPERATOR = (operators.c.name, operators.c.role, operators.c.locale)


async def count_operators(conn: AsyncConnection) -> int:
    """How many may sign in."""
    return int((await conn.execute(select(func.count()).select_from(operators))).scalar_one())


async def add_operator(conn: AsyncConnection, operator: Operator, password_hash: str, now: datetime) -> bool:
    """Add one; False when the name is taken."""
    row = upsert(operators).values(
        name=operator.name,
        role=operator.role,
        locale=operator.locale,
        password_hash=password_hash,
        created_at=now,
    )
    result = await conn.execute(row.on_conflict_do_nothing(index_elements=["name"]))
    return result.rowcount == 1


async def find_operator(conn: AsyncConnection, name: str) -> tuple[Operator, str] | None:
    """An operator and the password's hash."""
    query = select(*_OPERATOR, operators.c.password_hash).where(operators.c.name == name)
    row = (await conn.execute(query)).first()
    return None if row is None else (Operator(row[0], row[1], row[2]), row[3])


async def list_operators(conn: AsyncConnection) -> list[Operator]:
    """All, by name."""
    rows = await conn.execute(select(*_OPERATOR).order_by(operators.c.name))
    return [Operator(*row) for row in rows]


async def remove_operator(conn: AsyncConnection, name: str) -> bool:
    """Remove one with all sessions, unless it is the last manager; False when nothing was removed."""
    await conn.execute(select(operators.c.name).where(operators.c.role == "manager").with_for_update())
    others = select(func.count()).where(operators.c.role == "manager", operators.c.name != name).scalar_subquery()
    query = delete(operators).where(operators.c.name == name, or_(operators.c.role != "manager", others > 0))
    return (await conn.execute(query)).rowcount == 1


async def set_password(conn: AsyncConnection, name: str, password_hash: str) -> None:
    """Replace the password and end every session of the operator."""
    await conn.execute(update(operators).where(operators.c.name == name).values(password_hash=password_hash))
    await conn.execute(delete(operator_sessions).where(operator_sessions.c.operator == name))


async def set_locale(conn: AsyncConnection, name: str, locale: str) -> None:
    """Remember the language of an operator."""
    await conn.execute(update(operators).where(operators.c.name == name).values(locale=locale))


async def add_session(conn: AsyncConnection, token_hash: bytes, name: str, expires_at: datetime, now: datetime) -> None:
    """Open a session; those that are over go."""
    await conn.execute(delete(operator_sessions).where(operator_sessions.c.expires_at <= now))
    await conn.execute(insert(operator_sessions).values(token_hash=token_hash, operator=name, expires_at=expires_at))


async def find_session(conn: AsyncConnection, token_hash: bytes, now: datetime) -> Operator | None:
    """Who is signed in."""
    query = (
        select(*_OPERATOR)
        .join(operator_sessions, operator_sessions.c.operator == operators.c.name)
        .where(operator_sessions.c.token_hash == token_hash, operator_sessions.c.expires_at > now)
    )
    row = (await conn.execute(query)).first()
    return None if row is None else Operator(*row)


async def remove_session(conn: AsyncConnection, token_hash: bytes) -> None:
    """Close a session."""
    await conn.execute(delete(operator_sessions).where(operator_sessions.c.token_hash == token_hash))


async def add_login_failure(conn: AsyncConnection, name: str, address: str, now: datetime, since: datetime) -> None:
    """Note a wrong password; notes from before `since` go."""
    await conn.execute(delete(login_failures).where(login_failures.c.at < since))
    await conn.execute(insert(login_failures).values(name=name, address=address, at=now))


async def count_login_failures(conn: AsyncConnection, name: str, address: str, since: datetime) -> tuple[int, int]:
    """Wrong passwords since then: for this name from this address, and from this address for any name."""
    same_name = func.count().filter(login_failures.c.name == name)
    query = select(same_name, func.count()).where(login_failures.c.address == address, login_failures.c.at >= since)
    row = (await conn.execute(query)).one()
    return row[0], row[1]


async def forget_login_failures(conn: AsyncConnection, name: str, address: str) -> None:
    """After the right password."""
    gone = delete(login_failures).where(login_failures.c.name == name, login_failures.c.address == address)
    await conn.execute(gone)
