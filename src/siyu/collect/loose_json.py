"""JSON read with indulgence: what strict parsers refuse and real senders send (NaN, lone surrogates, control
characters in strings, numbers out of range), and how to find the good events of a body that is broken in one place."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

import msgspec

from siyu.collect.parsed import DEPTH_MAX

_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],]', re.DOTALL)
_TOKENS_MAX: Final = 400_000
_DIGITS_MAX: Final = 400
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"{}[]"))
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class TooDeep(ValueError):
    """JSON nested deeper than `DEPTH_MAX`."""


def loads(raw: bytes | str) -> Any:
    """The value of a JSON text. NaN, infinities and overflowing numbers become None, lone surrogates U+FFFD.

    Raises ValueError: not JSON, invalid UTF-8 (UnicodeDecodeError), nested too deep (TooDeep)."""
    try:
        value = msgspec.json.decode(raw)
    except RecursionError:
        raise TooDeep(f"JSON nested deeper than {DEPTH_MAX}") from None
    except (msgspec.MsgspecError, ValueError):
        value = _python_loads(raw)
    if not surely_flat(raw) and depth_over(value, DEPTH_MAX):
        raise TooDeep(f"JSON nested deeper than {DEPTH_MAX}")
    return value


def surely_flat(raw: bytes | str) -> bool:
    """Whether the text of a JSON value cannot nest deeper than DEPTH_MAX. No means: look at the value.

    Only the brackets are looked at, and pairs without anything between them taken out until none is left. Taking out
    both kinds once removes two levels at most."""
    text = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    brackets = text.translate(None, _NO_BRACKETS)
    for _ in range(DEPTH_MAX // 2):
        if not brackets:
            return True
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return False


def _python_loads(raw: bytes | str) -> Any:
    text = raw if isinstance(raw, str) else bytes(raw).decode("utf-8")
    text = text.removeprefix("\ufeff")
    try:
        value = json.loads(text, strict=False, parse_constant=_nothing, parse_float=_finite, parse_int=_integer)
    except RecursionError:
        raise TooDeep(f"JSON nested deeper than {DEPTH_MAX}") from None
    return _whole(value)


def _nothing(_: str) -> None:
    return None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= _DIGITS_MAX else text


def _whole(value: Any, depth: int = 0) -> Any:
    """The value with lone surrogates replaced: they have no UTF-8 form."""
    if depth > DEPTH_MAX:
        raise TooDeep(f"JSON nested deeper than {DEPTH_MAX}")
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_whole(key): _whole(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item, depth + 1) for item in value]
    return value


def depth_over(value: Any, limit: int) -> bool:
    """Whether lists and objects nest deeper than `limit`."""
    level = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def may_hold_nul(raw: bytes) -> bool:
    """Whether a text of this JSON can have U+0000 in it."""
    return b"\\u0000" in raw or b"\x00" in raw


def without_nul(value: Any) -> Any:
    """The value with U+0000 taken out of all texts and names: PostgreSQL has no place for it."""
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, dict):
        return {without_nul(key): without_nul(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nul(item) for item in value]
    return value


def dumps(value: Any) -> str:
    """Compact JSON text of plain values."""
    return msgspec.json.encode(value).decode()


def split_items(body: bytes, field: bytes | None) -> tuple[list[bytes], bytes] | None:
    """The raw items of a JSON array, and the body with that array emptied: of the array under the name `field` of the
    top object, or of the top array when `field` is None. Looks only at quotes and brackets, so one broken item does not
    hide the others. None when there is no such array or it does not end."""
    start = _array_start(body, field)
    if start is None:
        return None
    items: list[bytes] = []
    depth, begin = 0, start
    for count, token in enumerate(_TOKENS.finditer(body, start)):
        if count > _TOKENS_MAX:
            return None
        mark = token[0]
        if mark in (b"{", b"["):
            depth += 1
        elif mark == b"," and depth == 0:
            items.append(body[begin : token.start()].strip())
            begin = token.end()
        elif mark in (b"}", b"]"):
            if depth == 0:
                items.append(body[begin : token.start()].strip())
                return [item for item in items if item], body[:start] + body[token.start() :]
            depth -= 1
    return None


def _array_start(body: bytes, field: bytes | None) -> int | None:
    if field is None:
        match = re.compile(rb"\s*\[").match(body)
        return match.end() if match else None
    depth = 0
    for count, token in enumerate(_TOKENS.finditer(body)):
        mark = token[0]
        if count > _TOKENS_MAX:
            return None
        if mark in (b"{", b"["):
            depth += 1
        elif mark in (b"}", b"]"):
            depth -= 1
        elif (
            depth == 1
            and mark == b'"' + field + b'"'
            and (opening := re.compile(rb"\s*:\s*\[").match(body, token.end()))
        ):
            return opening.end()
    return None
