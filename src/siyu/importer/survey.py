"""A first look at a file: its fingerprint, compression, format, encoding and about how many rows it has."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal, NamedTuple, cast

from siyu.errors import SiyuError

_CHUNK: Final = 1 << 20
_HIGH: Final = bytes(range(128, 256))
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
Format = Literal["csv", "ndjson", "parquet"]


class UnreadableFile(SiyuError):
    """The file to import cannot be read; the message says why."""

    code = "IMPORT_FILE_UNREADABLE"
    status = 422


class Survey(NamedTuple):
    """What a first pass over the bytes shows."""

    fingerprint: str
    """SHA-256 of the file as it lies there."""
    gzipped: bool
    format: Format
    encoding: str
    lines: int
    """Line ends (rows, for Parquet 0); quoted line breaks count, so this is an upper bound of the rows."""


def survey(path: Path, encoding: str | None = None, format_: Format | None = None) -> Survey:
    """Reads the file once. Raises UnreadableFile."""
    try:
        with path.open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
        return _look(path, fingerprint, gzipped, encoding, format_)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFile(f"{path} cannot be read: {error}") from error


def open_bytes(path: Path, gzipped: bool) -> BinaryIO:
    """The file's content, decompressed."""
    return cast("BinaryIO", gzip.open(path, "rb")) if gzipped else path.open("rb")


def _look(path: Path, fingerprint: str, gzipped: bool, encoding: str | None, format_: Format | None) -> Survey:
    with open_bytes(path, gzipped) as file:
        head = file.read(_CHUNK)
        if head.startswith(b"PAR1") or format_ == "parquet":
            return Survey(fingerprint, gzipped, "parquet", "", 0)
        found = encoding or next((name for bom, name in _BOMS if head.startswith(bom)), None)
        guess = _Guess()
        lines = 0
        for chunk in _chunks(head, file):
            lines += chunk.count(b"\n")
            if found is None:
                guess.feed(chunk)
    found = found or guess.encoding()
    try:
        codecs.lookup(found)
    except LookupError as error:
        raise UnreadableFile(f"{found!r} is no text encoding.") from error
    return Survey(fingerprint, gzipped, format_ or _format(path, head, found), found, lines)


def _chunks(head: bytes, file: BinaryIO) -> Iterator[bytes]:
    while head:
        yield head
        head = file.read(_CHUNK)


class _Guess:
    """UTF-8 or GB18030: GB18030 text read as UTF-8 is nearly all errors, a UTF-8 file with a broken row nearly none."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._errors = 0
        self._good = 0

    def feed(self, chunk: bytes) -> None:
        if chunk.isascii() and not self._decoder.getstate()[0]:
            return
        text = self._decoder.decode(chunk)
        errors = text.count("\ufffd")
        self._errors += errors
        self._good += len(text) - errors - len(chunk.translate(None, delete=_HIGH))

    def encoding(self) -> str:
        self._errors += self._decoder.decode(b"", final=True).count("\ufffd")
        return "utf-8" if self._errors <= self._good else "gb18030"


def _format(path: Path, head: bytes, encoding: str) -> Format:
    names = [suffix.lower() for suffix in path.suffixes]
    if any(suffix in {".ndjson", ".jsonl"} for suffix in names):
        return "ndjson"
    if any(suffix in {".csv", ".tsv", ".txt"} for suffix in names):
        return "csv"
    return "ndjson" if head.decode(encoding, "replace").lstrip("\ufeff \r\n\t").startswith("{") else "csv"
