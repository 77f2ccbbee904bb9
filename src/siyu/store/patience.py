"""Work that waits for an engine: for commands that take minutes, in which an engine may be started again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from siyu.errors import EngineUnavailable

T = TypeVar("T")
SECONDS_MAX: Final = 120.0
_PAUSE_SECONDS: Final = 0.5
_WORKED_SECONDS: Final = 20.0
"""Work that took longer before it failed had found its engine: the wait begins anew."""


async def patiently(work: Callable[[], Awaitable[T]], seconds_max: float = SECONDS_MAX) -> T:
    """Do `work`, again and again while an engine does not answer. For what may be done twice.

    Raises EngineUnavailable when it stays away for `seconds_max`."""
    clock = asyncio.get_running_loop().time
    deadline = None
    while True:
        began = clock()
        try:
            return await work()
        except EngineUnavailable:
            failed = clock()
            if deadline is None or failed - began > _WORKED_SECONDS:
                deadline = failed + seconds_max
            if failed > deadline:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)
