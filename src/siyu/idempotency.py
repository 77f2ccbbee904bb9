"""The header by which a caller may send a write twice: every write of the API takes it (decision 0491)."""

from __future__ import annotations

from typing import Annotated

from litestar.params import Parameter

Key = Annotated[str | None, Parameter(header="Idempotency-Key", min_length=1, max_length=255)]
"""A write is done once for each of these (`store.replies`)."""
