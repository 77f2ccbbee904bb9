"""Rows of a file, whatever its format: one after the other, bad ones as `BadRow`."""

from __future__ import annotations

import csv
import io
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from siyu.errors import SiyuError
from siyu.importer.mapping import File
from siyu.importer.survey import Survey, UnreadableFile, open_bytes

FIELD_CHARS_MAX: Final = 1 << 17
_FIELD: Final = "\x1f"


class MissingColumn(SiyuError):
    """The file lacks a column the mapping needs; the message lists what it has."""

    code = "IMPORT_COLUMN_MISSING"
    status = 422


class Row(msgspec.Struct, gc=False):
    """One row as read."""

    line: int
    """Where it starts, 1 = the first line (Parquet: the row's number)."""
    content: str
    """What makes two rows equal."""
    values: Any
    """A list in the order of the columns, or a dict for NDJSON."""


class BadRow(msgspec.Struct, gc=False):
    """A row that cannot be used."""

    line: int
    content: str
    reason: str


class Source(NamedTuple):
    """A file opened for reading."""

    columns: list[str] | None
    """None where each row names its own (NDJSON)."""
    rows: Iterator[Row | BadRow]
    expected: int
    """About how many rows there are."""


def open_rows(path: Path, seen: Survey, file: File) -> Source:
    """The rows of `path`. Raises UnreadableFile, MissingColumn."""
    if seen.format == "parquet":
        return _parquet(path, seen)
    text = io.TextIOWrapper(
        open_bytes(path, seen.gzipped), encoding=seen.encoding, errors="surrogateescape", newline=""
    )
    if seen.format == "ndjson":
        return Source(None, _json_rows(text), seen.lines)
    rows = _blank_rows(text) if file.delimiter == "blank" else _csv_rows(_Lines(text), file.delimiter)
    columns = file.columns
    if file.header:
        first = next(rows, None)
        if first is None:
            return Source(columns or [], iter(()), 0)
        if isinstance(first, BadRow):
            raise UnreadableFile(f"The header of {path} cannot be read: {first.reason}.")
        columns = columns or [name.strip().lstrip("\ufeff") for name in first.values]
        if len(set(columns)) < len(columns):
            double = sorted({name for name in columns if columns.count(name) > 1})
            raise UnreadableFile(f"The header of {path} names {', '.join(map(repr, double))} more than once.")
    assert columns is not None
    return Source(columns, _of_width(rows, len(columns)), seen.lines)


def _of_width(rows: Iterator[Row | BadRow], width: int) -> Iterator[Row | BadRow]:
    for row in rows:
        if row.__class__ is Row and len(row.values) != width:
            yield BadRow(row.line, row.content, f"{len(row.values)} fields where the columns are {width}")
        elif not row.content.isascii() and _undecodable(row.content):
            yield BadRow(row.line, row.content, "bytes that are no text in the file's encoding")
        else:
            yield row


def _undecodable(text: str) -> bool:
    """Bytes outside the encoding were read as lone surrogates, which have no UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _blank_rows(text: io.TextIOWrapper) -> Iterator[Row | BadRow]:
    for line, written in enumerate(text, 1):
        values = written.split()
        if values:
            yield Row(line, _FIELD.join(values), values)


class _Lines:
    """Lines that can be given back, so that one stray quote costs one row and not the rest of the file."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._back: deque[str] = deque()
        self.taken: list[str] = []
        """Lines read since the last `begin`."""
        self.number = 0
        """Lines read in all."""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._text)
        self.taken.append(line)
        self.number += 1
        return line

    def delimiter(self) -> str:
        """What parts the fields of the first line, which will be read again."""
        first = next(self._text, "")
        if first:
            self._back.append(first)
        return next((one for one in ",\t;" if one in first), ",")

    def begin(self) -> None:
        self.taken = []

    def give_back(self) -> None:
        """All lines taken but the first will be read again."""
        again = self.taken[1:]
        self._back.extendleft(reversed(again))
        self.number -= len(again)


def _csv_rows(lines: _Lines, delimiter: str | None) -> Iterator[Row | BadRow]:
    csv.field_size_limit(FIELD_CHARS_MAX)
    delimiter = delimiter or lines.delimiter()
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin()
        start = lines.number + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.give_back()
            yield BadRow(start, lines.taken[0].rstrip("\r\n"), f"not CSV: {error}")
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            continue
        if values and (len(values) > 1 or values[0].strip()):
            yield Row(start, _FIELD.join(values), values)


def _json_rows(text: io.TextIOWrapper) -> Iterator[Row | BadRow]:
    decode = msgspec.json.Decoder().decode
    for line, written in enumerate(text, 1):
        content = written.strip().lstrip("\ufeff")
        if not content:
            continue
        try:
            values = decode(content)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            yield BadRow(line, content, f"not JSON: {error}")
            continue
        if isinstance(values, dict):
            yield Row(line, content, values)
        else:
            yield BadRow(line, content, "not a JSON object")


def _parquet(path: Path, seen: Survey) -> Source:
    try:
        if not seen.gzipped:
            file = pq.ParquetFile(path)
        else:
            spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the ParquetFile that reads it
            with open_bytes(path, gzipped=True) as packed:
                while chunk := packed.read(1 << 20):
                    spool.write(chunk)
            spool.seek(0)
            file = pq.ParquetFile(spool)
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableFile(f"{path} is not Parquet: {error}") from error
    return Source(list(file.schema_arrow.names), _parquet_rows(file), file.metadata.num_rows)


def _parquet_rows(file: pq.ParquetFile) -> Iterator[Row | BadRow]:
    line = 0
    encode = msgspec.json.Encoder(enc_hook=str).encode
    for batch in file.iter_batches(batch_size=10_000):
        columns = [column.to_pylist() for column in batch.columns]
        for values in zip(*columns, strict=True):
            line += 1
            yield Row(line, encode(values).decode(), list(values))
