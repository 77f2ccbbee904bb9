"""Signing in and out, and the choice of language and theme."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from urllib.parse import urlsplit

from litestar import Response, get, post
from litestar.datastructures import Cookie

from siyu.clock import Now
from siyu.console import actions, records
from siyu.console.i18n import known_locale
from siyu.console.page import html, redirect, render
from siyu.console.session import LIFETIME, csrf_token, seal, unseal
from siyu.console.visit import (
    LOCALE_COOKIE,
    SESSION_COOKIE,
    THEME_COOKIE,
    THEMES,
    AnyRequest,
    Visit,
    read_face,
    require_token,
    shared_context,
)
from siyu.errors import SiyuError
from siyu.settings import Settings
from siyu.store.postgres import Database

VISITOR_COOKIE = "siyu_visitor"
"""A random number for the CSRF token of the login form, before there is a session."""
YEAR_S = 365 * 24 * 3600


def _cookie(request: AnyRequest, name: str, value: str, seconds: int) -> Cookie:
    return Cookie(
        key=name,
        value=value,
        path="/",
        max_age=seconds,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def local_path(path: str) -> str:
    """The path when it leads to a page of the console, else the overview: never to another site."""
    parts = urlsplit(path)
    inside = path == "/console" or path.startswith(("/console/", "/console?"))
    safe = inside and not parts.scheme and not parts.netloc and path.isprintable() and "\\" not in path
    return path if safe else "/console"


def _visitor(request: AnyRequest) -> bytes | None:
    try:
        number = urlsafe_b64decode(request.cookies.get(VISITOR_COOKIE, "").encode())
    except (NotBase64, ValueError):
        return None
    return number if len(number) == 16 else None


def _login_page(
    request: AnyRequest, now: Now, settings: Settings, secret: bytes, problem: SiyuError | None = None, **fields: str
) -> Response[str]:
    face = read_face(request, now, settings)
    number = _visitor(request) or secrets.token_bytes(16)
    context = shared_context(face)
    body = render(
        face.locale,
        "login.html",
        **context,
        csrf=csrf_token(number, secret),
        problem=context["label"].error(problem) if problem else None,
        name=fields.get("name", ""),
        next=local_path(fields.get("next", "")),
    )
    response = html(body, problem.status if problem else 200)
    response.set_cookie(_cookie(request, VISITOR_COOKIE, urlsafe_b64encode(number).decode(), 3600))
    if problem is not None and "retry_after_s" in problem.details:
        response.headers["Retry-After"] = str(problem.details["retry_after_s"])
    return response


@get("/login", include_in_schema=False, opt={"signed_out": True})
async def login_page(
    request: AnyRequest, now: Now, settings: Settings, secret: bytes, next_path: str = ""
) -> Response[str]:
    """The login form."""
    return _login_page(request, now, settings, secret, next=request.query_params.get("next", next_path))


@post("/login", include_in_schema=False, opt={"signed_out": True}, status_code=303)
async def login(request: AnyRequest, db: Database, now: Now, settings: Settings, secret: bytes) -> Response[str]:
    """Check name and password, open a session."""
    form = await request.form()
    name, next_path = str(form.get("name", "")), str(form.get("next", ""))
    address = request.client.host if request.client else ""
    try:
        await require_token(request, _visitor(request) or b"", secret)
        _operator, session = await actions.sign_in(db, name, str(form.get("password", ""))[:1024], address, now())
    except SiyuError as error:
        if error.status >= 500:
            raise
        return _login_page(request, now, settings, secret, error, name=name, next=next_path)
    response = redirect(local_path(next_path))
    response.set_cookie(_cookie(request, SESSION_COOKIE, seal(session, secret), int(LIFETIME.total_seconds())))
    return response


@post("/language", include_in_schema=False, opt={"signed_out": True}, status_code=303)
async def language(request: AnyRequest, secret: bytes) -> Response[str]:
    """The language of the login page."""
    await require_token(request, _visitor(request) or b"", secret)
    response = redirect("/console/login")
    chosen = known_locale(str((await request.form()).get("locale", "")))
    if chosen:
        response.set_cookie(_cookie(request, LOCALE_COOKIE, chosen, YEAR_S))
    return response


@post("/logout", include_in_schema=False, status_code=303)
async def logout(request: AnyRequest, visit: Visit, db: Database, now: Now, secret: bytes) -> Response[str]:
    """Close the session on the server and drop the cookie."""
    session = unseal(request.cookies.get(SESSION_COOKIE, ""), secret, now())
    if session is not None:
        await actions.sign_out(db, session)
    response = redirect("/console/login")
    response.delete_cookie(SESSION_COOKIE, path="/")
    return response


@post("/preferences", include_in_schema=False, status_code=303)
async def preferences(request: AnyRequest, visit: Visit, db: Database) -> Response[str]:
    """Language (kept with the operator) and theme (kept in the browser)."""
    form = await request.form()
    response = redirect(local_path(str(form.get("back", ""))))
    chosen, theme = known_locale(str(form.get("locale", ""))), str(form.get("theme", ""))
    if chosen:
        async with db.begin() as conn:
            await records.set_locale(conn, visit.operator.name, chosen)
        response.set_cookie(_cookie(request, LOCALE_COOKIE, chosen, YEAR_S))
    if theme in THEMES:
        response.set_cookie(_cookie(request, THEME_COOKIE, theme, YEAR_S))
    return response


routes = [login_page, login, language, logout, preferences]
