"""Rendering: one Jinja environment per language, and the headers every page is sent with."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response
from markupsafe import Markup, escape

from siyu.console.assets import asset_url
from siyu.console.i18n import LOCALES, translations

TEMPLATE_FOLDER: Final = Path(__file__).parent / "templates"

SECURITY_HEADERS: Final = {
    # Style attributes carry widths and colours of data (bars, heat maps); style elements and scripts stay our files.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; font-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def icon(name: str, size: int = 18, css: str = "") -> Markup:
    """A Tabler icon out of the sprite."""
    address = f"{asset_url('icons.svg')}#{name}"
    return Markup(
        '<svg class="icon {}" style="width:{}px;height:{}px" aria-hidden="true"><use href="{}"/></svg>'
    ).format(css, size, size, address)


def attribute_json(value: Any) -> Markup:
    """JSON for a data- attribute in double quotes."""
    return escape(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str))


def query(**values: Any) -> str:
    """`?a=1&b=2` of the values that are not None or empty; an empty string when nothing is left."""
    pairs = [(name, value) for name, value in values.items() if value not in (None, "")]
    return "?" + urlencode(pairs, doseq=True) if pairs else ""


@cache
def environment(locale: str) -> Environment:
    """The templates in a language."""
    if locale not in LOCALES:
        raise ValueError(f"The console does not speak {locale}")
    env = Environment(
        loader=FileSystemLoader(TEMPLATE_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    env.install_gettext_translations(translations(locale), newstyle=True)  # type: ignore[attr-defined]  # added by the extension
    env.globals.update(icon=icon, asset=asset_url, query=query)
    env.filters["attribute_json"] = attribute_json
    return env


def render(locale: str, template: str, **context: Any) -> str:
    """A template as text."""
    return environment(locale).get_template(template).render(**context)


def html(body: str, status: int = 200, headers: dict[str, str] | None = None) -> Response[str]:
    """A page or a fragment, with the security headers."""
    return Response(
        body, status_code=status, media_type="text/html; charset=utf-8", headers=SECURITY_HEADERS | (headers or {})
    )


def redirect(path: str, fragment: bool = False) -> Response[str]:
    """Go to another page of the console, by GET; for a fragment request the whole page goes."""
    if fragment:
        return Response("", status_code=200, headers=SECURITY_HEADERS | {"HX-Redirect": path})
    return Response("", status_code=303, headers=SECURITY_HEADERS | {"Location": path})
