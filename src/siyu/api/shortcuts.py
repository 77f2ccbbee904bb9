"""The reads that a shop asks for all the time, past the framework.

Half of the CPU of a person look-up was the framework's way to the handler (measured, docs/benchmarks.md). A shortcut
calls the very function of the handler, with what the request names, when there is nothing to say but the answer: a GET
with a live token and well-formed parameters. Everything else, every error included, takes the ordinary way.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from litestar.handlers import HTTPRouteHandler

from siyu.api.access import may_call
from siyu.collect.actions import KeyRing

_PART: Final = re.compile(r"\{(\w+):str\}")
_encode: Final = msgspec.json.Encoder().encode

Read = Callable[[str], Any]
"""A parameter's value from its text. Raises ValueError when the framework should have a look at it."""


class Shortcut(NamedTuple):
    """A handler, and how its parameters in the query are read."""

    handler: HTTPRouteHandler
    required: Mapping[str, Read]
    optional: Mapping[str, Read]


class _Way(NamedTuple):
    pattern: re.Pattern[str]
    shortcut: Shortcut
    fixed: dict[str, Any]
    """What the handler gets by injection."""


class Shortcuts:
    """`services`: what handlers may ask for by name."""

    def __init__(self, shortcuts: Sequence[Shortcut], services: Mapping[str, Any], ring: KeyRing) -> None:
        self._ring = ring
        self._ways = [_way(one, services) for one in shortcuts]

    async def answer(self, scope: Any) -> bytes | None:
        """The body of a 200, or None: then the framework answers."""
        if scope["method"] != "GET":
            return None
        for way in self._ways:
            if (found := way.pattern.fullmatch(scope["path"])) is not None:
                asked = _asked(way.shortcut, scope["query_string"])
                if asked is None:
                    return None
                try:
                    if not await self._may(scope["headers"], way.shortcut.handler):
                        return None
                    return _encode(await way.shortcut.handler.fn(**way.fixed, **found.groupdict(), **asked))
                except Exception:  # read again the ordinary way, which names the error and logs what is a defect
                    return None
        return None

    async def _may(self, headers: Sequence[tuple[bytes, bytes]], handler: HTTPRouteHandler) -> bool:
        given = [value for name, value in headers if name == b"authorization"]
        return len(given) == 1 and await may_call(self._ring, given[0].decode("latin-1"), handler)


def _way(shortcut: Shortcut, services: Mapping[str, Any]) -> _Way:
    (path,) = shortcut.handler.paths
    # A literal path is not taken for a person's id.
    pattern = re.compile(_PART.sub(r"(?P<\1>[0-9a-f-]{36})", path))
    names = inspect.signature(shortcut.handler.fn).parameters
    return _Way(pattern, shortcut, {name: services[name] for name in names if name in services})


def _asked(shortcut: Shortcut, query: bytes) -> dict[str, Any] | None:
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), errors="strict")
        given = dict(pairs)
        if len(given) != len(pairs) or not shortcut.required.keys() <= given.keys():
            return None
        readers = {**shortcut.required, **shortcut.optional}
        return {name: readers[name](value) for name, value in given.items()}
    except (ValueError, KeyError):
        return None
