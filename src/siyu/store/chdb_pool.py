"""Connections to the embedded ClickHouse engine (chDB), with the state each one is in.

Over HTTP every request brings its own database and settings, while a chDB connection keeps them. A lease therefore
brings a connection to exactly the state asked for before the statement runs, and throws it away when that fails.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any, Final

import chdb

_ALWAYS: Final = {"output_format_arrow_parallel_encoding": "0"}
"""The parallel encoder of Arrow answers can wait for itself for ever when blocks come faster than it encodes them
(chdb-io/chdb-core issue 212; in 26.5.0, mended after it). Decision 0004."""

_SETTING_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CHANGES_STATE: Final = re.compile(r"\s*(?:--[^\n]*\n|/\*.*?\*/|\s)*(?:SET|USE)\b", re.IGNORECASE | re.DOTALL)
_CODE: Final = re.compile(r"Code: (\d+)\.")


class QueryFailed(Exception):
    """The engine refused a statement; `number` is ClickHouse's error number."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


class _Connection:
    """One chDB connection and what has been set on it."""

    def __init__(self, address: str) -> None:
        self._raw = chdb.connect(address)
        self._database = "default"
        self._settings: dict[str, str] = {}

    def run(self, sql: str, answer_format: str, params: Mapping[str, str] | None = None) -> Any:
        try:
            return self._raw.query(sql, answer_format, params=dict(params or {}))
        except RuntimeError as error:
            message = str(error)
            number = _CODE.search(message)
            raise QueryFailed(int(number[1]) if number else 1002, message) from None

    def stands_in(self, database: str, settings: Mapping[str, str]) -> bool:
        """Whether `enter` would have nothing to do."""
        return database == self._database and {**_ALWAYS, **settings} == self._settings

    def enter(self, database: str, settings: Mapping[str, str]) -> None:
        """Select `database` and make `settings`, over those set always, the only ones that differ from the
        defaults."""
        if database != self._database:
            self.run(f"USE {_quoted(database, '`')}", "Null")
            self._database = database
        settings = {**_ALWAYS, **settings}
        if settings == self._settings:
            return
        changes = [f"{name} = DEFAULT" for name in self._settings if name not in settings]
        for name, value in settings.items():
            if not _SETTING_NAME.fullmatch(name):
                raise QueryFailed(115, f"Code: 115. DB::Exception: Unknown setting '{name[:100]}'. (UNKNOWN_SETTING)")
            if self._settings.get(name) != value:
                changes.append(f"{name} = {_quoted(value, chr(39))}")
        self.run("SET " + ", ".join(changes), "Null")
        self._settings = settings

    def close(self) -> None:
        self._raw.close()


class ChdbPool:
    """A bounded number of connections to one data folder; each runs one statement at a time."""

    def __init__(self, address: str, connections_max: int) -> None:
        self._address = address
        self._free: list[_Connection | None] = [None] * connections_max
        """Those not opened yet first, then the one that has rested longest."""
        self._changed = threading.Condition()

    def query(
        self, sql: str, answer_format: str, *, database: str, settings: Mapping[str, str], params: Mapping[str, str]
    ) -> Any:
        """Run one statement in `database` under `settings`; waits for a free connection. Raises QueryFailed."""
        connection = self._take(database, settings)
        keep = False
        try:
            connection = connection or _Connection(self._address)
            connection.enter(database, settings)
            answer = connection.run(sql, answer_format, params)
            # After an error the engine keeps the query's remains until the connection is used again, or closed.
            keep = not _CHANGES_STATE.match(sql)
            return answer
        finally:
            if not keep and connection is not None:
                connection.close()
                connection = None
            self._give_back(connection)

    def _take(self, database: str, settings: Mapping[str, str]) -> _Connection | None:
        """A connection in that very state if there is one: a change of state costs as much as a small statement."""
        with self._changed:
            self._changed.wait_for(lambda: self._free)
            for place in range(len(self._free) - 1, -1, -1):
                one = self._free[place]
                if one is not None and one.stands_in(database, settings):
                    return self._free.pop(place)
            return self._free.pop(0)

    def _give_back(self, connection: _Connection | None) -> None:
        with self._changed:
            self._free.insert(0 if connection is None else len(self._free), connection)
            self._changed.notify()

    def close(self) -> None:
        """Close the connections that are free now."""
        with self._changed:
            for connection in self._free:
                if connection is not None:
                    connection.close()
            self._free.clear()


def _quoted(text: str, quote: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(quote, "\\" + quote)
    return f"{quote}{escaped}{quote}"
