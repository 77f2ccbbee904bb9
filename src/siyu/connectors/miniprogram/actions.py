"""Verbs of mini-programs: keep one, check it, and say whom a login code belongs to."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from siyu.clock import Now
from siyu.collect import sensors
from siyu.collect.frame import Arrival, frames_of
from siyu.collect.keys import WriteKey
from siyu.collect.parsed import Limits
from siyu.connectors.miniprogram import records
from siyu.connectors.miniprogram.records import MiniProgram
from siyu.connectors.miniprogram.wechat import Account, CodeInvalid, WeChat, WeChatRefused
from siyu.connectors.sealed import seal, unseal
from siyu.errors import MalformedRequest, NotFound, SiyuError
from siyu.store.postgres import Database
from siyu.stream.stream import Stream

APPID_PATTERN: Final = r"^wx[0-9A-Za-z]{2,40}$"
SECRET_PATTERN: Final = r"^[0-9A-Za-z]{16,128}$"  # noqa: S105 - a pattern, no secret


class ConnectorMissing(SiyuError):
    """This mini-program is not connected, or switched off."""

    code = "CONNECTOR_MISSING"
    status = 404


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mini-program as it is asked for."""

    secret: Annotated[str, msgspec.Meta(pattern=SECRET_PATTERN)] | None = None
    """AppSecret; left out, the one that is kept stays."""
    label: Annotated[str, msgspec.Meta(max_length=50, pattern=r"^[^\x00-\x1f]*$")] = ""
    active: bool = True


class Setting(NamedTuple):
    """What a login needs of its process."""

    key: bytes
    limits: Limits
    now: Now


async def put(connection: Any, appid: str, wanted: Wanted, key: bytes, now: datetime) -> MiniProgram:
    """Keep a mini-program. Raises MalformedRequest when it is new and has no secret."""
    before = await records.find(connection, appid)
    if wanted.secret is None and before is None:
        raise MalformedRequest("A new mini-program needs its AppSecret.", path="secret")
    if wanted.secret is not None or before is None:
        sealed, problem, problem_at = seal(wanted.secret or "", key), "", None
    else:
        sealed, problem, problem_at = before.secret, before.problem, before.problem_at
    used_at = before.used_at if before else None
    one = MiniProgram(appid, wanted.label, sealed, wanted.active, now, used_at, problem, problem_at)
    await records.put(connection, one)
    return one


async def remove(connection: Any, appid: str) -> None:
    """Forget a mini-program and its secret. Raises NotFound."""
    if not await records.remove(connection, appid):
        raise NotFound(f"There is no mini-program {appid[:50]!r}.")


async def login(
    db: Database, stream: Stream, wechat: WeChat, setting: Setting, *, key: WriteKey, appid: str, code: str
) -> Account:
    """Whom a login code belongs to. An openid and a unionid that come together are evidence that they are one person,
    which is durable when this returns. Raises ConnectorMissing, and as `WeChat.account`."""
    one = await _connected(db, appid)
    try:
        account = await wechat.account(appid, unseal(one.secret, setting.key), code)
    except WeChatRefused as error:
        await _note(db, appid, str(error), setting)
        raise
    if account.unionid:
        await _tell(stream, setting, key, appid, account)
    async with db.driver() as connection:
        await records.note_use(connection, appid, setting.now())
    return account


async def check(db: Database, wechat: WeChat, setting: Setting, appid: str) -> None:
    """Whether WeChat takes appid and secret: it is asked about a code that cannot be, and must complain of the code
    alone. Raises ConnectorMissing, Busy, WeChatRefused, WeChatUnavailable."""
    one = await _connected(db, appid)
    try:
        await wechat.account(appid, unseal(one.secret, setting.key), f"check-{secrets.token_hex(8)}")
    except CodeInvalid:
        await _note(db, appid, "", setting)
    except WeChatRefused as error:
        await _note(db, appid, str(error), setting)
        raise


async def _note(db: Database, appid: str, problem: str, setting: Setting) -> None:
    async with db.driver() as connection:
        await records.note_problem(connection, appid, problem[:500], setting.now())


async def _connected(db: Database, appid: str) -> MiniProgram:
    async with db.driver() as connection:
        one = await records.find(connection, appid)
    if one is None or not one.active:
        raise ConnectorMissing(
            "This mini-program is not connected, so a login code cannot be exchanged for an openid. Add its appid and"
            " AppSecret under Sources.",
            appid=appid,
        )
    return one


async def _tell(stream: Stream, setting: Setting, key: WriteKey, appid: str, account: Account) -> None:
    """Put the evidence into the stream, as the mini-program's own SDK would."""
    now_ms = int(setting.now().timestamp() * 1000)
    message = {
        "type": "track_id_bind",
        "event": "$BindID",
        "time": now_ms,
        "distinct_id": account.openid,
        "identities": {f"$identity_mp_{appid}_openid": account.openid, "$identity_mp_unionid": account.unionid},
        "lib": {"$lib": "siyu", "$lib_method": "mp_login"},
        "properties": {},
    }
    for part in sensors.parse(msgspec.json.encode(message), now_ms, setting.limits):
        arrival = Arrival(part.events, part.rejected, key.id, key.end, now_ms)
        await stream.append(frames_of([arrival], stream.shards, stream.frame_bytes_max))
