"""docs/settings.md and docs/engines.md name every setting and every error code of engines and supervisor."""

from __future__ import annotations

from pathlib import Path

import pytest

from siyu import serve
from siyu.errors import EngineUnavailable, SiyuError
from siyu.settings import Settings
from siyu.store import clickhouse, engines, processes

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_setting_is_documented_with_its_default(name: str) -> None:
    row = next(line for line in (DOCS / "settings.md").read_text().splitlines() if f"`SIYU_{name.upper()}`" in line)
    default = getattr(Settings(), name)
    shown = "unset" if default is None else f"`{int(default) if isinstance(default, bool) else default}`"
    assert shown in row


def _codes() -> list[str]:
    classes = [
        value
        for module in (serve, clickhouse, engines, processes)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, SiyuError) and value is not SiyuError
    ]
    return sorted({found.code for found in (*classes, EngineUnavailable)})


@pytest.mark.parametrize("code", _codes())
def test_error_code_is_documented(code: str) -> None:
    assert f"`{code}`" in (DOCS / "engines.md").read_text()
