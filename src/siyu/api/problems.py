"""Errors as RFC 9457 problem details with a stable `code`. The only place where an error meets a status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from siyu.api.titles import TITLES_ZH
from siyu.chinese import said_in_chinese
from siyu.errors import Busy, EngineUnavailable, SiyuError

log = structlog.get_logger()

_HTTP_CODES = {
    400: "MALFORMED_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "BUSY",
}
_KINDS: Mapping[type, str] = {UUID: "an id (a UUID)", int: "a whole number"}
DEFECT = "Something went wrong on our side; the log of the server has the details."
_DETAILS_HIDDEN = frozenset({"status", "title", "title_zh", "code", "type"})


def problem(status: int, code: str, detail: str, **more: Any) -> Response[dict[str, Any]]:
    """A response with problem details; `more` are extension members."""
    body = _body(status, code, detail, more)
    headers = {}
    if "retry_after_s" in more or status in (429, 503):
        headers["Retry-After"] = str(int(more.get("retry_after_s", 2)))
    return Response(body, status_code=status, media_type="application/problem+json", headers=headers)


def _body(status: int, code: str, detail: str, more: Mapping[str, Any]) -> dict[str, Any]:
    body = {"type": "about:blank", "title": code.replace("_", " ").capitalize(), "status": status}
    body |= {"code": code, "detail": detail}
    if code in TITLES_ZH:
        body["title_zh"] = TITLES_ZH[code]
    if (said := said_in_chinese(detail, more)) is not None:
        body["detail_zh"] = said
    return body | {name: value for name, value in more.items() if name not in _DETAILS_HIDDEN}


def _shown(error: SiyuError) -> dict[str, Any]:
    return {name: value for name, value in error.details.items() if isinstance(value, str | int | float | list | dict)}


def refusal(error: SiyuError) -> dict[str, Any]:
    """The body of problem details of a refusal."""
    return _body(error.status, error.code, str(error), _shown(error))


def on_siyu_error(request: Request[Any, Any, Any], error: SiyuError) -> Response[dict[str, Any]]:
    """A refusal of ours: its own code and status."""
    if error.status >= 500 and not isinstance(error, EngineUnavailable | Busy):
        log.error("request failed", path=request.url.path, code=error.code, error=str(error))
    return problem(error.status, error.code, str(error), **_shown(error))


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    """What the framework refused: unknown path, wrong method, a body that does not fit its schema."""
    if (wrong := _wrong_field(error)) is not None:
        return problem(400, _HTTP_CODES[400], wrong)
    if error.status_code >= 500:
        log.error("request failed", path=request.url.path, exc_info=error)
    more: dict[str, Any] = {}
    if error.status_code == 404 and (misfit := _misfit(request)) is not None:
        return problem(404, _HTTP_CODES[404], misfit[1], path=misfit[0])
    if isinstance(error, ValidationException) and error.extra:
        more["errors"] = error.extra
    code = _HTTP_CODES.get(error.status_code, "MALFORMED_REQUEST" if error.status_code < 500 else "INTERNAL")
    return problem(error.status_code, code, error.detail + _first_wrong(more.get("errors")), **more)


def _misfit(request: Request[Any, Any, Any]) -> tuple[str, str] | None:
    """The part of the address that is not of its type, by name, and what it should be. To the framework an address with
    such a part is one it does not know."""
    segments = request.url.path.strip("/").split("/")
    for route in request.app.routes:
        components = route.path_components
        if len(components) != len(segments) or not all(
            component == segment
            for component, segment in zip(components, segments, strict=True)
            if isinstance(component, str)
        ):
            continue
        for component, segment in zip(components, segments, strict=True):
            if not isinstance(component, str) and component.type in _KINDS and not _fits(component.type, segment):
                return component.name, f"{segment[:60]!r} in the address is not {_KINDS[component.type]}."
    return None


def _fits(kind: type, segment: str) -> bool:
    try:
        kind(segment)
    except ValueError:
        return False
    return True


def _first_wrong(errors: Any) -> str:
    """The first field that does not fit, as the end of a sentence; all of them stand under `errors`."""
    match errors:
        case [{"key": key, "message": message}, *_]:
            return f": {key}: {message}"
    return ""


def _wrong_field(error: HTTPException) -> str | None:
    """What is wrong in a body where the framework says that a service of ours is: it goes by the last name of the path,
    and a field may be called like a service (`events`)."""
    cause = error.__cause__
    if error.status_code == 500 and isinstance(cause, msgspec.ValidationError) and "`$.data" in str(cause):
        return str(cause)
    return None


def on_malformed_value(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, Any]]:
    """The same where value moves: a body that does not fit is 422 there, so that 409 and 422 say everything."""
    answer = on_http_exception(request, error)
    if answer.status_code == 400:
        answer.status_code = 422
        answer.content["status"] = 422
    return answer


def on_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    """A defect of ours: logged with its trace, answered without it."""
    log.error("request failed", path=request.url.path, exc_info=error)
    return problem(500, "INTERNAL", DEFECT)
