"""Where a person came from (触点), read out of an event: campaign parameters, scene, channel code, inviter, referrer.

Pure. Keys of a touch are those of `event.Effects.touch`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

TEXT_LENGTH_MAX: Final = 512

_UTM: Final = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")
CLICK_IDS: Final = (
    "gclid", "gbraid", "wbraid", "fbclid", "msclkid", "ttclid", "twclid", "gdt_vid", "qz_gdt", "bd_vid", "clickid",
    "click_id",
)  # fmt: skip
"""Click ids of advertising networks: Google, Meta, Microsoft, TikTok, X, Tencent, Baidu, Ocean Engine."""
_CAMPAIGN: Final = {
    "source": "utm_source",
    "medium": "utm_medium",
    "name": "utm_campaign",
    "content": "utm_content",
    "term": "utm_term",
}
_PLAIN: Final = {
    **{name: name for name in _UTM},
    **{"$" + name: name for name in _UTM},
    "$scene": "scene",
    "scene": "scene",
    "$share_distinct_id": "inviter",
    "inviter": "inviter",
    "inviter_id": "inviter",
    "$referrer": "referrer",
    "referrer": "referrer",
    "state": "state",
    "channel_state": "state",
}
_LATEST: Final = {
    **{"$latest_" + name: name for name in _UTM},
    "$latest_scene": "scene",
    "$latest_referrer": "referrer",
}
_URLS: Final = ("$url", "$url_query", "$current_url", "url")
_READ: Final = frozenset(("$latest_landing_page", *_URLS, *_PLAIN, *_LATEST, *CLICK_IDS))
_NOTHING: Final = frozenset(
    ("", "null", "undefined", "none", "$direct", "(direct)", "(not set)", "取值异常", "未取到值")
)
_TRIGGERS: Final = ("utm_", "clid", "scene", "inviter", "share_distinct_id", "referrer", "gdt_vid", "bd_vid", "braid")


def text(value: object) -> str:
    """A touch value as text; empty when it says nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    words = str(value).strip().replace("\x00", "")[:TEXT_LENGTH_MAX]
    return "" if words.lower() in _NOTHING or words.startswith("url的") else words


def may_touch(properties: str) -> bool:
    """Whether a JSON text can hold anything that `of_properties` reads (a channel code `state` apart)."""
    return any(word in properties for word in _TRIGGERS)


def of_properties(properties: Mapping[str, Any], *, entrance: bool = False) -> dict[str, str]:
    """The touch that an event's properties tell, in the names of Sensors, PostHog or plain `utm_*`.

    `state` counts only for events that are an `entrance` (a contact added, a code scanned): elsewhere it is an address.
    What this visit says beats what the SDK remembers (`$latest_*`)."""
    if properties.keys().isdisjoint(_READ):
        return {}
    touch = of_url(properties.get("$latest_landing_page"))
    touch |= _renamed(properties, _LATEST.items())
    touch |= of_url(*(properties.get(name) for name in _URLS))
    touch |= _renamed(
        properties, ((name, key) for name, key in _PLAIN.items() if entrance or name not in {"state", "scene"})
    )
    touch |= _click(properties)
    page = properties.get("$url") or properties.get("$current_url") or properties.get("url")
    return without_own_referrer(touch, page, properties.get("$host"))


def of_url(*urls: object) -> dict[str, str]:
    """Campaign parameters and the scene of a mini-program code in URLs or query strings; the first URL counts most."""
    touch: dict[str, str] = {}
    for url in reversed(urls):
        if not isinstance(url, str) or "=" not in url:
            continue
        try:
            query = urlsplit(url).query or (url if "://" not in url and not url.startswith("/") else "")
            pairs = dict(parse_qsl(query.lstrip("?"), max_num_fields=50))
        except ValueError:
            continue
        touch |= _renamed(pairs, ((name, name) for name in _UTM))
        touch |= _renamed(pairs, (("scene", "state"), ("state", "state"), ("inviter", "inviter")))
        touch |= _click(pairs)
    return touch


def of_campaign(campaign: object) -> dict[str, str]:
    """Segment's `context.campaign`."""
    return _renamed(campaign, _CAMPAIGN.items()) if isinstance(campaign, Mapping) else {}


def of_context(context: Mapping[str, Any]) -> dict[str, str]:
    """The touch that a Segment context tells: campaign, page, referrer, and our own `scene`, `state`, `inviter`."""
    page = context.get("page")
    page = page if isinstance(page, Mapping) else {}
    touch = of_url(page.get("search"), page.get("url"))
    referrer = context.get("referrer")
    touch |= _renamed(page, (("referrer", "referrer"),))
    touch |= _renamed(referrer, (("url", "referrer"),)) if isinstance(referrer, Mapping) else {}
    touch |= _renamed(context, (("scene", "scene"), ("state", "state"), ("inviter", "inviter")))
    touch |= of_campaign(context.get("campaign"))
    return without_own_referrer(touch, page.get("url"))


def without_own_referrer(touch: dict[str, str], page_url: object, host: object = None) -> dict[str, str]:
    """The touch without a referrer that is the brand's own page (same host)."""
    if referrer := touch.get("referrer"):
        own = _host(page_url) or (host if isinstance(host, str) else "")
        if not (there := _host(referrer)) or there == own:
            del touch["referrer"]
    return touch


def _host(url: object) -> str:
    if not isinstance(url, str):
        return ""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _renamed(values: Mapping[str, Any], names: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {key: words for name, key in names if name in values and (words := text(values[name]))}


def _click(values: Mapping[str, Any]) -> dict[str, str]:
    for name in CLICK_IDS:
        if name in values and (words := text(values[name])):
            return {"click_id": words if name == "click_id" else f"{name}:{words}"[:TEXT_LENGTH_MAX]}
    return {}
