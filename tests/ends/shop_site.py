"""A shop's web site on an origin of its own: serves the npm packages and the pages that a test writes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODULES = {
    "@segment/analytics-next": "/segment.js",
    "posthog-js": "/node_modules/posthog-js/dist/module.no-external.js",
    "sa-sdk-javascript": "/node_modules/sa-sdk-javascript/sensorsdata.es6.min.js",
}
"""What a bundler would do: package → the file a browser loads."""

_SEGMENT_BUNDLE = "/node_modules/@segment/analytics-next/dist/umd/index.js"
# The package's browser bundle makes a global; a bundler would hand it out under the package's name.
_SEGMENT = "export const { AnalyticsBrowser } = window.AnalyticsNext"


class _Handler(SimpleHTTPRequestHandler):
    """Files of the packages' folder, and the site's own pages."""

    pages: dict[str, str]

    def do_GET(self) -> None:
        page = self.pages.get(self.path.partition("?")[0])
        if page is None:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if self.path.endswith(".js") else "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


class ShopSite:
    """The running site. Its host name differs from the server's, so everything it sends crosses sites."""

    def __init__(self, port: int, pages: dict[str, str]) -> None:
        self.url = f"http://localhost:{port}"
        self._pages = pages

    def page(self, path: str, script: str) -> str:
        """Put a page there that runs a module script; answers its URL."""
        imports = ",".join(f'"{name}": "{file}"' for name, file in MODULES.items())
        self._pages[path.partition("?")[0]] = f"""<!doctype html><html><head><title>茶与宠物</title>
<link rel="icon" href="data:,">
<script type="importmap">{{"imports": {{{imports}}}}}</script><script src="{_SEGMENT_BUNDLE}"></script></head>
<body><button id="buy">购买</button><a href="/next.html">下一页</a>
<script type="module">{script}</script></body></html>"""
        return self.url + path


@contextmanager
def open_shop_site(packages: Path) -> Iterator[ShopSite]:
    """Serve it on a free port of the loopback."""
    # A browser asks for an icon of any page that names none.
    pages = {"/segment.js": _SEGMENT, "/next.html": "<!doctype html><title>next</title><p>next", "/favicon.ico": ""}
    handler = type("Handler", (_Handler,), {"pages": pages})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(packages)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield ShopSite(server.server_port, pages)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
