"""A mapping compiled for one file: rows → events. Pure."""

from __future__ import annotations

from itertools import repeat
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import xxhash

from siyu.collect.event import Effects, Event
from siyu.collect.identifiers import arrange, clean_key
from siyu.importer.cells import BadCell, Reader, field_reader, money_reader, plain, time_reader
from siyu.importer.columns import MISSING, Bad, Cells, Chunk, FileColumns
from siyu.importer.mapping import Field, Mapping
from siyu.importer.reading import Row

PROFILE_UPDATED: Final = "profile.updated"
NAME_CHARS_MAX: Final = 200
_NOBODY: Final = ("", None)
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Limits(msgspec.Struct, frozen=True):
    """What an event may be; the same as at the doors."""

    event_bytes_max: int
    latest_ms: int
    """An event after this has a wrong time."""


class Complaint(NamedTuple):
    """A row that was left out, or kept without a part of it."""

    line: int
    reason: str
    content: str
    kept: bool


class Converter:
    """Turns chunks of rows into events."""

    def __init__(
        self, mapping: Mapping, columns: list[str] | None, zone: ZoneInfo, first_import_ms: int, limits: Limits
    ) -> None:
        """Raises MissingColumn when the file lacks what the mapping needs. Rows of persons that state no time count as
        said at `first_import_ms`."""
        self._mapping = mapping
        self._limits = limits
        self._first_import_ms = first_import_ms
        self._zone = zone
        self._columnar = columns is not None
        self._columns = FileColumns(columns, mapping)
        self._identifiers = self._identifier_cells()
        self._time = self._time_cells()
        self._name = self._columns.cells(mapping.name.column if mapping.name else None, _event_name)
        self._value = self._value_cells()
        self._end = self._columns.cells(mapping.end_column, _text, optional=True)
        self._row_id = [self._columns.cells(column, _text) for column in mapping.row_id]
        self._extra = self._columns.cells(mapping.json_column, _json_object, optional=True)
        self._properties = self._fields(mapping.properties, as_json=True)
        self._profile = [
            self._fields(mapping.traits),
            self._fields(mapping.traits_once),
            self._fields(mapping.touch),
            self._fields({"tags": mapping.tags} if mapping.tags else {}),
        ]
        self._rest = self._columns.rest()

    def convert(self, rows: list[Row], ordinals: list[int]) -> tuple[list[Event], list[Complaint]]:
        """The events of some rows, and what is wrong with the others. `ordinals[i]`: how many rows equal to row i stand
        before it in the file."""
        if not rows:
            return [], []
        chunk, bad = Chunk(rows, self._columnar), Bad()
        who, complaints = self._who(chunk, bad)
        names = self._names(chunk, bad)
        extras = self._extras(chunk, bad)
        events = list(
            map(
                Event,
                self._event_ids(chunk, ordinals, bad),
                names,
                self._times(chunk, bad),
                [anchor for anchor, _ in who],
                [others for _, others in who],
                self._property_texts(chunk, extras, bad),
                repeat("{}"),
                self._money(chunk, names, bad),
                self._effects(chunk, extras, bad),
                self._ends(chunk, bad),
            )
        )
        if bad.reasons:
            events = [event for place, event in enumerate(events) if place not in bad.reasons]
            complaints += [
                Complaint(rows[place].line, reason, rows[place].content, kept=False)
                for place, reason in bad.reasons.items()
            ]
        return events, complaints

    def _who(self, chunk: Chunk, bad: Bad) -> tuple[list[tuple[str, str | None]], list[Complaint]]:
        """(anchor, others) of each row, and complaints about identifiers that cannot be used."""
        keys = [(kind, cells(chunk, bad)) for kind, cells in self._identifiers]
        complaints = []
        for kind, column in keys:
            if None in column:
                for place, key in enumerate(column):
                    if key is None:
                        line = chunk.rows[place].line
                        complaints.append(Complaint(line, f"no usable {kind}: left out", "", kept=True))
        if len(keys) == 1 and set(map(type, keys[0][1])) == {str}:
            return [(key, None) for key in keys[0][1]], complaints
        who = []
        for place, row in enumerate(zip(*(column for _, column in keys), strict=True)):
            stated = [key for key in row if key.__class__ is str]
            arranged = (stated[0], None) if len(stated) == 1 else arrange(stated)
            if arranged is None:
                bad.add(place, "no identifier: who it was cannot be told")
            who.append(arranged or _NOBODY)
        return who, complaints

    def _names(self, chunk: Chunk, bad: Bad) -> list[str]:
        given = self._mapping.name
        if self._name is None or given is None:
            return [given.constant or "" if given else PROFILE_UPDATED] * len(chunk)
        names = self._name(chunk, bad)
        _refuse_missing(names, bad, "no event name")
        return [given.rename.get(name, name) for name in names] if given.rename else names

    def _times(self, chunk: Chunk, bad: Bad) -> list[int]:
        if self._time is None:
            return [self._first_import_ms] * len(chunk)
        times, latest = self._time(chunk, bad), self._limits.latest_ms
        for place, at in enumerate(times):
            if at is MISSING:
                times[place] = self._first_import_ms
                if self._mapping.rows == "events":
                    bad.add(place, "no time")
            elif at.__class__ is int and not 0 <= at <= latest:
                bad.add(place, "the time is before 1970 or in the future")
        return times

    def _money(self, chunk: Chunk, names: list[str], bad: Bad) -> list[int]:
        given = self._mapping.value
        if given is None or self._value is None:
            return [0] * len(chunk)
        fens = [0 if fen is MISSING else fen for fen in self._value(chunk, bad)]
        if given.names is not None:
            carrying = frozenset(given.names)
            fens = [fen if name in carrying else 0 for fen, name in zip(fens, names, strict=True)]
        if given.refunds:
            refunds = frozenset(given.refunds)
            fens = [
                -abs(fen) if name in refunds and fen.__class__ is int else fen
                for fen, name in zip(fens, names, strict=True)
            ]
        return fens

    def _ends(self, chunk: Chunk, bad: Bad) -> list[str]:
        if self._end is None:
            return [self._mapping.end] * len(chunk)
        return [self._mapping.end if end is MISSING else end for end in self._end(chunk, bad)]

    def _event_ids(self, chunk: Chunk, ordinals: list[int], bad: Bad) -> list[str]:
        """A row with an id of its own is one event however often it stands in the file."""
        mapping, digest = self._mapping.id, xxhash.xxh3_128_hexdigest
        if not self._row_id:
            return [
                digest(f"{mapping}\n{ordinal}\n{row.content}".encode())
                for row, ordinal in zip(chunk.rows, ordinals, strict=True)
            ]
        columns = [cells(chunk, bad) for cells in self._row_id if cells is not None]
        for column in columns:
            _refuse_missing(column, bad, f"no value in {', '.join(self._mapping.row_id)}")
        return [digest("\x1f".join([mapping, *map(str, row)]).encode()) for row in zip(*columns, strict=True)]

    def _extras(self, chunk: Chunk, bad: Bad) -> list[dict[str, Any]] | None:
        """What rows say beyond the columns named: the JSON object and the rest; None when there can be nothing."""
        extras: list[dict[str, Any]] | None = None
        if self._extra is not None:
            extras = [said if isinstance(said, dict) else {} for said in self._extra(chunk, bad)]
        if self._mapping.rest == "drop":
            return extras
        rests = list(map(self._rest, chunk.values))
        return rests if extras is None else [extra | rest for extra, rest in zip(extras, rests, strict=True)]

    def _property_texts(self, chunk: Chunk, extras: list[dict[str, Any]] | None, bad: Bad) -> list[str]:
        """JSON objects, put together from members that were encoded when their cell was first read."""
        columns = self._properties.columns(chunk, bad)
        if extras is not None and self._mapping.rest != "traits":
            named = self._mapping.properties.keys()
            columns.append([_encode({k: v for k, v in e.items() if k not in named}).decode()[1:-1] for e in extras])
        if not columns:
            return ["{}"] * len(chunk)
        texts = [f"{{{','.join([m for m in row if m and m.__class__ is str])}}}" for row in zip(*columns, strict=True)]
        bytes_max = self._limits.event_bytes_max
        for place, text in enumerate(texts):
            if len(text) * 4 > bytes_max and (size := len(text.encode())) > bytes_max:
                bad.add(place, f"{size} bytes of properties where an event has at most {bytes_max}")
        return texts

    def _effects(self, chunk: Chunk, extras: list[dict[str, Any]] | None, bad: Bad) -> list[Effects | None]:
        if self._mapping.rest != "traits" and not any(self._profile):
            return [None] * len(chunk)
        traits, once, touches, tags = (fields.objects(chunk, bad) for fields in self._profile)
        if self._mapping.rest == "traits" and extras is not None:
            traits = [extra | stated for extra, stated in zip(extras, traits, strict=True)]
        return [
            Effects(
                set=traits[place],
                set_once=once[place],
                touch={name: str(value) for name, value in touches[place].items()},
                tags_add=[str(tag) for tag in tags[place].get("tags", ())],
            )
            if traits[place] or once[place] or touches[place] or tags[place]
            else None
            for place in range(len(chunk))
        ]

    def _identifier_cells(self) -> list[tuple[str, Cells]]:
        found = []
        for item in self._mapping.identifiers:
            cells = self._columns.cells(item.column, _key_reader(item.kind, item.prefix), optional=item.optional)
            if cells is not None:
                found.append((item.kind, cells))
        if not found:
            columns = [item.column for item in self._mapping.identifiers]
            raise self._columns.missing([name for c in columns for name in ([c] if isinstance(c, str) else c)])
        return found

    def _time_cells(self) -> Cells | None:
        time = self._mapping.time
        if time is None:
            return None
        reader = time_reader(time.format, ZoneInfo(time.zone) if time.zone else self._zone)
        return self._columns.cells(time.column, reader, optional=time.optional)

    def _value_cells(self) -> Cells | None:
        value = self._mapping.value
        if value is None:
            return None
        return self._columns.cells(value.column, money_reader(value.unit), optional=value.optional)

    def _fields(self, fields: dict[str, Field], as_json: bool = False) -> _Fields:
        cells: dict[str, tuple[Cells, bool]] = {}
        constants: dict[str, Any] = {}
        for name, field in fields.items():
            if field.column is None:
                constants[name] = _member(name, plain)(field.constant) if as_json else field.constant
                continue
            reader = field_reader(field, self._zone)
            found = self._columns.cells(field.column, _member(name, reader) if as_json else reader, field.optional)
            if found is not None:
                cells[name] = (found, field.required)
        return _Fields(constants, cells)


