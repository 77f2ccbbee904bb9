"""One event as JSON text in the dialect of its end: Segment, Sensors (神策), PostHog. Properties come encoded."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Final

from siyu.demo import brand

_MINUTES: Final = [f"T{minute // 60:02}:{minute % 60:02}:" for minute in range(1440)]
_DAY_MS: Final = 86_400_000
_EPOCH: Final = date(1970, 1, 1)

OPENID: Final = f"$identity_mp_{brand.MP_APPID}_openid"
OA_OPENID: Final = f"$identity_mp_{brand.OA_APPID}_openid"

WEB_CONTEXT: Final = '{"library":{"name":"analytics.js","version":"2.11.1"},"locale":"zh-CN"}'
APP_CONTEXT: Final = '{"library":{"name":"analytics-android","version":"4.11.3"},"app":{"name":"茗爪","version":"3.2.0"}}'
STORE_CONTEXT: Final = '{"end":"store"}'
WECOM_CONTEXT: Final = '{"end":"wecom"}'
_MP_LIB: Final = '{"$lib":"MiniProgram","$lib_version":"1.22.7","$lib_method":"code"}'
_OA_LIB: Final = '{"$lib":"python","$lib_version":"1.11.0","$lib_method":"code"}'


class _Days(dict[int, str]):
    """Days since 1970 → `2026-06-18`, each worked out once."""

    def __missing__(self, day: int) -> str:
        text = self[day] = (_EPOCH + timedelta(days=day)).isoformat()
        return text


_days: Final = _Days()


def rfc3339(ms: int) -> str:
    """Milliseconds since 1970 as text in UTC."""
    day, rest = divmod(ms, _DAY_MS)
    minute, rest = divmod(rest, 60_000)
    return f"{_days[day]}{_MINUTES[minute]}{rest // 1000:02}.{rest % 1000:03}Z"


def quoted(text: str) -> str:
    """A JSON string."""
    return json.dumps(text, ensure_ascii=False)


def segment_track(
    name: str, message_id: str, at: str, who: str, properties: str, context: str
) -> str:
    """`who`: `"userId":"…","anonymousId":"…"`, or one of them."""
    return (
        f'{{"type":"track","event":"{name}","messageId":"{message_id}","timestamp":"{at}",{who},'
        f'"properties":{{{properties}}},"context":{context}}}'
    )


def segment_page(message_id: str, at: str, who: str, title: str, path: str, context: str) -> str:
    """A page call."""
    return (
        f'{{"type":"page","name":"{title}","messageId":"{message_id}","timestamp":"{at}",{who},'
        f'"properties":{{"path":"{path}","url":"{brand.SITE}{path}"}},"context":{context}}}'
    )


def segment_identify(message_id: str, at: str, who: str, traits: str, context: str) -> str:
    """An identify call."""
    return (
        f'{{"type":"identify","messageId":"{message_id}","timestamp":"{at}",{who},'
        f'"traits":{{{traits}}},"context":{context}}}'
    )


def segment_alias(message_id: str, at: str, user: str, previous: str, context: str) -> str:
    """An alias call: `previous` and `user` are the same person, says the website."""
    return (
        f'{{"type":"alias","messageId":"{message_id}","timestamp":"{at}","userId":"{user}",'
        f'"previousId":"{previous}","context":{context}}}'
    )


def external_ids(*ids: tuple[str, str]) -> str:
    """A WeCom context with identifiers of WeChat."""
    listed = ",".join(f'{{"type":"{kind}","id":"{value}"}}' for kind, value in ids)
    return f'{{"end":"wecom","externalIds":[{listed}]}}'


def sensors(kind: str, name: str, track: int, ms: int, distinct: str, identities: str, properties: str, lib: str) -> str:
    """A message of a Sensors SDK; `name` is empty for profile messages."""
    event = f'"event":"{name}",' if name else ""
    return (
        f'{{"type":"{kind}",{event}"time":{ms},"distinct_id":"{distinct}","identities":{{{identities}}},'
        f'"properties":{{{properties}}},"lib":{lib},"_track_id":{track}}}'
    )


def mini_program(kind: str, name: str, track: int, ms: int, distinct: str, identities: str, properties: str) -> str:
    """A message of the mini-program SDK."""
    return sensors(kind, name, track, ms, distinct, identities, properties, _MP_LIB)


def official_account(name: str, track: int, ms: int, openid: str, identities: str, properties: str) -> str:
    """A message of the server that receives the official account's callbacks."""
    return sensors("track", name, track, ms, openid, identities, properties, _OA_LIB)


def posthog(name: str, uuid: str, at: str, distinct: str, properties: str) -> str:
    """An event of posthog-js on a landing page."""
    return (
        f'{{"event":"{name}","uuid":"{uuid}","timestamp":"{at}","distinct_id":"{distinct}",'
        f'"properties":{{"$lib":"web",{properties}}}}}'
    )
