"""The ClickHouse HTTP protocol in front of chDB, as a bare ASGI app: what clickhouse-connect and curl need.

Not here, and refused rather than ignored where it would change an answer: sessions, external tables, ClickHouse's own
block compression. Answers are never compressed: both ends are on one machine.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hmac
import json
import os
import re
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl
from uuid import uuid4

import lz4.frame

from siyu.store.chdb_pool import ChdbPool, QueryFailed
from siyu.store.priority import give_way_here

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HEAD_BYTES_MAX: Final = 256 * 1024
"""An INSERT statement must end within this many bytes for the rest of the body to count as its data."""
STATEMENT_BYTES_MAX: Final = 64 * 1024 * 1024
STATEMENT_SECONDS_MAX: Final = 3600.0
"""Time of a statement that asks for no `max_execution_time`."""
KILL_AFTER_SECONDS: Final = 0.5
ANSWER_CHUNK_BYTES: Final = 1024 * 1024

_IDENTIFIER: Final = r"(?:`[^`]+`|\"[^\"]+\"|\w+)"
_INSERT_WITH_DATA: Final = re.compile(
    rf"\s*(?P<head>INSERT\s+INTO\s+(?:TABLE\s+)?{_IDENTIFIER}(?:\.{_IDENTIFIER})?"
    r"\s*(?:\((?:[^()`\"]|`[^`]*`|\"[^\"]*\")*\))?)"
    r"\s*(?P<settings>\bSETTINGS\s+[^;]*?)?\s*\bFORMAT\s+(?P<format>\w+)(?:[ \t]*\r?\n|[ \t;]+|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_NOT_SETTINGS: Final = frozenset(
    {
        *("query", "user", "password", "database", "quota_key", "session_id", "session_timeout", "session_check"),
        *("query_id", "default_format", "compress", "decompress", "wait_end_of_query", "buffer_size", "role"),
        *("client_protocol_version", "stacktrace", "enable_http_compression", "send_progress_in_http_headers"),
        *("http_headers_progress_interval_ms", "cancel_http_readonly_queries_on_client_close"),
    }
)
_COMPRESSIONS: Final = {"": "none", "identity": "none", "gzip": "gzip", "zstd": "zstd", "lz4": "lz4", "br": "br"}
_STATUS: Final = {
    516: 403,
    60: 404,
    81: 404,
    46: 404,
    48: 501,
    62: 400,
    115: 400,
    47: 400,
    241: 507,
    159: 408,
    243: 507,
}


class _Request(NamedTuple):
    """A request taken apart."""

    statement: str
    arguments: dict[str, str]
    data: int | None
    """File descriptor of the rows of an INSERT."""
    compression: str


class ClickHouseHttp:
    """ASGI app. Reads and writes have connections of their own, so that an insert never waits behind questions."""

    def __init__(
        self, readers: ChdbPool, writers: ChdbPool, *, password: str, readers_max: int, writers_max: int
    ) -> None:
        self._readers = readers
        self._writers = writers
        self._password = password
        self._reading = ThreadPoolExecutor(readers_max, thread_name_prefix="read")
        self._writing = ThreadPoolExecutor(writers_max, thread_name_prefix="write", initializer=give_way_here)
        self._killing = ThreadPoolExecutor(1, thread_name_prefix="kill")
        self._deadlines: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        query_id = ""
        try:
            arguments = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
            if scope["path"] in ("/ping", "/replicas_status") or (
                scope["path"] == "/" and not _has_work(scope, arguments)
            ):
                await _answer(send, 200, b"Ok.\n")
                return
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            self._check_password(headers, arguments)
            query_id = arguments.get("query_id") or str(uuid4())
            request = await _read(headers, arguments, receive)
            try:
                result = await self._run(request, query_id, headers, receive)
            finally:
                if request.data is not None:
                    os.close(request.data)
            await _answer_result(send, result, query_id)
        except QueryFailed as error:
            await _answer_error(send, error, query_id)

    def _check_password(self, headers: dict[str, str], arguments: dict[str, str]) -> None:
        password = arguments.get("password") or headers.get("x-clickhouse-key", "")
        if headers.get("authorization", "").startswith("Basic "):
            try:
                password = base64.b64decode(headers["authorization"][6:]).decode().partition(":")[2]
            except ValueError:
                password = ""
        if not hmac.compare_digest(password.encode(), self._password.encode()):
            raise QueryFailed(516, "Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)")

    async def _run(self, request: _Request, query_id: str, headers: dict[str, str], receive: Receive) -> Any:
        arguments = request.arguments
        if not request.statement.strip():
            raise QueryFailed(62, "Code: 62. DB::Exception: Syntax error: Empty query. (SYNTAX_ERROR)")
        mark = f"/*{uuid4().hex}*/"
        sql, writes = request.statement, False
        if request.data is not None:
            sql, writes = _insert_from_file(sql, request.data, request.compression), True
        elif re.match(
            r"\s*(INSERT|ALTER|OPTIMIZE|CREATE|DROP|TRUNCATE|RENAME|DELETE|UPDATE|SYSTEM|KILL)\b", sql, re.IGNORECASE
        ):
            writes = True
        pool, threads = (self._writers, self._writing) if writes else (self._readers, self._reading)
        settings = {
            name: value
            for name, value in arguments.items()
            if name not in _NOT_SETTINGS and not name.startswith("param_")
        }
        queued = threads.submit(
            self._timed,
            pool,
            mark,
            sql,
            headers.get("x-clickhouse-format") or arguments.get("default_format") or "TabSeparated",
            database=arguments.get("database") or headers.get("x-clickhouse-database") or "default",
            settings=settings,
            params={name[6:]: value for name, value in arguments.items() if name.startswith("param_")},
        )
        work = asyncio.wrap_future(queued)
        if writes:
            return await work
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not queued.cancel():
                # The asker has left: an answer nobody reads must not hold a connection. A query killed while it
                # is still being planned would be marked as cancelled and run on, so it gets a moment first.
                await asyncio.wait({work}, timeout=KILL_AFTER_SECONDS)
                if not work.done():
                    self._killing.submit(self._kill, mark)
            return await work
        except asyncio.CancelledError:
            raise QueryFailed(394, "Code: 394. DB::Exception: Query was cancelled. (QUERY_WAS_CANCELLED)") from None
        finally:
            gone.cancel()

    def _timed(self, pool: ChdbPool, mark: str, sql: str, answer_format: str, **how: Any) -> Any:
        try:
            seconds = float(how["settings"].get("max_execution_time") or 0) or STATEMENT_SECONDS_MAX
        except ValueError:  # the engine itself will refuse it
            seconds = STATEMENT_SECONDS_MAX
        self._deadlines[mark] = time.monotonic() + seconds
        try:
            return pool.query(mark + sql, answer_format, **how)
        finally:
            del self._deadlines[mark]

    def overdue_seconds(self) -> float:
        """By how much the slowest statement has passed the time it asked for; ≤ 0 when none has."""
        return max((time.monotonic() - deadline for deadline in list(self._deadlines.values())), default=0.0)

    def _kill(self, mark: str) -> None:
        self._writers.query(
            "KILL QUERY WHERE startsWith(query, {mark:String}) ASYNC",
            "Null",
            database="default",
            settings={},
            params={"mark": mark},
        )

    def close(self) -> None:
        """Let running statements end, then close all connections."""
        for threads in (self._reading, self._writing, self._killing):
            threads.shutdown()
        self._readers.close()
        self._writers.close()


def _has_work(scope: Scope, arguments: dict[str, str]) -> bool:
    return scope["method"] == "POST" or "query" in arguments


async def _read(headers: dict[str, str], arguments: dict[str, str], receive: Receive) -> _Request:
    """Read the body: the rows of an INSERT go to a file in memory, everything else is the statement."""
    compression = _COMPRESSIONS.get(headers.get("content-encoding", "").lower())
    if compression is None or arguments.get("decompress") == "1" or arguments.get("compress") == "1":
        raise QueryFailed(48, "Code: 48. DB::Exception: This compression is not supported here. (NOT_IMPLEMENTED)")
    form = headers.get("content-type", "").startswith("multipart/form-data")
    statement = arguments.get("query", "")
    head, more = await _at_least(HEAD_BYTES_MAX, receive)
    if compression != "none" and not _INSERT_WITH_DATA.fullmatch(statement):
        # The statement itself is inside: the engine cannot unpack it for us.
        rest, _ = await _at_least(STATEMENT_BYTES_MAX, receive) if more else (b"", False)
        head, more, compression = bytearray(_unpacked(compression, bytes(head + rest))), False, "none"
    if not form:
        if statement and _INSERT_WITH_DATA.fullmatch(statement):
            return _Request(statement, arguments, await _spool(head, more, receive), compression)
        found = _INSERT_WITH_DATA.match(head.decode("latin-1")) if not statement else None
        if found and (more or found.end() < len(head)):
            start = found.end()
            return _Request(head[:start].decode(), arguments, await _spool(head[start:], more, receive), compression)
    if more:
        head += (await _at_least(STATEMENT_BYTES_MAX, receive))[0]
    if form:
        arguments = arguments | _form_fields(headers["content-type"], bytes(head))
        return _Request(arguments.get("query", ""), arguments, None, compression)
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        raise QueryFailed(62, f"Code: 62. DB::Exception: Not UTF-8: {error}. (SYNTAX_ERROR)") from None
    return _Request(f"{statement}\n{text}" if statement and text else statement or text, arguments, None, compression)


async def _at_least(size: int, receive: Receive) -> tuple[bytearray, bool]:
    """The next `size` bytes of the body or more, and whether there is still more."""
    body, more = bytearray(), True
    while more and len(body) < size:
        chunk, more = await _chunk(receive)
        body += chunk
    if more and size == STATEMENT_BYTES_MAX:
        raise QueryFailed(62, "Code: 62. DB::Exception: Max query size exceeded. (SYNTAX_ERROR)")
    return body, more


def _unpacked(compression: str, body: bytes) -> bytes:
    try:
        if compression == "gzip":
            return gzip.decompress(body)
        if compression == "lz4":
            unpacked: bytes = lz4.frame.decompress(body)
            return unpacked
    except (OSError, EOFError, RuntimeError, zlib.error) as error:
        raise QueryFailed(354, f"Code: 354. DB::Exception: Cannot unpack: {error}. (ZLIB_INFLATE_FAILED)") from None
    raise QueryFailed(48, f"Code: 48. DB::Exception: A statement inside {compression}. (NOT_IMPLEMENTED)")


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _chunk(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] != "http.request":
        raise QueryFailed(394, "Code: 394. DB::Exception: The client has gone. (QUERY_WAS_CANCELLED)")
    return message.get("body", b""), message.get("more_body", False)


async def _spool(first: bytearray, more: bool, receive: Receive) -> int:
    """A file without a name that holds the rest of the body; the engine opens it through the process's own table."""
    descriptor = _nameless_file()
    try:
        _write_all(descriptor, first)
        while more:
            chunk, more = await _chunk(receive)
            _write_all(descriptor, chunk)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("rows")
    descriptor, path = tempfile.mkstemp(prefix="siyu-rows-")
    os.unlink(path)  # noqa: PTH108 - a descriptor's path, not a Path
    return descriptor


