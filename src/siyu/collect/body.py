"""Bodies as they arrive → JSON bytes. Sniffed, never trusted by their headers: SDKs send JSON as text/plain or as a
form, gzip without saying so, base64 around gzip, form fields in the query. Pure."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from siyu.collect.parsed import BadCompression, RequestTooLarge, UnusableBody

_GZIP: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"
_FORM: Final = re.compile(
    rb"\s*(?:[\w.%$-]{1,64}=[^&]*&)*(data_list|data|batch|api_key|token|compression|gzip)=", re.ASCII
)
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_\-\s]+={0,2}\s*")
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_LAYERS_MAX: Final = 6
_FIELDS_MAX: Final = 64


def gunzip(body: bytes, limit: int) -> bytes:
    """All members of a gzip stream. Raises BadCompression; RequestTooLarge as soon as `limit` bytes are passed."""
    parts: list[bytes] = []
    room = limit
    while body:
        inflater = zlib.decompressobj(wbits=31)
        try:
            part = inflater.decompress(body, room + 1)
        except zlib.error as error:
            if parts:
                break
            raise BadCompression(f"The gzip body cannot be unpacked: {error}") from None
        room -= len(part)
        if room < 0:
            raise RequestTooLarge(f"The body unpacks to more than {limit} bytes.")
        if not inflater.eof:
            raise BadCompression("The gzip body is cut off.")
        parts.append(part)
        body = inflater.unused_data.lstrip(b"\x00")
    return b"".join(parts)


def form_fields(text: bytes) -> dict[str, bytes]:
    """Fields of a form body or a query string; the first of equal names counts. Values keep their bytes."""
    fields: dict[str, bytes] = {}
    for pair in text.strip().split(b"&")[:_FIELDS_MAX]:
        name, equals, value = pair.partition(b"=")
        if equals:
            key = unquote_to_bytes(name.replace(b"+", b" ")).decode("utf-8", "replace")
            fields.setdefault(key, unquote_to_bytes(value.replace(b"+", b" ")))
    return fields


def is_form(body: bytes) -> bool:
    """Whether a body is a form that carries one of the fields the dialects use."""
    return _FORM.match(body) is not None


def unbase64(text: bytes) -> bytes | None:
    """Bytes of base64 (also URL-safe, unpadded, with blanks where a form ate the plus signs); None when it is none."""
    for candidate in (text, text.strip()):
        compact = candidate.replace(b" ", b"+").translate(_URL_SAFE, b"\r\n\t").rstrip(b"=")
        if compact and len(compact) % 4 != 1:
            try:
                return base64.b64decode(compact + b"=" * (-len(compact) % 4), validate=True)
            except (binascii.Error, ValueError):
                continue
    return None


def unwrap(body: bytes, limit: int, field_names: tuple[str, ...] = ("data_list", "data")) -> bytes:
    """JSON bytes out of whatever is around them: gzip, base64, a form field, a byte order mark, in any nesting.

    Raises UnusableBody (BadCompression), RequestTooLarge above `limit` unpacked bytes."""
    for _ in range(_LAYERS_MAX):
        if body[:2] == _GZIP:
            body = gunzip(body, limit)
            continue
        body = body.removeprefix(_BOM)
        first = body.lstrip()[:1]
        if first in {b"{", b"["}:
            return body
        if not first:
            raise UnusableBody("The body is empty.")
        inner = _inner(body, field_names)
        if inner is None:
            raise UnusableBody("The body is neither JSON nor gzip, base64 or a form around it.")
        body = inner
    raise UnusableBody("The body is wrapped more often than any SDK does.")


def _inner(body: bytes, field_names: tuple[str, ...]) -> bytes | None:
    if is_form(body):
        fields = form_fields(body)
        for name in field_names:
            if fields.get(name):
                return fields[name]
        return None
    if body.lstrip()[:1] == b"%":
        return unquote_to_bytes(body.strip())
    if _BASE64.fullmatch(body):
        return unbase64(body)
    return None


def query_fields(query_string: bytes) -> Mapping[str, str]:
    """The query string's fields as text."""
    return {name: value.decode("utf-8", "replace") for name, value in form_fields(query_string).items()}
