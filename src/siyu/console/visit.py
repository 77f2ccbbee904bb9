"""One request of a signed-in operator: who, in which language, at what time. Every page but the login takes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from litestar import Request, Response

from siyu.clock import Now
from siyu.console import labels, records
from siyu.console.format import Format
from siyu.console.i18n import known_locale, translate
from siyu.console.operator import Operator
from siyu.console.page import html, render
from siyu.console.session import Session, csrf_matches, csrf_token, unseal
from siyu.errors import Forbidden, SiyuError, Unauthorized
from siyu.profile.portrait import Moment
from siyu.settings import Settings
from siyu.store.postgres import Database

SESSION_COOKIE = "siyu_session"
LOCALE_COOKIE = "siyu_locale"
THEME_COOKIE = "siyu_theme"
THEMES = ("light", "dark", "auto")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
OPEN_TO_ALL = ("/console/counter", "/console/account", "/console/preferences", "/console/logout")
"""What a role without the permission `look` may open; every other page is closed to it, new ones too."""

AnyRequest = Request[Any, Any, Any]


class NotSignedIn(Unauthorized):
    """No session, or it is over."""

    code: ClassVar[str] = "NOT_SIGNED_IN"


class NotAtTheCounter(Forbidden):
    """A page that is not for counter staff."""


class StaleForm(Forbidden):
    """A form without the token of this session: made by another page, or before the last login."""

    code: ClassVar[str] = "STALE_FORM"


@dataclass(frozen=True)
class Face:
    """What a page needs even when nobody is signed in."""

    locale: str
    theme: str
    format: Format
    path: str
    fragment: bool
    """Asked for by htmx: only a part of a page is wanted."""

    def text(self, message: str) -> str:
        """A marked text in the reader's language."""
        return translate(self.locale, message)


@dataclass(frozen=True)
class Visit:
    """A signed-in operator's request."""

    face: Face
    operator: Operator
    session: Session
    csrf: str
    host: str
    """scheme://host[:port] under which the operator reaches us, for snippets."""

    @property
    def format(self) -> Format:
        """How to write for this reader."""
        return self.face.format

    @property
    def moment(self) -> Moment:
        """When and in which zone persons are looked at."""
        return Moment(self.format.now, self.format.zone)

    @property
    def locale(self) -> str:
        """zh_CN or en."""
        return self.face.locale

    def said(self, error: SiyuError) -> str:
        """The error's own words, in the reader's language where they are there in it."""
        return labels.Labels(self.locale).said(error)

    def page(
        self, template: str, status: int = 200, headers: dict[str, str] | None = None, **context: Any
    ) -> Response[str]:
        """Render a template with everything the layout needs."""
        return html(self.render(template, **context), status, headers)

    def render(self, template: str, **context: Any) -> str:
        """A template as text."""
        return render(self.locale, template, visit=self, **shared_context(self.face), **context)


def shared_context(face: Face) -> dict[str, Any]:
    """Names every template may use: `f` writes numbers and times, `label` names things."""
    return {"face": face, "f": face.format, "label": labels.Labels(face.locale), "csrf_field": "_csrf"}


def read_face(request: AnyRequest, now: Now, settings: Settings, operator: Operator | None = None) -> Face:
    """Language, theme and time of a request: the operator's choice, else this browser's, else the installation's."""
    chosen = (operator.locale if operator else None, request.cookies.get(LOCALE_COOKIE), settings.locale)
    locale = next((name for name in chosen if known_locale(name)), "zh_CN")
    theme = request.cookies.get(THEME_COOKIE, "auto")
    return Face(
        locale=str(locale),
        theme=theme if theme in THEMES else "auto",
        format=Format(str(locale), ZoneInfo(settings.timezone), now()),
        path=request.url.path,
        fragment=request.headers.get("hx-request") == "true",
    )


async def provide_visit(request: AnyRequest, db: Database, now: Now, settings: Settings, secret: bytes) -> Visit:
    """The dependency `visit` of every page behind the login. Raises NotSignedIn, StaleForm."""
    request.state.face = read_face(request, now, settings)
    session = unseal(request.cookies.get(SESSION_COOKIE, ""), secret, now())
    if session is None:
        raise NotSignedIn("Sign in first.")
    async with db.connect() as conn:
        operator = await records.find_session(conn, session.token_hash, now())
    if operator is None:
        raise NotSignedIn("The session is over: sign in again.")
    if request.method not in SAFE_METHODS:
        await require_token(request, session.number, secret)
    visit = Visit(
        face=read_face(request, now, settings, operator),
        operator=operator,
        session=session,
        csrf=csrf_token(session.number, secret),
        host=f"{request.url.scheme}://{request.url.netloc}",
    )
    request.state.visit = visit
    if not operator.may("look") and not _for_everybody(request.url.path):
        raise NotAtTheCounter(f"The role {operator.role} works at the counter only.")
    return visit


def _for_everybody(path: str) -> bool:
    """Whether a page is for those too who may look at nothing else."""
    return any(path == page or path.startswith(page + "/") for page in OPEN_TO_ALL)


async def require_token(request: AnyRequest, number: bytes, secret: bytes) -> None:
    """Refuse a change that another site may have caused. Raises StaleForm."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise StaleForm("The request came from another site.")
    token = request.headers.get("x-csrf-token") or str((await request.form()).get("_csrf", ""))
    if not csrf_matches(token, number, secret):
        raise StaleForm("The page is older than your login: reload it and try again.")
