"""Verbs of the console: the first operator, signing in and out, passwords."""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime, timedelta
from typing import ClassVar, Final

from siyu.console import records
from siyu.console.operator import ROLES, Operator, Role, generate_password, hash_password, password_matches
from siyu.console.session import LIFETIME, NUMBER_BYTES, Session
from siyu.errors import Busy, Conflict, MalformedRequest, Unauthorized
from siyu.store.postgres import Database

ADMIN_NAME: Final = "admin"
FAILURE_WINDOW: Final = timedelta(minutes=15)
FAILURES_OF_NAME_MAX: Final = 8
FAILURES_OF_ADDRESS_MAX: Final = 40
NAME_CHARACTERS_MAX: Final = 64


class WrongPassword(Unauthorized):
    """Name and password do not belong together; which of the two is wrong is not told."""

    code: ClassVar[str] = "WRONG_PASSWORD"


class TooManyLogins(Busy):
    """Too many wrong passwords; `details["retry_after_s"]` seconds to wait."""

    code: ClassVar[str] = "TOO_MANY_LOGINS"


class NameTaken(Conflict):
    """There is an operator of this name."""

    code: ClassVar[str] = "NAME_TAKEN"


class LastManager(Conflict):
    """The last manager cannot be removed: nobody could let anybody in again."""

    code: ClassVar[str] = "LAST_MANAGER"


async def ensure_admin(db: Database, password: str | None, now: datetime) -> tuple[str, str | None]:
    """Make sure that somebody can sign in: the first manager with `password`, or a generated one.

    Answers the name and, when it was generated just now, the password: it is shown once and kept nowhere.
    A password given when operators exist changes nothing. Raises WeakPassword."""
    async with db.connect() as conn:
        if await records.count_operators(conn) > 0:
            return ADMIN_NAME, None
    chosen = password or generate_password()
    password_hash = await asyncio.to_thread(hash_password, chosen)
    async with db.begin() as conn:
        added = await records.add_operator(conn, Operator(ADMIN_NAME, "manager"), password_hash, now)
    return ADMIN_NAME, chosen if added and password is None else None


async def sign_in(db: Database, name: str, password: str, address: str, now: datetime) -> tuple[Operator, Session]:
    """Open a session of 12 hours. Raises WrongPassword, TooManyLogins."""
    since = now - FAILURE_WINDOW
    name = name[:NAME_CHARACTERS_MAX].replace("\x00", "")
    async with db.connect() as conn:
        of_name, of_address = await records.count_login_failures(conn, name, address, since)
        found = await records.find_operator(conn, name)
    if of_name >= FAILURES_OF_NAME_MAX or of_address >= FAILURES_OF_ADDRESS_MAX:
        raise TooManyLogins(
            "Too many wrong passwords: wait 15 minutes.", retry_after_s=int(FAILURE_WINDOW.total_seconds())
        )
    if not await asyncio.to_thread(password_matches, password, found[1] if found else None):
        async with db.begin() as conn:
            await records.add_login_failure(conn, name, address, now, since)
        raise WrongPassword("Name or password is wrong.")
    assert found is not None
    session = Session(secrets.token_bytes(NUMBER_BYTES), now + LIFETIME)
    async with db.begin() as conn:
        await records.forget_login_failures(conn, name, address)
        await records.add_session(conn, session.token_hash, name, session.expires_at, now)
    return found[0], session


async def sign_out(db: Database, session: Session) -> None:
    """Close the session: its cookie opens nothing any more."""
    async with db.begin() as conn:
        await records.remove_session(conn, session.token_hash)


async def change_password(db: Database, operator: Operator, old: str, new: str) -> None:
    """Set a new password and end all sessions of the operator. Raises WrongPassword, WeakPassword."""
    async with db.connect() as conn:
        found = await records.find_operator(conn, operator.name)
    if not await asyncio.to_thread(password_matches, old, found[1] if found else None):
        raise WrongPassword("The old password is wrong.")
    password_hash = await asyncio.to_thread(hash_password, new)
    async with db.begin() as conn:
        await records.set_password(conn, operator.name, password_hash)


async def add_operator(db: Database, name: str, role: str, password: str, now: datetime) -> Operator:
    """Let somebody in. Raises NameTaken, WeakPassword, MalformedRequest."""
    name = name.strip()
    if not name or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise MalformedRequest(f"A name has 1 to {NAME_CHARACTERS_MAX} printable characters.", path="name")
    known: Role | None = next((each for each in ROLES if each == role), None)
    if known is None:
        raise MalformedRequest(f"A role is one of {', '.join(ROLES)}.", path="role")
    operator = Operator(name, known)
    password_hash = await asyncio.to_thread(hash_password, password)
    async with db.begin() as conn:
        if not await records.add_operator(conn, operator, password_hash, now):
            raise NameTaken(f"There is an operator named {name}.")
    return operator


async def remove_operator(db: Database, name: str) -> None:
    """Take somebody's access away. Raises LastManager when nobody could manage then."""
    async with db.begin() as conn:
        if not await records.remove_operator(conn, name) and await records.find_operator(conn, name):
            raise LastManager("This is the last manager: make another one first.")
