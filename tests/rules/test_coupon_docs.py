"""docs/coupons.md says everything a caller meets: fields, codes, events, calls."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from siyu.collect.catalogue import CATALOGUE
from siyu.console.http_counter import REASONS
from siyu.coupons.http import routes
from siyu.coupons.http_manage import routes as promotion_routes
from siyu.coupons.offers import UNUSABLE
from siyu.coupons.template import PriceRule, Template

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "coupons.md").read_text()
CODES = re.compile(r'(?:Refused\(|code = |return |else )"([A-Z]+_[A-Z_]+|LOCKED|ENDED|INSUFFICIENT)"')


@pytest.mark.parametrize("field", sorted({*Template.__struct_fields__, *PriceRule.__struct_fields__} - {"id"}))
def test_every_field_is_documented(field: str) -> None:
    assert f"`{field}`" in PAGE or f'"{field}"' in PAGE


def test_every_code_is_documented() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "src" / "siyu" / "coupons").glob("*.py"))
    codes = {*CODES.findall(source), *UNUSABLE.values(), *(set(REASONS) - {"PERSON_NEEDED"})}
    assert len(codes) > 15
    assert sorted(code for code in codes if f"`{code}`" not in PAGE) == []


def test_every_event_and_call_is_documented() -> None:
    ours = ("issued", "claimed", "locked", "released", "redeemed", "returned", "expired", "revoked")
    known = {entry.name for entry in CATALOGUE}
    for name in (f"coupon.{word}" for word in ours):
        assert name in known and f"`{name}`" in PAGE
    paths = {path for handler in (*routes, *promotion_routes) for path in handler.paths}
    plain = {re.sub(r"\{(\w+):\w+\}", r"{}", path) for path in paths}
    written = re.sub(r"\{\w+\}", "{}", PAGE)
    assert sorted(path for path in plain if path not in written and not path.endswith("codes.csv")) == []