class _Fields:
    """A group of named values: constants and cells."""

    def __init__(self, constants: dict[str, Any], cells: dict[str, tuple[Cells, bool]]) -> None:
        self._constants = constants
        self._cells = cells

    def __bool__(self) -> bool:
        return bool(self._constants or self._cells)

    def columns(self, chunk: Chunk, bad: Bad) -> list[list[Any]]:
        """The values by column, constants first."""
        columns = [[value] * len(chunk) for value in self._constants.values()]
        for name, (cells, required) in self._cells.items():
            said = cells(chunk, bad)
            if required:
                _refuse_missing(said, bad, f"no {name}")
            columns.append(said)
        return columns

    def objects(self, chunk: Chunk, bad: Bad) -> list[dict[str, Any]]:
        """The values by row, without what is missing."""
        if not self:
            return [{}] * len(chunk)
        names = [*self._constants, *self._cells]
        return [
            {name: value for name, value in zip(names, row, strict=True) if value is not MISSING}
            for row in zip(*self.columns(chunk, bad), strict=True)
        ]


def _refuse_missing(column: list[Any], bad: Bad, reason: str) -> None:
    if MISSING in column:
        for place, value in enumerate(column):
            if value is MISSING:
                bad.add(place, reason)


def _key_reader(kind: str, prefix: str) -> Reader:
    def read(cell: Any) -> str | None:
        text = plain(cell)
        return clean_key(kind, f"{prefix}{text}" if prefix else text)

    return read


def _member(name: str, reader: Reader) -> Reader:
    """Reads a cell as a member of a JSON object, `"name":value`."""
    start = _encode(name).decode() + ":"
    return lambda cell: start + _encode(reader(cell)).decode()


def _text(cell: Any) -> str:
    return str(plain(cell))


def _event_name(cell: Any) -> str:
    name = _text(cell)
    if len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise BadCell("no usable event name")
    return name


def _json_object(cell: Any) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(cell) if isinstance(cell, str) else cell
    except (msgspec.DecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadCell("the JSON column holds no object")
    return found
