"""The archive of an export: a zip of JSON files, written piece by piece so that its size does not matter.

Pure but for the bytes it hands out: the caller feeds it one file after another and passes on what `take` returns.
"""

from __future__ import annotations

import io
import zipfile
from datetime import datetime
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


class _Outlet(io.RawIOBase):
    """A file that can only be appended to, and keeps nothing that was taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


class Archive:
    """A zip being written."""

    def __init__(self, at: datetime) -> None:
        """`at` becomes the time of every file in it."""
        self._outlet = _Outlet()
        self._zip = zipfile.ZipFile(self._outlet, "w", zipfile.ZIP_DEFLATED)
        self._time = (max(at.year, 1980), at.month, at.day, at.hour, at.minute, at.second)

    def add(self, name: str, content: Any) -> bytes:
        """Write `content` as the JSON file `name`; the bytes of the zip so far not handed out."""
        info = zipfile.ZipInfo(name, self._time)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        self._zip.writestr(info, msgspec.json.format(_encode(content), indent=2))
        return self._outlet.take()

    def finish(self) -> bytes:
        """Close the zip; its last bytes."""
        self._zip.close()
        return self._outlet.take()
