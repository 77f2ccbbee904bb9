"""The console's routes under one router: its dependency `visit`, its error pages, its static files."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import structlog
from litestar import Response, Router, get
from litestar.di import Provide
from litestar.exceptions import HTTPException

from siyu.console import (
    http_account,
    http_accounts,
    http_calendar,
    http_conflicts,
    http_connectors,
    http_counter,
    http_coupons,
    http_currencies,
    http_dimensions,
    http_earn,
    http_ladder,
    http_login,
    http_mall,
    http_mini_programs,
    http_orders,
    http_overview,
    http_person_changes,
    http_persons,
    http_pools,
    http_portrait,
    http_price_rules,
    http_products,
    http_questions,
    http_reasons,
    http_rules,
    http_segments,
    http_sources,
    http_tiers,
    http_try,
    http_why,
)
from siyu.console.assets import static_file
from siyu.console.labels import ERRORS, Labels
from siyu.console.page import html, redirect, render
from siyu.console.visit import AnyRequest, NotAtTheCounter, NotSignedIn, Visit, provide_visit, shared_context
from siyu.errors import EngineUnavailable, SiyuError

log = structlog.get_logger()


@get("/", include_in_schema=False, status_code=303)
async def home() -> Response[str]:
    """The address people type leads to the console."""
    return redirect("/console")


def on_not_signed_in(request: AnyRequest, _error: NotSignedIn) -> Response[str]:
    """To the login, and back afterwards; a fragment request takes the whole page along."""
    if request.headers.get("hx-request") == "true":
        return redirect("/console/login", fragment=True)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = f"?next={quote(here, safe='')}" if request.method == "GET" and here != "/console" else ""
    return redirect("/console/login" + back)


def on_not_at_the_counter(request: AnyRequest, error: NotAtTheCounter) -> Response[str]:
    """Counter staff begin at the counter; everything else is closed to them."""
    if request.method == "GET" and request.url.path == "/console":
        return redirect("/console/counter")
    return on_refusal(request, error)


def on_refusal(request: AnyRequest, error: SiyuError) -> Response[str]:
    """A page that says what is wrong and what to do."""
    if error.status >= 500 and not isinstance(error, EngineUnavailable):
        log.error("console page failed", path=request.url.path, code=error.code, error=str(error))
    return _error_page(request, error.status, error.code, error)


def on_http_exception(request: AnyRequest, error: HTTPException) -> Response[str]:
    """What the framework refused: unknown page, wrong method, a parameter that does not fit."""
    code = {404: "NOT_FOUND", 403: "FORBIDDEN", 413: "TOO_LARGE"}.get(error.status_code, "MALFORMED_REQUEST")
    return _error_page(request, error.status_code, code, None)


def on_unexpected(request: AnyRequest, error: Exception) -> Response[str]:
    """A defect of ours: logged with its trace, shown without it."""
    log.error("console page failed", path=request.url.path, exc_info=error)
    return _error_page(request, 500, "INTERNAL", None)


def _error_page(request: AnyRequest, status: int, code: str, error: SiyuError | None) -> Response[str]:
    visit: Visit | None = getattr(request.state, "visit", None)
    face = visit.face if visit else getattr(request.state, "face", None)
    if face is None:
        return html(ERRORS.get(code, code), status)
    label = Labels(face.locale)
    title = label.error(error) if error else label.text(ERRORS[code])
    detail = label.said(error) if error and label.said(error) != title else ""
    context = shared_context(face) | {"title": title, "detail": detail, "code": code}
    if visit is None or face.fragment:
        return html(render(face.locale, "error_body.html", **context), status)
    return visit.page("error.html", status, title=title, detail=detail, code=code)


routes: list[Any] = [
    home,
    Router(
        path="/console",
        route_handlers=[
            static_file,
            *http_login.routes,
            *http_account.routes,
            *http_overview.routes,
            *http_persons.routes,
            *http_portrait.routes,
            *http_accounts.routes,
            *http_person_changes.routes,
            *http_questions.routes,
            *http_orders.routes,
            *http_products.routes,
            *http_mall.routes,
            *http_rules.routes,
            *http_dimensions.routes,
            *http_segments.routes,
            *http_ladder.routes,
            *http_tiers.routes,
            *http_sources.routes,
            *http_conflicts.routes,
            *http_connectors.routes,
            *http_mini_programs.routes,
            *http_counter.routes,
            *http_coupons.routes,
            *http_pools.routes,
            *http_earn.routes,
            *http_why.routes,
            *http_reasons.routes,
            *http_calendar.routes,
            *http_currencies.routes,
            *http_price_rules.routes,
            *http_try.routes,
        ],
        dependencies={"visit": Provide(provide_visit)},
        exception_handlers={
            NotSignedIn: on_not_signed_in,
            NotAtTheCounter: on_not_at_the_counter,
            SiyuError: on_refusal,
            HTTPException: on_http_exception,
            Exception: on_unexpected,
        },
    ),
]
"""What `app.py` mounts."""
