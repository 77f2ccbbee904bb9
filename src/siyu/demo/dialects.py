"""One event as JSON text in the dialect of its end: Segment, Sensors (神策), PostHog. Properties come encoded."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Final, NamedTuple

from siyu.demo import brand

_MINUTES: Final = [f"T{minute // 60:02}:{minute % 60:02}:" for minute in range(1440)]
_DAY_MS: Final = 86_400_000
_EPOCH: Final = date(1970, 1, 1)

OPENID: Final = f"$identity_mp_{brand.MP_APPID}_openid"
OA_OPENID: Final = f"$identity_mp_{brand.OA_APPID}_openid"

WEB_CONTEXT: Final = '{"library":{"name":"analytics.js","version":"2.11.1"},"locale":"zh-CN"}'
APP_CONTEXT: Final = (
    '{"library":{"name":"analytics-android","version":"4.11.3"},"app":{"name":"茗爪","version":"3.2.0"}}'
)
STORE_CONTEXT: Final = '{"end":"store"}'
WECOM_CONTEXT: Final = '{"end":"wecom"}'


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


def segment_track(name: str, stamp: str, who: str, properties: str, context: str) -> str:
    """`who`: `"userId":"…","anonymousId":"…"`, or one of them. `stamp`: Book.segment_stamp."""
    return f'{{"type":"track","event":"{name}",{stamp},{who},"properties":{{{properties}}},"context":{context}}}'


def segment_page(stamp: str, who: str, title: str, path: str, context: str) -> str:
    """A page call."""
    properties = f'"path":"{path}","url":"{brand.SITE}{path}"'
    return f'{{"type":"page","name":"{title}",{stamp},{who},"properties":{{{properties}}},"context":{context}}}'


def segment_identify(stamp: str, who: str, traits: str, context: str) -> str:
    """An identify call."""
    return f'{{"type":"identify",{stamp},{who},"traits":{{{traits}}},"context":{context}}}'


def segment_alias(stamp: str, user: str, previous: str, context: str) -> str:
    """An alias call: `previous` and `user` are the same person, says the website."""
    return f'{{"type":"alias",{stamp},"userId":"{user}","previousId":"{previous}","context":{context}}}'


def external_ids(*ids: tuple[str, str]) -> str:
    """A WeCom context with identifiers of WeChat."""
    listed = ",".join(f'{{"type":"{kind}","id":"{value}"}}' for kind, value in ids)
    return f'{{"end":"wecom","externalIds":[{listed}]}}'


class Kind(NamedTuple):
    """Type and event name of a Sensors message."""

    type: str
    event: str


SIGNUP: Final = Kind("track_signup", "$SignUp")
BIND: Final = Kind("track_id_bind", "$BindID")
PROFILE: Final = Kind("profile_set", "")


def mini_program(kind: Kind, stamp: str, who: str, properties: str) -> str:
    """A message of the mini-program SDK. `who`: distinct_id and identities; `stamp`: Book.sensors_stamp."""
    event = f'"event":"{kind.event}",' if kind.event else ""
    return (
        f'{{"type":"{kind.type}",{event}{stamp},{who},"properties":{{{properties}}},'
        '"lib":{"$lib":"MiniProgram","$lib_version":"1.22.7","$lib_method":"code"}}'
    )


def official_account(name: str, stamp: str, who: str, properties: str) -> str:
    """A message of the server that receives the official account's callbacks."""
    return (
        f'{{"type":"track","event":"{name}",{stamp},{who},"properties":{{{properties}}},'
        '"lib":{"$lib":"python","$lib_version":"1.11.0","$lib_method":"code"}}'
    )


def sensors_who(distinct: str, identities: str) -> str:
    """How Sensors messages name somebody."""
    return f'"distinct_id":"{distinct}","identities":{{{identities}}}'


def posthog(name: str, stamp: str, distinct: str, properties: str) -> str:
    """An event of posthog-js on a landing page. `stamp`: Book.posthog_stamp."""
    return f'{{"event":"{name}",{stamp},"distinct_id":"{distinct}","properties":{{"$lib":"web",{properties}}}}}'
