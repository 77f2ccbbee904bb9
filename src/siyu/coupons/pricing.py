"""What pricing and locking need of their process."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from siyu.coupons.code import Random, Vault
from siyu.ledger import Ledger
from siyu.store.clickhouse import EventStore


class Article(NamedTuple):
    """What the shop knows of a SKU."""

    collections: Sequence[str]
    price_fen: int | None
    """Of one unit, at the end that was asked for; None: it is not sold any more."""


ArticlesOf = Callable[[Any, Sequence[str], str], Awaitable[Mapping[str, Article]]]
"""What the shop knows of articles: (raw connection, skus, end) → sku → article; unknown ones are left out."""


class Pricing(NamedTuple):
    """One per process."""

    events: EventStore
    ledger: Ledger
    zone: ZoneInfo
    secret: bytes
    points_per_yuan: int = 100
    """Points that pay one yuan."""
    articles: ArticlesOf | None = None
    random: Random = os.urandom
    new_id: Callable[[], UUID] = uuid4

    @property
    def vault(self) -> Vault:
        """Hashes and opens codes."""
        return Vault(self.secret)


class Turn(NamedTuple):
    """One transaction that prices, gives or locks."""

    connection: Any
    """Raw asyncpg."""
    pricing: Pricing
    now: datetime
    order_id: str | None = None
    """The order that is priced: it is not one the person had before."""
