"""A mapping: how the columns of a file become identifiers, events and traits. The grammar of docs/import.md."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from siyu.collect.identifiers import known_kind
from siyu.errors import SiyuError


class InvalidMapping(SiyuError):
    """A mapping file that cannot be used; the message names the place."""

    code = "IMPORT_MAPPING_INVALID"
    status = 422


Column = str | list[str]
"""A column's name, or several names of which the file has one."""

Type = Literal["text", "integer", "number", "boolean", "time", "money", "list", "json"]


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the file is written. Everything unset is detected."""

    format: Literal["csv", "ndjson", "parquet"] | None = None
    delimiter: str | None = None
    """One character, or `blank` for runs of blanks and tabs; unset: the first of `,`, tab, `;` in the first line."""
    header: bool = True
    columns: list[str] | None = None
    """Names of the columns where the file has no header."""
    encoding: str | None = None
    empty: tuple[str, ...] = ("", "NULL", "null", "\\N")
    """Texts that mean: no value."""


class Identifier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column that names the person."""

    column: Column
    kind: str
    prefix: str = ""
    optional: bool = False
    """The file may lack the column."""


class Name(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The event name: a constant, or a column with an optional renaming."""

    constant: str | None = None
    column: Column | None = None
    rename: dict[str, str] = {}


class Time(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When it happened."""

    column: Column
    format: str = "iso"
    """`iso`, `any` (also numbers since 1970, and `2025/5/2 9:05`), `epoch_s`, `epoch_ms`, `excel` (days since
    1899-12-30), or a strptime pattern."""
    zone: str | None = None
    """IANA zone of times that state none; unset = the brand's zone."""
    optional: bool = False


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The money of the event, which becomes `value_fen`."""

    column: Column
    unit: Literal["fen", "yuan"] | int = "yuan"
    """`fen`, `yuan` (100 fen), or how many fen one unit is."""
    refunds: list[str] = []
    """Event names whose money counts as negative."""
    names: list[str] | None = None
    """Event names that carry money; unset = all."""
    optional: bool = False


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A property or trait: a typed column, or a constant."""

    column: Column | None = None
    constant: Any = None
    type: Type = "text"
    format: str = "iso"
    zone: str | None = None
    unit: Literal["fen", "yuan"] | int = "yuan"
    separator: str = ","
    required: bool = False
    """A row without a value is refused."""
    optional: bool = False
    """The file may lack the column."""


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole mapping file."""

    id: str
    rows: Literal["events", "persons"] = "events"
    """`persons`: rows state traits and tags; the event stored is `profile.updated`."""
    about: str = ""
    about_zh: str = ""
    end: str = ""
    end_column: Column | None = None
    file: File = File()
    identifiers: list[Identifier]
    name: Name | None = None
    time: Time | None = None
    value: Value | None = None
    row_id: list[str] = []
    """Columns that identify a row. Set: rows equal in them are one event. Unset: the whole row and its ordinal."""
    properties: dict[str, Field] = {}
    traits: dict[str, Field] = {}
    traits_once: dict[str, Field] = {}
    touch: dict[str, Field] = {}
    tags: Field | None = None
    rest: Literal["drop", "properties", "traits"] = "drop"
    """What becomes of columns the mapping does not name."""
    json_column: Column | None = None
    """A column holding a JSON object of further properties (of traits with `rest = "traits"`)."""

    @property
    def source(self) -> str:
        """The `source` of imported events: the scope within which event ids are unique."""
        return "import:" + self.id


_UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")
_TOUCHES = frozenset((*_UTM, "scene", "state", "inviter", "referrer", "click_id"))


def ready_mappings() -> dict[str, Mapping]:
    """The mappings that come with Siyu, by id."""
    folder = resources.files("siyu.importer") / "mappings"
    found = [
        parse_mapping(item.read_text("utf-8"), item.name) for item in folder.iterdir() if item.name.endswith(".toml")
    ]
    return {mapping.id: mapping for mapping in sorted(found, key=lambda mapping: mapping.id)}


def load_mapping(name: str) -> Mapping:
    """A ready mapping by its id, or a TOML file by its path. Raises InvalidMapping."""
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        try:
            return parse_mapping(path.read_text("utf-8-sig"), str(path))
        except OSError as error:
            raise InvalidMapping(f"The mapping {path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise InvalidMapping(f"The mapping {path} is not UTF-8 text.") from error
    ready = ready_mappings()
    if name not in ready:
        raise InvalidMapping(
            f"There is no mapping {name!r}. Ready: {', '.join(ready)}; or give the path of a .toml file."
        )
    return ready[name]


def parse_mapping(text: str, origin: str) -> Mapping:
    """A mapping from TOML. `origin` is named in errors. Raises InvalidMapping."""
    try:
        mapping = msgspec.convert(tomllib.loads(text), Mapping)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InvalidMapping(f"{origin}: {error}") from error
    if problems := _problems(mapping):
        raise InvalidMapping(f"{origin}: {'; '.join(problems)}")
    return mapping


def _problems(mapping: Mapping) -> list[str]:
    """Everything wrong that types do not catch."""
    found = []
    if not mapping.id or not mapping.id.replace("-", "").replace("_", "").isalnum() or len(mapping.id) > 40:
        found.append("`id` is 1 to 40 letters, digits, `-` and `_`")
    if not mapping.identifiers:
        found.append("`identifiers` names at least one column")
    found += [f"`{item.kind}` is no identifier kind" for item in mapping.identifiers if not known_kind(item.kind)]
    if mapping.rows == "events":
        if mapping.time is None:
            found.append('`time` is needed for rows = "events"')
        if mapping.name is None or (mapping.name.constant is None) == (mapping.name.column is None):
            found.append("`name` has either `constant` or `column`")
    elif mapping.name is not None or mapping.value is not None:
        found.append('`name` and `value` are for rows = "events"')
    delimiter = mapping.file.delimiter
    if delimiter is not None and len(delimiter) != 1 and delimiter != "blank":
        found.append("`file.delimiter` is one character or `blank`")
    if not mapping.file.header and not mapping.file.columns:
        found.append("`file.columns` is needed where `file.header` is false")
    found += [f"`touch.{name}` is unknown" for name in mapping.touch if name not in _TOUCHES]
    found += [problem for place, field in _fields(mapping) for problem in _field_problems(place, field)]
    if mapping.time is not None and mapping.time.zone is not None:
        found += _zone_problem("time", mapping.time.zone)
    if mapping.value is not None and isinstance(mapping.value.unit, int) and mapping.value.unit < 1:
        found.append("`value.unit` is at least 1 fen")
    return found


def _fields(mapping: Mapping) -> list[tuple[str, Field]]:
    groups = {
        "properties": mapping.properties,
        "traits": mapping.traits,
        "traits_once": mapping.traits_once,
        "touch": mapping.touch,
    }
    fields = [(f"{group}.{name}", field) for group, items in groups.items() for name, field in items.items()]
    return fields + ([("tags", mapping.tags)] if mapping.tags is not None else [])


def _field_problems(place: str, field: Field) -> list[str]:
    if (field.column is None) == (field.constant is None):
        return [f"`{place}` has either `column` or `constant`"]
    return [] if field.zone is None else _zone_problem(place, field.zone)


def _zone_problem(place: str, zone: str) -> list[str]:
    try:
        ZoneInfo(zone)
    except (OSError, ValueError, KeyError):
        return [f"`{place}.zone`: {zone!r} is no time zone"]
    return []
