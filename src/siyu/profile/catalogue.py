"""The trait catalogue: which names have a type, and how a sent value is brought to it.

Data, not law: a name that is not declared keeps the JSON type it was sent with, and a value that does not fit its
declared type is kept as sent, with the reason beside it. Values are brought to their type when they are read, so a
declaration added later also holds for the past.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Final, Literal, NamedTuple, get_args

from siyu.collect.identifiers import email_address, phone_number, text_of

TraitType = Literal["string", "number", "bool", "date", "datetime", "list", "phone", "email", "gender"]
TYPES: Final[tuple[str, ...]] = get_args(TraitType)


class Declared(NamedTuple):
    """A declared trait: its type and its labels."""

    type: TraitType
    label_zh: str
    label_en: str


BUILT_IN: Final[Mapping[str, Declared]] = {
    "name": Declared("string", "姓名", "Name"),
    "nickname": Declared("string", "昵称", "Nickname"),
    "username": Declared("string", "用户名", "User name"),
    "first_name": Declared("string", "名", "First name"),
    "firstName": Declared("string", "名", "First name"),
    "last_name": Declared("string", "姓", "Last name"),
    "lastName": Declared("string", "姓", "Last name"),
    "phone": Declared("phone", "手机", "Phone"),
    "email": Declared("email", "邮箱", "Email"),
    "birthday": Declared("date", "生日", "Birthday"),
    "gender": Declared("gender", "性别", "Gender"),
    "age": Declared("number", "年龄", "Age"),
    "avatar": Declared("string", "头像", "Avatar"),
    "country": Declared("string", "国家", "Country"),
    "province": Declared("string", "省份", "Province"),
    "city": Declared("string", "城市", "City"),
    "district": Declared("string", "区县", "District"),
    "language": Declared("string", "语言", "Language"),
    "title": Declared("string", "职位", "Title"),
    "description": Declared("string", "备注", "Description"),
    "website": Declared("string", "网站", "Website"),
    "level": Declared("string", "等级", "Level"),
    "is_member": Declared("bool", "是否会员", "Member"),
    "subscribed": Declared("bool", "已关注", "Following"),
    "registered_at": Declared("datetime", "注册时间", "Registered at"),
    "created_at": Declared("datetime", "创建时间", "Created at"),
    "createdAt": Declared("datetime", "创建时间", "Created at"),
    "interests": Declared("list", "兴趣", "Interests"),
    "$name": Declared("string", "姓名", "Name"),
    "$gender": Declared("gender", "性别", "Gender"),
    "$birthday": Declared("date", "生日", "Birthday"),
    "$country": Declared("string", "国家", "Country"),
    "$province": Declared("string", "省份", "Province"),
    "$city": Declared("string", "城市", "City"),
    "$signup_time": Declared("datetime", "注册时间", "Registered at"),
    "$first_visit_time": Declared("datetime", "首次访问时间", "First visit"),
    "$first_visit_source": Declared("string", "首次来源", "First source"),
}

_CHINA: Final = timezone(timedelta(hours=8))
"""Times without a zone are China's: that is what the SDKs of this market send."""
_GENDERS: Final = {
    word: gender
    for gender, words in (
        ("male", "male m man boy 男 男性 男士 先生 1"),
        ("female", "female f woman girl 女 女性 女士 小姐 2"),
        ("unknown", "unknown u other secret 未知 保密 其他 0"),
    )
    for word in words.split()
}
_TRUE: Final = frozenset(["true", "yes", "y", "on", "1", "是", "有", "真"])
_FALSE: Final = frozenset(["false", "no", "n", "off", "0", "否", "无", "假"])
_DATE: Final = re.compile(r"(\d{4})(?:[-/.年]\s?(\d{1,2})[-/.月]\s?(\d{1,2})日?|(\d{2})(\d{2}))(?=$|[ T])")
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_SECONDS_MAX: Final = 100_000_000_000
"""Epoch numbers above are milliseconds (as seconds they would lie after the year 5100)."""


def declared_of(rows: Iterable[tuple[str, str, str, str]]) -> dict[str, Declared]:
    """The catalogue with the brand's own declarations, (name, type, label_zh, label_en), over the built-in ones."""
    return {**BUILT_IN, **{name: Declared(type_, zh, en) for name, type_, zh, en in rows if type_ in TYPES}}  # type: ignore[arg-type]  # checked against TYPES


def coerce(declared: Declared | None, value: Any) -> tuple[Any, str]:
    """(`value` as its declared type, "") or (`value` as sent, "NOT_A_NUMBER" …). None stays None."""
    if declared is None or value is None:
        return value, ""
    fitting = _COERCIONS[declared.type](value)
    if fitting is None:
        article = "AN" if declared.type == "email" else "A"
        return value, f"NOT_{article}_{declared.type.upper()}"
    return fitting, ""


def _string(value: Any) -> str | None:
    return ("true" if value else "false") if isinstance(value, bool) else text_of(value) or _decimal(value)


def _decimal(value: Any) -> str | None:
    return repr(value) if isinstance(value, float) else value if isinstance(value, str) else None


def _number(value: Any) -> int | float | None:
    if isinstance(value, str):
        text = value.strip().replace(",", "")
        if not _NUMBER.fullmatch(text) or len(text) > 40:
            return None
        value = float(text) if any(mark in text for mark in ".eE") else int(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower() if isinstance(value, str | int) else ""
    return True if text in _TRUE else False if text in _FALSE else None


def _instant(value: Any) -> datetime | None:
    """The instant a text or an epoch number names; None when it names none."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if abs(value) >= _SECONDS_MAX else value
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        if not isinstance(value, str) or not (found := _DATE.match(text := value.strip())):
            return None
        year, month, day = (int(part) for part in found.groups() if part)
        moment = datetime.combine(date(year, month, day), datetime.min.time())
        rest = text[found.end() :].strip().lstrip("T")
        if rest:
            moment = datetime.fromisoformat(f"{moment.date()}T{rest}")
        return moment if moment.tzinfo else moment.replace(tzinfo=_CHINA)
    except (ValueError, OverflowError):
        return None


def _date(value: Any) -> str | None:
    moment = _instant(value)
    if moment is None:
        return None
    # A text names its own calendar day; only an epoch number, or UTC midnight of none, needs a zone to have one.
    local = moment if isinstance(value, str) and not value.rstrip().endswith("Z") else moment.astimezone(_CHINA)
    return local.date().isoformat()


def _datetime(value: Any) -> str | None:
    moment = _instant(value)
    if moment is None:
        return None
    try:
        return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _phone(value: Any) -> str | None:
    text = text_of(value)
    return None if text is None else phone_number(text)


def _email(value: Any) -> str | None:
    return email_address(value) if isinstance(value, str) else None


def _gender(value: Any) -> str | None:
    text = text_of(value)
    return None if text is None else _GENDERS.get(text.lower())


_COERCIONS: Final = {
    "string": _string,
    "number": _number,
    "bool": _bool,
    "date": _date,
    "datetime": _datetime,
    "list": _list,
    "phone": _phone,
    "email": _email,
    "gender": _gender,
}
