"""Pools of coupon codes for operators: made in steps that show how far they are, brought from a file, downloaded."""

from __future__ import annotations

import asyncio
import csv
import io
import secrets
from typing import Any, Final, NamedTuple

from litestar import Response, get, post
from litestar.datastructures import UploadFile
from litestar.response import Stream

from siyu.console.coupon_form import ID_PATTERN
from siyu.console.fields import NEEDED, TOO_BIG, Fields
from siyu.console.http_coupons import show
from siyu.console.i18n import mark as _
from siyu.console.page import SECURITY_HEADERS
from siyu.console.visit import AnyRequest, Visit
from siyu.coupons import managing, template_records
from siyu.coupons.http_manage import codes_csv
from siyu.coupons.managing import CODES_MAX, PoolTaken
from siyu.coupons.pricing import Pricing
from siyu.coupons.request import TemplateNotFound
from siyu.store.postgres import Database
from siyu.store.replies import Asked, once

STEP: Final = 50_000
"""Codes of one step: about half a second."""
BROUGHT_MAX: Final = 200_000
HEADS: Final = ("code", "codes", "coupon", "coupon_code", "券码", "优惠码", "兑换码")
"""What a first line may say that is no code."""
TAKEN: Final = _("A pool of this name belongs to another coupon.")
UNREADABLE: Final = _("This file is no text: save it as CSV (UTF-8).")
BROUGHT: Final = _("%(added)s codes are new; %(left)s were left out: known already, or not 4 to 64 characters.")


class Job(NamedTuple):
    """Codes that are being made."""

    number: str
    """The template."""
    pool: str
    wanted: int
    job: str
    """Tells it from other jobs: its steps are done once."""
    done: int = 0


@post("/coupons/{number:str}/pools/make", include_in_schema=False, status_code=200)
async def make(request: AnyRequest, number: str, visit: Visit, db: Database) -> Response[str]:
    """Begin to make codes: what was asked for is checked, then the page asks for one step after the other."""
    visit.operator.require("persons")
    fields = Fields(await request.form(), visit.face.text)
    pool = fields.matching("pool", ID_PATTERN)
    count = fields.whole("count", 1, CODES_MAX, needed=True) or 0
    if not fields.wrong:
        async with db.driver() as connection:
            if await template_records.find_pool(connection, pool) not in (None, number):
                fields.refuse("pool", TAKEN)
    return _progress(visit, Job(number, pool, count, secrets.token_urlsafe(12)), fields.wrong)


def _progress(visit: Visit, job: Job, wrong: dict[str, str]) -> Response[str]:
    # 200 also for what is wrong: htmx shows it where the progress would stand.
    return visit.page("pool_progress.html", **job._asdict(), wrong=wrong)


@post("/coupons/{number:str}/pools/step", include_in_schema=False, status_code=200)
async def step(request: AnyRequest, number: str, visit: Visit, db: Database, pricing: Pricing) -> Response[str]:
    """Make the next codes; a step that is sent twice is done once."""
    visit.operator.require("persons")
    fields = Fields(await request.form(), visit.face.text)
    pool, job = fields.matching("pool", ID_PATTERN), fields.matching("job", r"[\w-]{8,40}\Z")
    count = fields.whole("count", 1, CODES_MAX, needed=True) or 0
    done = fields.whole("done", 0, count, needed=True) or 0
    size = min(STEP, count - done)
    if not fields.wrong and size:
        fresh = await asyncio.to_thread(managing.fresh_codes, pricing, size)

        async def fill(connection: Any) -> int:
            await managing.open_pool(connection, number, pool, visit.moment.now)
            await managing.fill(connection, pool, number, fresh)
            return size

        asked = Asked(f"console codes {job} {done}", f"console codes {number} {pool}", [done, size])
        try:
            done += await once(db, asked, int, fill, lambda: visit.moment.now)
        except PoolTaken:
            fields.refuse("pool", TAKEN)
    return _progress(visit, Job(number, pool, count, job, done), fields.wrong)


@post("/coupons/{number:str}/pools/import", include_in_schema=False, status_code=200)
async def bring(request: AnyRequest, number: str, visit: Visit, db: Database, pricing: Pricing) -> Response[str]:
    """Take codes from a file."""
    visit.operator.require("persons")
    form = await request.form()
    fields = Fields(form, visit.face.text)
    pool, file = fields.matching("import_pool", ID_PATTERN), form.get("file")
    codes: list[str] | None = []
    if isinstance(file, UploadFile) and file.filename:
        codes = codes_of(await file.read())
        if codes is None:
            fields.refuse("file", UNREADABLE)
    if codes == []:
        fields.refuse("file", NEEDED)
    elif codes is not None and len(codes) > BROUGHT_MAX:
        fields.refuse("file", TOO_BIG, BROUGHT_MAX)
    if fields.wrong or codes is None:
        return await show(visit, db, number, wrong=fields.wrong, values=fields.values)
    found = codes

    async def put(connection: Any) -> list[int]:
        await managing.open_pool(connection, number, pool, visit.moment.now)
        return list(await managing.bring(connection, pricing, pool, number, found))

    try:
        added, left = await once(db, Asked(None, "console import", pool), list[int], put, lambda: visit.moment.now)
    except PoolTaken:
        fields.refuse("import_pool", TAKEN)
        return await show(visit, db, number, wrong=fields.wrong, values=fields.values)
    written = {"added": visit.format.number(added), "left": visit.format.number(left)}
    return await show(visit, db, number, said=visit.face.text(BROUGHT) % written)


def codes_of(body: bytes) -> list[str] | None:
    """The first column of a file, without its heading; None when it is no text."""
    text = text_of(body)
    if text is None:
        return None
    rows = (row[0].strip() for row in csv.reader(io.StringIO(text)) if row)
    found = [code for code in rows if code]
    return found[1:] if found and found[0].lower() in HEADS else found


def text_of(body: bytes) -> str | None:
    """A file as text, in UTF-8 or as spreadsheets of this market write it; None when it is none."""
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = body.decode(encoding)
        except UnicodeDecodeError:
            continue
        return None if "\x00" in text else text
    return None


@get("/coupons/{number:str}/pools/{pool:str}/codes.csv", include_in_schema=False)
async def download(number: str, pool: str, visit: Visit, db: Database, pricing: Pricing) -> Stream:
    """The codes of a pool for the printer."""
    visit.operator.require("persons")
    async with db.driver() as connection:
        if await template_records.find_pool(connection, pool) != number:
            raise TemplateNotFound(f"The template {number[:80]!r} has no pool {pool[:80]!r}.")
    headers = SECURITY_HEADERS | {"content-disposition": f'attachment; filename="codes-{pool}.csv"'}
    return Stream(codes_csv(db, pricing, pool), media_type="text/csv; charset=utf-8", headers=headers)


routes: list[Any] = [make, step, bring, download]
