"""Identifier values as the doors accept them: which kinds exist, what a clean value is, which values name nobody.

Pure. A blocked value ("0", "undefined", a nil UUID …) is sent by broken ends for everybody at once; taking it for an
identifier would join strangers, so it is ignored wherever it stands.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from siyu.ids import KIND_RANK, SEPARATOR, base_kind

KEY_JOIN: Final = "\x1e"
"""Stands between the keys of `Event.others`."""
VALUE_LENGTH_MAX: Final = 255

_SCOPED: Final = frozenset(("openid", "external_userid"))
_SCOPE: Final = re.compile(r"[A-Za-z0-9_.@-]{1,64}")

_WORDS: Final = """
-1 null (null) <null> nil <nil> none undefined nan inf -inf infinity -infinity n/a na unknown anonymous guest test
tester testing debug dummy default demo empty true false id uid userid user_id distinct_id distinctid anonymous_id
anonymousid device_id deviceid openid unionid not_authenticated unidentified blank void [object] {} [] () ? ??
ffffffff-ffff-ffff-ffff-ffffffffffff 9774d56d682e549c 未知 匿名 游客 无 空 测试
"""
_NOBODY: Final = frozenset(_WORDS.split()) | {"[object object]", "not set", "(not set)", "not available"}
"""Lower case. 9774d56d682e549c is the Android id that a whole generation of phones shared."""
_ZEROS: Final = "0-_. \t"
_NOBODY_LENGTH_MAX: Final = max(map(len, _NOBODY))

_SPELLED: Final = frozenset(("phone", "email"))
"""Kinds whose values have one spelling of many."""
_PHONE_NOISE: Final = re.compile(r"\(0\)|[\s().\-/\u2010-\u2015]")
_MAINLAND_MOBILE: Final = re.compile(r"1[3-9]\d{9}")
_EMAIL: Final = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+")


def blocked(kind: str, value: str) -> bool:
    """Whether `value` names nobody: empty to the eye, too long, with control characters, all zeros and dashes, or a
    word such as "undefined" that broken ends send for everyone. The same for every `kind` today."""
    seen = value
    if not value.isprintable():
        if any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
            return True
        seen = _visible(value).strip()
    if len(seen) <= _NOBODY_LENGTH_MAX and (
        seen.lower() in _NOBODY or (seen[-1:] in _ZEROS and not seen.strip(_ZEROS))
    ):
        return True
    return len(value) > VALUE_LENGTH_MAX


def _visible(text: str) -> str:
    """Without the marks nobody sees: writing direction, zero-width blanks, a byte order mark. A number that was copied
    out of a list of contacts stands between two of them."""
    if text.isprintable():
        return text
    return "".join(character for character in text if unicodedata.category(character) != "Cf")


def known_kind(kind: str) -> bool:
    """Whether `kind` is one of INTERFACE's kinds, with a scope only where scopes exist (`openid:<appid>`)."""
    base, _, scope = kind.partition(":")
    if base not in KIND_RANK:
        return False
    return scope == "" if base not in _SCOPED else kind == base or _SCOPE.fullmatch(scope) is not None


