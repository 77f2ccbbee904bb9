"""An object store in memory that speaks as much S3 as the Kafka-protocol broker asks for, so that it can be killed and
find its topics again. It knows conditional writes, which the broker's offsets rest on; signatures are not checked."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_BEGINNING = datetime.min.replace(tzinfo=UTC)


class _Handler(BaseHTTPRequestHandler):
    """`/bucket/key`: GET, PUT, HEAD, DELETE with If-Match and If-None-Match, byte ranges, and ListObjectsV2."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, tuple[bytes, str, datetime]]
    """Body, tag and when it was written, which is another time for each: the broker finds a topic's end by it."""
    lock: threading.Lock

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = self._key()
        with self.lock:
            held = self.objects.get(key)
            wanted = self.headers.get("If-Match")
            if (self.headers.get("If-None-Match") == "*" and held) or (wanted and (not held or held[1] != wanted)):
                self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
                return
            tag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}-{len(self.objects)}"'
            newest = max((written for _, _, written in self.objects.values()), default=_BEGINNING)
            self.objects[key] = body, tag, max(datetime.now(UTC), newest + timedelta(microseconds=1))
        self._answer(200, b"", {"ETag": tag})

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            self._list(query)
            return
        with self.lock:
            held = self.objects.get(self._key())
        if held is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif self.headers.get("If-None-Match") == held[1]:
            self._answer(304, b"", {"ETag": held[1]})
        else:
            self._object(*held)

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        with self.lock:
            self.objects.pop(self._key(), None)
        self._answer(204, b"")

    def _object(self, body: bytes, tag: str, written: datetime) -> None:
        facts = {"ETag": tag, "Last-Modified": format_datetime(written, usegmt=True), "Accept-Ranges": "bytes"}
        span = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if span[0].isdigit():
            first, last = int(span[0]), min(int(span[2] or len(body) - 1), len(body) - 1)
            facts["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
            self._answer(206, body[first : last + 1], facts)
        else:
            self._answer(200, body, facts)

    def _list(self, query: dict[str, list[str]]) -> None:
        prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        with self.lock:
            found = sorted((key, *held) for key, held in self.objects.items() if key.startswith(prefix))
        folders, parts = set(), []
        for key, body, tag, written in found:
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            else:
                parts.append(
                    f"<Contents><Key>{escape(key)}</Key><LastModified>{written:%Y-%m-%dT%H:%M:%S.%fZ}</LastModified>"
                    f"<ETag>{escape(tag)}</ETag><Size>{len(body)}</Size></Contents>"
                )
        parts += [f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders)]
        listing = f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(parts)}</ListBucketResult>"
        self._answer(200, listing.encode(), {"Content-Type": "application/xml"})

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path.lstrip("/").partition("/")[2])

    def _answer(self, status: int, body: bytes, facts: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (facts or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def open_object_store() -> Iterator[dict[str, str]]:
    """Run it; yields what a client's environment needs."""
    shared: dict[str, Any] = {"objects": {}, "lock": threading.Lock()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), shared))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield {
            "AWS_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