def _write_all(descriptor: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _insert_from_file(statement: str, descriptor: int, compression: str) -> str:
    found = _INSERT_WITH_DATA.match(statement)
    if found is None:
        raise QueryFailed(62, "Code: 62. DB::Exception: Not an INSERT with a FORMAT. (SYNTAX_ERROR)")
    settings = found["settings"] or ""
    path = f"/proc/self/fd/{descriptor}" if os.path.exists("/proc/self/fd") else f"/dev/fd/{descriptor}"  # noqa: PTH110
    return f"{found['head']} FROM INFILE '{path}' COMPRESSION '{compression}' {settings} FORMAT {found['format']}"


def _form_fields(content_type: str, body: bytes) -> dict[str, str]:
    head = b"Content-Type: " + content_type.encode() + b"\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    fields: dict[str, str] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if part.get_filename() is not None or not isinstance(name, str) or not isinstance(content, bytes):
            raise QueryFailed(48, "Code: 48. DB::Exception: External tables are not supported here. (NOT_IMPLEMENTED)")
        fields[name] = content.decode()
    return fields


async def _answer_result(send: Send, result: Any, query_id: str) -> None:
    summary = {
        "read_rows": str(result.storage_rows_read()),
        "read_bytes": str(result.storage_bytes_read()),
        "result_rows": str(result.rows_read()),
    }
    headers = [
        (b"x-clickhouse-query-id", query_id.encode()),
        (b"x-clickhouse-timezone", b"UTC"),
        (b"x-clickhouse-summary", json.dumps(summary).encode()),
    ]
    view = result.get_memview()
    size = result.size()
    await _start(send, 200, size, headers)
    body = view.view() if size else memoryview(b"")
    for start in range(0, max(size, 1), ANSWER_CHUNK_BYTES):
        end = start + ANSWER_CHUNK_BYTES
        await send({"type": "http.response.body", "body": bytes(body[start:end]), "more_body": end < size})


async def _answer_error(send: Send, error: QueryFailed, query_id: str) -> None:
    number = str(error.number).encode()
    headers = [(b"x-clickhouse-exception-code", number), (b"x-clickhouse-query-id", query_id.encode())]
    await _answer(send, _STATUS.get(error.number, 500), str(error).encode("utf-8", "replace"), headers)


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    await _start(send, status, len(body), headers or [])
    await send({"type": "http.response.body", "body": body})


async def _start(send: Send, status: int, size: int, headers: list[tuple[bytes, bytes]]) -> None:
    known = [(b"content-length", str(size).encode()), (b"content-type", b"application/octet-stream")]
    await send({"type": "http.response.start", "status": status, "headers": known + headers})
