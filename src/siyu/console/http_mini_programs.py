"""Mini-programs (小程序), for operators: add one, ask WeChat whether appid and secret are right."""

from __future__ import annotations

from typing import Any, Final

from litestar import Response, get, post

from siyu.collect.parsed import Limits
from siyu.connectors.miniprogram import actions, records
from siyu.connectors.miniprogram.actions import APPID_PATTERN, SECRET_PATTERN, Setting, Wanted
from siyu.connectors.miniprogram.wechat import WeChat
from siyu.console.fields import Fields
from siyu.console.i18n import mark as _
from siyu.console.page import redirect
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import NotFound, SiyuError
from siyu.settings import Settings
from siyu.store.postgres import Database

WRONG_APPID: Final = _("An appid begins with wx; copy it from the platform.")
WRONG_SECRET: Final = _("An AppSecret has 16 to 128 letters and digits; copy it from the platform.")
TAKEN: Final = _("This mini-program is connected already.")
SAID: Final = {
    "made": _("The mini-program was added. Ask WeChat now whether the secret is right."),
    "changed": _("Saved."),
    "right": _("WeChat takes appid and secret."),
    "removed": _("The mini-program and its secret were removed."),
}


async def _page(
    visit: Visit, db: Database, *, fields: Fields | None = None, chosen: str = "", said: str = "", problem: str = ""
) -> Response[str]:
    async with db.driver() as connection:
        known = await records.mini_programs(connection)
    one = next((each for each in known if each.appid == chosen), None)
    typed = {name: value for name, value in fields.values.items() if name != "secret"} if fields else {}
    kept = {"appid": one.appid, "label": one.label, "active": "1" if one.active else ""} if one else {"active": "1"}
    return visit.page(
        "mini_programs.html", programs=known, one=one, values=typed or kept, wrong=fields.wrong if fields else {},
        said=visit.face.text(SAID[said]) if said in SAID else None, problem=problem,
        status=422 if fields and fields.wrong else 200,
    )  # fmt: skip


@get("/mini-programs", include_in_schema=False)
async def mini_programs(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """All of them; `edit`: one in the form."""
    return await _page(
        visit, db, chosen=request.query_params.get("edit", ""), said=request.query_params.get("said", "")
    )


@post("/mini-programs", include_in_schema=False, status_code=200)
async def store(request: AnyRequest, visit: Visit, db: Database, secret: bytes) -> Response[str]:
    """Add a mini-program, or change one; without a secret typed the one that is kept stays."""
    visit.operator.require("sources")
    fields = Fields(await request.form(), visit.face.text)
    appid, there = fields.matching("appid", APPID_PATTERN.removesuffix("$") + r"\Z", WRONG_APPID), fields.flag("there")
    typed, label, active = fields.raw("secret"), fields.text("label", 50), fields.flag("active")
    if typed or not there:
        fields.matching("secret", SECRET_PATTERN.removesuffix("$") + r"\Z", WRONG_SECRET)
    async with db.driver() as connection:
        before = await records.find(connection, appid) if appid else None
        if there and before is None:
            raise NotFound("There is no such mini-program.")
        if before is not None and not there:
            fields.refuse("appid", TAKEN)
        if not fields.wrong:
            wanted = Wanted(secret=typed or None, label=label, active=active)
            await actions.put(connection, appid, wanted, secret, visit.moment.now)
            return redirect(f"/console/mini-programs?said={'changed' if there else 'made'}")
    return await _page(visit, db, fields=fields, chosen=appid if there else "")


@post("/mini-programs/{appid:str}/check", include_in_schema=False, status_code=200)
async def check(
    *, appid: str, visit: Visit, db: Database, wechat: WeChat, settings: Settings, secret: bytes
) -> Response[str]:
    """Ask WeChat now."""
    visit.operator.require("sources")
    setting = Setting(secret, Limits.of(settings), lambda: visit.moment.now)
    try:
        await actions.check(db, wechat, setting, appid)
    except SiyuError as error:
        return await _page(visit, db, problem=visit.said(error))
    return redirect("/console/mini-programs?said=right")


@post("/mini-programs/{appid:str}/remove", include_in_schema=False, status_code=200)
async def remove(appid: str, visit: Visit, db: Database) -> Response[str]:
    """Forget one and its secret."""
    visit.operator.require("sources")
    async with db.driver() as connection:
        await actions.remove(connection, appid)
    return redirect("/console/mini-programs?said=removed")


routes: list[Any] = [mini_programs, store, check, remove]
