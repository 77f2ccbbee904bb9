"""What WeChat says about a login code (`code2Session`).

Format: `GET /sns/jscode2session?appid&secret&js_code&grant_type=authorization_code` answers 200 with
`{"openid", "session_key", "unionid"?}` or `{"errcode", "errmsg"}`. A code counts once and for five minutes; a user may
ask 100 times a minute. The session key never leaves this module: nobody here needs it, and clients must not have it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from siyu.errors import Busy, Forbidden, MalformedRequest, SiyuError

if TYPE_CHECKING:
    import httpx

SECONDS_MAX: Final = 5.0
ASKED_AT_ONCE_MAX: Final = 32
"""Requests to WeChat under way; write keys are public, so a stranger must not be able to tie this process up."""
ANSWER_BYTES_MAX: Final = 16_384
NAME_CHARS_MAX: Final = 128

_USED_UP: Final = frozenset({40029, 40163})
"""Invalid code; code been used."""
_NOT_OURS: Final = frozenset({40013, 40125, 41002, 41004, 50002})
"""Invalid appid, invalid secret, either missing, mini-program blocked."""


class CodeInvalid(MalformedRequest):
    """The login code is unknown to WeChat, used already, or older than five minutes."""

    code = "CODE_INVALID"


class UserBlocked(Forbidden):
    """WeChat holds the user to be a risk and does not log them in."""

    code = "USER_BLOCKED"


class WeChatRefused(SiyuError):
    """WeChat does not take the appid or the secret."""

    code = "WECHAT_REFUSED"
    status = 502


class WeChatUnavailable(SiyuError):
    """WeChat does not answer, or not with what was promised."""

    code = "WECHAT_UNAVAILABLE"
    status = 503


class Account(NamedTuple):
    """Who a login code belongs to."""

    openid: str
    unionid: str
    """Empty where the mini-program is not bound to an open platform account."""


class _Answer(msgspec.Struct):
    openid: str = ""
    unionid: str = ""
    errcode: int = 0
    errmsg: str = ""


class WeChat:
    """The platform at `base_url`."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._client: httpx.AsyncClient | None = None
        self._free = asyncio.Semaphore(ASKED_AT_ONCE_MAX)

    async def account(self, appid: str, secret: str, code: str) -> Account:
        """Whom a code belongs to. Raises CodeInvalid, UserBlocked, Busy, WeChatRefused, WeChatUnavailable."""
        if self._free.locked():
            raise Busy("Too many logins at once. Try again in a moment.", retry_after_s=1)
        async with self._free:
            asked = {"appid": appid, "secret": secret, "js_code": code, "grant_type": "authorization_code"}
            return account_of(await self._get("/sns/jscode2session", asked))

    async def _get(self, path: str, asked: dict[str, str]) -> bytes:
        """The body of an answer. What failed is named without the address, which carries the secret."""
        import httpx  # 0.1 s that a start need not wait for

        if self._client is None:
            self._client = httpx.AsyncClient(base_url=self._base_url, timeout=SECONDS_MAX)
        try:
            async with asyncio.timeout(SECONDS_MAX), self._client.stream("GET", path, params=asked) as reply:
                body = bytearray()
                async for part in reply.aiter_bytes():
                    body += part
                    if len(body) > ANSWER_BYTES_MAX:
                        break
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            raise _unavailable(f"WeChat does not answer ({type(error).__name__}).") from None
        if reply.status_code != 200:
            raise _unavailable(f"WeChat answered with status {reply.status_code}.")
        return bytes(body)


def account_of(body: bytes) -> Account:
    """Read an answer of `code2Session`. Raises as `WeChat.account`."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise _unavailable("WeChat answered with something that is no JSON.") from None
    if answer.errcode:
        raise _refusal(answer.errcode, answer.errmsg)
    if not _name(answer.openid) or (answer.unionid and not _name(answer.unionid)):
        raise _unavailable("WeChat answered without an openid.")
    return Account(answer.openid, answer.unionid)


def _name(text: str) -> bool:
    return 0 < len(text) <= NAME_CHARS_MAX and text.isprintable()


def _refusal(number: int, said: str) -> SiyuError:
    words = f"WeChat says {number}: {''.join(c for c in said[:200] if c.isprintable())}"
    if number in _USED_UP:
        return CodeInvalid(f"The login code is unknown, used already, or older than five minutes. {words}")
    if number == 40226:
        return UserBlocked(f"WeChat does not log this user in: high risk. {words}")
    if number == 45011:
        return Busy(f"This user logged in too often within a minute. {words}", retry_after_s=60)
    if number in _NOT_OURS:
        return WeChatRefused(f"WeChat does not take this mini-program's appid or AppSecret. {words}", errcode=number)
    return _unavailable(words)


def _unavailable(message: str) -> WeChatUnavailable:
    return WeChatUnavailable(message, retry_after_s=2)
