"""Routes of mini-programs: keeping them (with a token), and `/mp_login` of the Sensors SDK (with a write key)."""

from __future__ import annotations

from datetime import datetime
from types import NoneType
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post, put
from litestar.params import Parameter

from siyu.clock import Now
from siyu.collect.actions import KeyRing
from siyu.collect.body import query_fields
from siyu.collect.credentials import query_keys
from siyu.collect.parsed import Limits, WrongKey
from siyu.connectors.miniprogram import actions, records
from siyu.connectors.miniprogram.actions import APPID_PATTERN, Setting, Wanted
from siyu.connectors.miniprogram.records import MiniProgram
from siyu.connectors.miniprogram.wechat import WeChat
from siyu.connectors.sealed import fingerprint
from siyu.idempotency import Key
from siyu.settings import Settings
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once
from siyu.stream.stream import Stream

Named = Annotated[str, Parameter(pattern=APPID_PATTERN)]


class MiniProgramView(msgspec.Struct, frozen=True):
    """A mini-program, without its secret."""

    appid: str
    label: str
    active: bool
    changed_at: datetime
    used_at: datetime | None
    """When somebody logged in last, to the minute."""
    problem: str
    """What WeChat said against appid or secret last; empty: nothing."""


class MiniPrograms(msgspec.Struct, frozen=True):
    """All of them."""

    items: list[MiniProgramView]


class Checked(msgspec.Struct, frozen=True):
    """WeChat takes appid and secret."""

    ok: bool


class Login(msgspec.Struct, frozen=True):
    """What the SDK waits for. The session key stays with us."""

    openid: str


def _view(one: MiniProgram) -> MiniProgramView:
    return MiniProgramView(one.appid, one.label, one.active, one.changed_at, one.used_at, one.problem)


@get("/api/mini-programs", summary="Mini-programs", tags=["connectors"])
async def list_mini_programs(db: Database) -> MiniPrograms:
    """By appid; without secrets."""
    async with db.driver() as connection:
        return MiniPrograms([_view(one) for one in await records.mini_programs(connection)])


@put("/api/mini-programs/{appid:str}", summary="Add or change a mini-program", tags=["connectors"])
async def put_mini_program(
    *, appid: Named, data: Wanted, db: Database, now: Now, secret: bytes, idempotency_key: Key = None
) -> MiniProgramView:
    """Without `secret` the one that is kept stays. 400 when it is new and has none."""

    async def do(connection: Any) -> MiniProgramView:
        return _view(await actions.put(connection, appid, data, secret, now()))

    told = msgspec.structs.replace(data, secret=None if data.secret is None else fingerprint(data.secret, secret))
    return await once(db, Asked(idempotency_key, f"mini-programs/{appid}", told), MiniProgramView, do, now)


@delete("/api/mini-programs/{appid:str}", summary="Forget a mini-program", tags=["connectors"])
async def delete_mini_program(appid: Named, db: Database, now: Now, idempotency_key: Key = None) -> None:
    """404 NOT_FOUND."""

    async def do(connection: Any) -> None:
        await actions.remove(connection, appid)

    await once(db, Asked(idempotency_key, "mini-programs/forget", appid), NoneType, do, now)


@post(
    "/api/mini-programs/{appid:str}/check", summary="Ask WeChat about appid and secret", status_code=200,
    tags=["connectors"],
)  # fmt: skip
async def check_mini_program(
    *, appid: Named, db: Database, wechat: WeChat, settings: Settings, now: Now, secret: bytes
) -> Checked:
    """404 CONNECTOR_MISSING, 502 WECHAT_REFUSED, 503 WECHAT_UNAVAILABLE."""
    await actions.check(db, wechat, Setting(secret, Limits.of(settings), now), appid)
    return Checked(ok=True)


@get("/mp_login", summary="Whom a login code of a mini-program belongs to", tags=["connectors"], security=[{}])
async def mp_login(
    *, request: Request[Any, Any, Any], db: Database, stream: Stream, wechat: WeChat, settings: Settings, now: Now,
    secret: bytes,
    appid: Annotated[str, Parameter(pattern=APPID_PATTERN)],
    code: Annotated[str, Parameter(pattern=r"^[0-9A-Za-z_\-]{1,256}$")],
) -> Login:  # fmt: skip
    """`initWithOpenid` of the Sensors mini-program SDK, with a write key as `token` or `project`.

    400 CODE_INVALID, 401 WRONG_KEY, 403 USER_BLOCKED, 429 BUSY, 404 CONNECTOR_MISSING, 502 WECHAT_REFUSED,
    503 WECHAT_UNAVAILABLE."""
    ring: KeyRing = request.app.state["key_ring"]
    for candidate in query_keys(query_fields(request.scope["query_string"])):
        if (key := await ring.write_key(candidate)) is not None:
            setting = Setting(secret, Limits.of(settings), now)
            account = await actions.login(db, stream, wechat, setting, key=key, appid=appid, code=code)
            return Login(account.openid)
    raise WrongKey("No live write key in `token` or `project`.")


routes: list[Any] = [list_mini_programs, put_mini_program, delete_mini_program, check_mini_program]
logins: list[Any] = [mp_login]
