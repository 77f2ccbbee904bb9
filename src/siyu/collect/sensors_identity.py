"""Who a Sensors message is about: identity keys, login ids and distinct ids → identifiers and links. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from siyu.collect.event import Link
from siyu.collect.identifiers import clean_key, text_of
from siyu.ids import SEPARATOR

_KINDS: Final = {
    "$identity_login_id": "user_id",
    "$identity_mobile": "phone",
    "$identity_email": "email",
    "$identity_mp_unionid": "unionid",
    "$identity_mp_openid": "openid",
    "$identity_mp_id": "anonymous_id",
    "$identity_cookie_id": "anonymous_id",
    "$identity_anonymous_id": "anonymous_id",
    "$identity_distinct_id": "anonymous_id",
    "$identity_android_id": "device",
    "$identity_android_uuid": "device",
    "$identity_ios_uuid": "device",
    "$identity_idfa": "device",
    "$identity_idfv": "device",
    "$identity_oaid": "device",
    "$identity_harmony_uuid": "device",
}
_OPENID: Final = re.compile(r"\$identity_mp_([A-Za-z0-9_-]{1,64})_openid")
_OTHER_MINI_PROGRAM: Final = re.compile(
    r"\$identity_(?:ali|alipay|baidu|byte|bytedance|tt|feishu|xhs|qq|ks|jd|dd)\w*_id"
)
_MADE_BY_SDK: Final = re.compile(r"\d{13}-\d{5,8}-[0-9a-f]{6,20}-\d{4,9}|[0-9a-f]{13,16}(?:-[0-9a-f]{3,20}){3,4}")
"""The random ids of the mini-program and web SDKs."""
_REPORTED_MAX: Final = 20


class Who(NamedTuple):
    """The identifiers a message carries, and what it says about them."""

    keys: list[str | None]
    links: list[Link] = []
    unknown: list[str] = []
    """Identity keys that mean nothing to us."""


@lru_cache(maxsize=512)
def kind_of(identity: str) -> str | None:
    """The identifier kind of a Sensors identity key; None for one that was not declared."""
    if (kind := _KINDS.get(identity)) is not None:
        return kind
    if match := _OPENID.fullmatch(identity):
        return f"openid:{match[1]}"
    return "anonymous_id" if _OTHER_MINI_PROGRAM.fullmatch(identity) else None


def who_of(message: Mapping[str, Any], properties: Mapping[str, Any], kind: str) -> Who:
    """Who a message of type `kind` is about."""
    keys, unknown = _identities(message.get("identities"))
    if kind == "track_id_unbind":
        return _unbound(message, properties, keys, unknown)
    named = keys.copy()
    distinct, bare = _distinct(message, properties, kind, keys)
    keys = [distinct, _login(message), *keys, _anonymous(message.get("anonymous_id"))]
    links = []
    if kind == "track_signup":
        keys.append(_anonymous(message.get("original_id")))
        if not named and distinct is not None:
            # Servers go on sending the new login as a bare distinct_id: those events are the same person's.
            links.append(Link("alias", ["any" + SEPARATOR + distinct.partition(SEPARATOR)[2], distinct]))
    elif bare and distinct is not None:
        links.append(Link("alias", ["any" + SEPARATOR + distinct.partition(SEPARATOR)[2], distinct]))
    present = list(dict.fromkeys(key for key in keys if key))
    if kind in {"track_id_bind", "track_signup"} and len(present) > 1:
        links.append(Link("bind", present))
    return Who(list(present), links, unknown)


def _unbound(
    message: Mapping[str, Any], properties: Mapping[str, Any], removed: list[str | None], unknown: list[str]
) -> Who:
    """An unbind names the identifiers taken away and, as distinct_id, who had them; these must not meet again here, so
    the event carries its owner only."""
    gone = [key for key in removed if key]
    owner, bare = _distinct(message, properties, "track_id_unbind", [])
    if owner is None or owner in gone:
        return Who(list(gone[:1]), [Link("unbind", [key]) for key in gone], unknown)
    links = [Link("unbind", [key, owner]) for key in gone]
    if bare:
        links.append(Link("alias", ["any" + SEPARATOR + owner.partition(SEPARATOR)[2], owner]))
    return Who([owner], links, unknown)


def _identities(identities: object) -> tuple[list[str | None], list[str]]:
    keys: list[str | None] = []
    unknown: list[str] = []
    for identity, value in identities.items() if isinstance(identities, dict) else ():
        kind = kind_of(identity)
        if kind is None:
            unknown.append(identity[:100])
            continue
        if isinstance(value, list):
            keys.extend(clean_key(kind, item) for item in value)
        else:
            keys.append(clean_key(kind, value))
    return keys, unknown[:_REPORTED_MAX]


def _login(message: Mapping[str, Any]) -> str | None:
    login = text_of(message.get("login_id"))
    return None if login is None else _prefixed(login) or clean_key("user_id", login)


def _anonymous(value: object) -> str | None:
    text = text_of(value)
    return None if text is None else _prefixed(text) or clean_key("anonymous_id", text)


def _prefixed(text: str) -> str | None:
    """`$identity_mobile+138…`: an identifier that says its own kind."""
    if "+" not in text:
        return None
    identity, _, value = text.partition("+")
    kind = kind_of(identity)
    return None if kind is None else clean_key(kind, value)


def _distinct(
    message: Mapping[str, Any], properties: Mapping[str, Any], kind: str, named: list[str | None]
) -> tuple[str | None, bool]:
    """The identifier that distinct_id is, and whether that is a guess (a bare value of unknown nature)."""
    distinct = text_of(message.get("distinct_id"))
    if distinct is None:
        return None, False
    if (key := _prefixed(distinct)) is not None:
        return key, False
    said = properties.get("$is_login_id")
    if kind == "track_signup" or said is True or distinct == text_of(message.get("login_id")):
        return clean_key("user_id", distinct), False
    for known in named:
        if known is not None and known.partition(SEPARATOR)[2] == distinct:
            return known, False
    key = clean_key("anonymous_id", distinct)
    sure = said is False or distinct == text_of(message.get("anonymous_id")) or _MADE_BY_SDK.fullmatch(distinct)
    return key, not sure
