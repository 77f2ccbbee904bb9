"""Orders that cost something else than the list says: quoted, and locked with coupon and points, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from siyu.errors import SiyuError
from siyu.shop.placing import Asked, Tools, place_all
from siyu.shop.request import OrderView


async def needs_quote(connection: Any, asked: Sequence[Asked]) -> set[UUID]:
    """Numbers of the requests that cannot be made at list price."""
    return set()


async def place_quoted(connection: Any, asked: Asked, tools: Tools, now: datetime) -> OrderView:
    """Make one order. Raises what refuses it."""
    (answer,) = await place_all(connection, [asked], tools, now)
    if isinstance(answer, SiyuError):
        raise answer
    return answer