def text_of(value: object) -> str | None:
    """An identifier value as text: numbers lose a senseless `.0`, blanks around go; None for anything else."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 128 else None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return str(int(value))
    return None


def phone_number(text: str) -> str | None:
    """E.164 of a phone number, +86 where no country is given; None when it is none (masked, too short, letters)."""
    digits = _PHONE_NOISE.sub("", _visible(unicodedata.normalize("NFKC", text)).lower().removeprefix("tel:"))
    if digits.startswith("00"):
        digits = "+" + digits[2:]
    if digits.startswith("+"):
        national = digits[1:]
        if national.startswith("860"):
            national = "86" + national[2:].lstrip("0")
    elif not digits.isdecimal():
        return None
    elif _MAINLAND_MOBILE.fullmatch(digits):
        national = "86" + digits
    elif digits.startswith("86") and _MAINLAND_MOBILE.fullmatch(digits[2:]):
        national = digits
    elif digits.startswith("0") and len(digits) in {10, 11, 12}:
        national = "86" + digits[1:]
    else:
        return None
    if not (national.isascii() and national.isdecimal() and 7 <= len(national) <= 15) or national[0] == "0":
        return None
    if national.startswith("86") and not _mainland(national[2:]):
        return None
    return "+" + national


def _mainland(number: str) -> bool:
    """A mobile, or an area code without its 0 (10, 2x, three digits) with seven or eight digits, or a 400 number."""
    if number.startswith("1") and not number.startswith("10"):
        return _MAINLAND_MOBILE.fullmatch(number) is not None
    return 9 <= len(number) <= 11


def email_address(text: str) -> str | None:
    """The address in lower case, or None when it is none."""
    address = _visible(unicodedata.normalize("NFKC", text)).strip().lower().removeprefix("mailto:")
    return address if _EMAIL.fullmatch(address) else None


def clean_value(kind: str, value: object) -> str | None:
    """The one spelling of an identifier value, or None when it names nobody or cannot be one."""
    text = text_of(value)
    if text is None or blocked(kind, text):
        return None
    if kind == "phone":
        return phone_number(text)
    if kind == "email":
        return email_address(text)
    return text


def clean_key(kind: str, value: object) -> str | None:
    """`ids.identifier_key` of the cleaned value, or None when there is nothing to use."""
    if kind not in _SPELLED and plain(value):
        return f"{kind}{SEPARATOR}{value}"
    text = clean_value(kind, value)
    return None if text is None else kind + SEPARATOR + text


def plain(value: object) -> bool:
    """Whether `value` is a text that `clean_value` leaves as it is, for kinds without a spelling of their own. A quick
    yes; no means: ask `clean_value`."""
    return (
        type(value) is str
        and value.isprintable()
        and value[:1] not in _ZEROS
        and value[-1] != " "
        and (len(value) <= VALUE_LENGTH_MAX if len(value) > _NOBODY_LENGTH_MAX else value.lower() not in _NOBODY)
    )


_UNSURE_HEADS: Final = frozenset(_ZEROS) | {""}


def plain_rows(values: Sequence[object]) -> list[int]:
    """The rows whose value is not `plain`. Most batches have none, which is seen at a glance at all of them."""
    try:
        joined = "".join(values)  # type: ignore[arg-type]  # TypeError when there is anything but texts
        if (
            " " not in joined
            and joined.isprintable()
            and _UNSURE_HEADS.isdisjoint([value[:1] for value in values])  # type: ignore[index]
            and _NOBODY.isdisjoint(values if joined.islower() else map(str.lower, values))  # type: ignore[arg-type]
            and max(map(len, values)) <= VALUE_LENGTH_MAX  # type: ignore[arg-type]
        ):
            return []
    except TypeError:
        pass
    return [row for row, value in enumerate(values) if not plain(value)]


def key_rank(key: str) -> int:
    """Strength of an identifier key, 0 strongest."""
    return _kind_rank(key.partition(SEPARATOR)[0])


@lru_cache(maxsize=512)
def _kind_rank(kind: str) -> int:
    return KIND_RANK.get(base_kind(kind), len(KIND_RANK))


def arrange(keys: Iterable[str | None]) -> tuple[str, str | None] | None:
    """(anchor, others) of the keys an event carried: the strongest, and the rest joined; None without any key.
    Equal strength: the first given is the anchor."""
    found = tuple(keys)
    return _arranged(found) if len(found) <= _REMEMBERED_KEYS_MAX else _arrange(found)


def _arrange(keys: Iterable[str | None]) -> tuple[str, str | None] | None:
    distinct = list(dict.fromkeys(key for key in keys if key))
    if not distinct:
        return None
    if len(distinct) > 1:
        distinct.sort(key=key_rank)
        return distinct[0], KEY_JOIN.join(distinct[1:])
    return distinct[0], None


_REMEMBERED_KEYS_MAX: Final = 8
_arranged = lru_cache(maxsize=8192)(_arrange)
"""An end carries the same few identifiers from event to event."""
