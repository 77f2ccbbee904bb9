"""The operator's own account, and for managers who else may sign in."""

from __future__ import annotations

from litestar import Response, get, post

from siyu.clock import Now
from siyu.console import actions, records
from siyu.console.i18n import mark as _
from siyu.console.operator import PERMISSIONS, ROLES
from siyu.console.page import redirect
from siyu.console.visit import AnyRequest, Visit
from siyu.errors import SiyuError
from siyu.store.postgres import Database

SAID = {
    "added": _("The operator can sign in now."),
    "removed": _("The operator can no longer sign in."),
}


async def _page(visit: Visit, db: Database, problem: SiyuError | None = None, said: str = "") -> Response[str]:
    async with db.connect() as conn:
        operators = await records.list_operators(conn)
    return visit.page(
        "account.html",
        status=problem.status if problem else 200,
        operators=operators,
        roles=ROLES,
        permissions=PERMISSIONS,
        problem=problem,
        said=visit.face.text(SAID[said]) if said in SAID else None,
    )


@get("/account", include_in_schema=False)
async def account(visit: Visit, db: Database, said: str = "") -> Response[str]:
    """Password, language, theme, operators."""
    return await _page(visit, db, said=said)


@post("/account/password", include_in_schema=False, status_code=303)
async def password(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """Change the own password; every session of the operator ends."""
    form = await request.form()
    try:
        await actions.change_password(db, visit.operator, str(form.get("old", "")), str(form.get("new", "")))
    except SiyuError as error:
        if error.status >= 500:
            raise
        return await _page(visit, db, error)
    return redirect("/console/login")


@post("/account/operators", include_in_schema=False, status_code=303)
async def add(request: AnyRequest, visit: Visit, db: Database, now: Now) -> Response[str]:
    """Let somebody in."""
    visit.operator.require("operators")
    form = await request.form()
    try:
        await actions.add_operator(
            db, str(form.get("name", "")), str(form.get("role", "")), str(form.get("password", "")), now()
        )
    except SiyuError as error:
        if error.status >= 500:
            raise
        return await _page(visit, db, error)
    return redirect("/console/account?said=added")


@post("/account/operators/remove", include_in_schema=False, status_code=303)
async def remove(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """Take somebody's access away."""
    visit.operator.require("operators")
    try:
        await actions.remove_operator(db, str((await request.form()).get("name", "")))
    except SiyuError as error:
        if error.status >= 500:
            raise
        return await _page(visit, db, error)
    return redirect("/console/account?said=removed")


routes = [account, password, add, remove]
