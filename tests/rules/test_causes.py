"""From a line of a statement to its reason."""

from __future__ import annotations

import pytest

from siyu.console.causes import leads


@pytest.mark.parametrize(
    ("cause", "by", "expected"),
    [
        ("event/app/e 1/2", "rule/review", [("Why", "/console/earn-rules/review/why?q=P&event=e+1%2F2")]),
        ("order/O1", "rule/pay", [("Rule", "/console/earn-rules/pay"), ("The order", "/console/orders?q=O1")]),
        ("subject/x", "rule/a", [("Rule", "/console/earn-rules/a")]),
        ("order/O1", "lock", [("The order", "/console/orders?q=O1")]),
        ("mall/gift?", "mall", [("Why", "/console/why/mall/gift%3F?q=P")]),
        ("checkin/2026-06-01/daily", "checkin", [("Check-in", "/console/persons/P/membership?month=2026-06")]),
        ("birthday/2026", "birthday", [("Person", "/console/persons/P")]),
        ("lock/7", "lock", []),
        (None, "test", []),
        ("order/", "api", []),
    ],
)
def test_leads(cause: str | None, by: str, expected: list[tuple[str, str]]) -> None:
    assert [tuple(one) for one in leads(cause, by, "P")] == expected
