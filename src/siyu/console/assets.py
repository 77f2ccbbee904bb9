"""Static files: read once, gzipped once, named by their content so that a browser may keep them for ever."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException

STATIC_FOLDER: Final = Path(__file__).parent / "static"
STATIC_PATH: Final = "/console/static"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Asset(NamedTuple):
    """A file as it is sent."""

    body: bytes
    gzipped: bytes
    media_type: str
    version: str
    """First 12 hex digits of the content's SHA-256."""


@cache
def assets() -> dict[str, Asset]:
    """Every file a browser may ask for, by its path under static/."""
    found = {}
    for path in sorted(STATIC_FOLDER.rglob("*")):
        if path.suffix in _TYPES:
            body = path.read_bytes()
            version = hashlib.sha256(body).hexdigest()[:12]
            name = path.relative_to(STATIC_FOLDER).as_posix()
            found[name] = Asset(body, gzip.compress(body, 6, mtime=0), _TYPES[path.suffix], version)
    return found


def asset_url(name: str) -> str:
    """The address of a file, with its version. Raises KeyError for a file that does not exist."""
    return f"{STATIC_PATH}/{name}?v={assets()[name].version}"


@get("/static/{name:path}", include_in_schema=False, opt={"signed_out": True})
async def static_file(request: Request, name: Path, v: str = "") -> Response[bytes]:  # type: ignore[type-arg]  # bare Request: user, auth and state are unused
    """A vendored or own browser asset."""
    asset = assets().get(name.as_posix().lstrip("/"))
    if asset is None:
        raise NotFoundException("No such file.")
    fresh = v == asset.version
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if fresh else "no-cache",
        "ETag": f'"{asset.version}"',
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(b"", status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(asset.gzipped, headers=headers, media_type=asset.media_type)
    return Response(asset.body, headers=headers, media_type=asset.media_type)
