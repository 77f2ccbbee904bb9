"""What an address with a part of the wrong type is answered."""

from __future__ import annotations

from uuid import UUID

import httpx
import pytest
from litestar import Litestar, get
from litestar.exceptions import HTTPException

from siyu.api.problems import on_http_exception

NUMBER = "00000000-0000-4000-8000-000000000000"


@get("/api/things/{number:uuid}/parts/{part:int}")
async def part_of(number: UUID, part: int) -> dict[str, object]:
    return {"number": number, "part": part}


@pytest.mark.parametrize(
    ("path", "wrong", "detail", "chinese"),
    [
        (f"{NUMBER}/parts/x", "part", "'x' in the address is not a whole number.", "地址中的“x”不是整数。"),
        ("u-17/parts/3", "number", "'u-17' in the address is not an id (a UUID).", "地址中的“u-17”不是编号（UUID）。"),
        ("u-17/parts", None, "Not Found", None),
        ("u-17/other/3", None, "Not Found", None),
    ],
)
async def test_the_part_that_is_wrong_is_named(path: str, wrong: str | None, detail: str, chinese: str | None) -> None:
    app = Litestar([part_of], exception_handlers={HTTPException: on_http_exception})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://siyu") as client:
        assert (await client.get(f"/api/things/{NUMBER}/parts/3")).json() == {"number": NUMBER, "part": 3}
        answer = await client.get(f"/api/things/{path}")
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem.get("path")) == (404, "NOT_FOUND", wrong)
    assert (problem["detail"], problem.get("detail_zh")) == (detail, chinese)
