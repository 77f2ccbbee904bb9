"""What happened: ClickHouse over HTTP through clickhouse-connect, in a bounded pool of threads.

The same client speaks to the embedded engine and to a cluster. A server that does not answer, or has no room left,
becomes `EngineUnavailable`; a question over its limits becomes `QueryTooExpensive`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError
from clickhouse_connect.driver.httputil import get_pool_manager
from urllib3.exceptions import HTTPError

from siyu.errors import EngineUnavailable, SiyuError
from siyu.store.event_tables import MIGRATIONS, MIGRATIONS_TABLE, statement

if TYPE_CHECKING:
    import pyarrow as pa

CONNECT_SECONDS_MAX: Final = 3
INSERT_SECONDS_MAX: Final = 120
QUERY_SECONDS_MAX: Final = 60
QUERY_MEMORY_BYTES_MAX: Final = 1_000_000_000
THREADS_MAX: Final = 8
PING_SECONDS_MAX: Final = 5.0
DISK_FREE_BYTES_MIN: Final = 32 << 20
"""With less, inserts and merges fail for lack of room although reads still work."""
KILL_AFTER_SECONDS: Final = 0.5

_TOO_EXPENSIVE: Final = frozenset({158, 159, 160, 241, 307, 396})
"""Too many rows, timeout, too slow, memory limit, too many bytes, too many rows or bytes in the result."""
_NO_ROOM: Final = frozenset({74, 75, 202, 243, 252, 999, 210, 209, 242, 319, 516, 194, 236, 425})
"""Disk errors, too many queries or parts, network, read-only tables, wrong password, shutting down."""

_ARROW: Final = {"output_format_arrow_string_as_string": 1}
_ACCESS_DENIED: Final = 497

T = TypeVar("T")
Params = Mapping[str, Any]


class QueryTooExpensive(SiyuError):
    """A query went over its time or memory limit; narrow the range or the number of groups."""

    code = "QUERY_TOO_EXPENSIVE"
    status = 422


class InsertRefused(SiyuError):
    """ClickHouse understood an insert and will not take these rows; repeating it would not help."""

    code = "INSERT_REFUSED"
    status = 422


def _unavailable(error: BaseException) -> EngineUnavailable:
    reason = str(error).strip().splitlines()
    return EngineUnavailable(
        f"ClickHouse does not answer: {reason[0] if reason else type(error).__name__}", engine="clickhouse"
    )


def _translate(error: Exception) -> Exception:
    """The error to raise for `error`: ours where it has a name of ours, itself where it is a mistake in the query."""
    if isinstance(error, HTTPError | OSError):
        return _unavailable(error)
    if isinstance(error, ClickHouseError):
        number: int | None = getattr(error, "code", None)
        if number in _TOO_EXPENSIVE:
            return QueryTooExpensive(f"The query is over its limits: {str(error).splitlines()[0]}")
        if number in _NO_ROOM or (number is None and isinstance(error, OperationalError)):
            return _unavailable(error)
    return error


class EventStore:
    """One ClickHouse database. Safe for concurrent use."""

    def __init__(self, client: Client, threads_max: int) -> None:
        self._client = client
        self._threads = ThreadPoolExecutor(threads_max, thread_name_prefix="clickhouse")
        self._kills: set[asyncio.Future[None]] = set()

    @classmethod
    async def open(cls, url: str, *, threads_max: int = THREADS_MAX) -> EventStore:
        """Connect to `url` (`http[s]://user:password@host:port/database`). Raises EngineUnavailable."""
        try:
            client = await asyncio.to_thread(_client, url, threads_max)
        except Exception as error:
            raise _translate(error) from error
        return cls(client, threads_max)

    async def _run(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        def call() -> T:
            return work(*args, **kwargs)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except Exception as error:
            translated = _translate(error)
            if translated is error:
                raise
            raise translated from error

    async def rows(
        self, sql: str, params: Params | None = None, *, settings: Params | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows of a query; `{name:Type}` in `sql` takes `params["name"]` on the server. Times come back aware, UTC.

        Raises QueryTooExpensive, EngineUnavailable."""
        result = await self._run(self._client.query, sql, parameters=dict(params or {}), settings=_limits(settings))
        return [tuple(row) for row in result.result_rows]

    async def arrow(self, sql: str, params: Params | None = None, *, settings: Params | None = None) -> pa.Table:
        """The answer of a query as columns; cancelled, the query is killed. Raises QueryTooExpensive,
        EngineUnavailable."""
        chosen, mark = _ARROW | _limits(settings), f"/*{uuid4().hex}*/"
        try:
            body = await self._run(
                self._client.raw_query, mark + sql, parameters=dict(params or {}), settings=chosen, fmt="ArrowStream"
            )
        except asyncio.CancelledError:
            killing = asyncio.ensure_future(self._kill(mark))
            self._kills.add(killing)
            killing.add_done_callback(self._kills.discard)
            raise
        import pyarrow as pa  # a start that only looks at the tables is spared it

        with pa.ipc.open_stream(pa.BufferReader(body)) as reader:
            return reader.read_all()

    async def _kill(self, mark: str) -> None:
        """End the statement with this mark. One killed while it is still being planned would be marked as cancelled and
        run on, so it gets a moment first; should the kill fail, `max_execution_time` ends the statement."""
        await asyncio.sleep(KILL_AFTER_SECONDS)
        with suppress(EngineUnavailable, ClickHouseError):
            await self.command("KILL QUERY WHERE position(query, {mark:String}) > 0 ASYNC", {"mark": mark})

    async def insert(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        """Append `rows` (columns matched by name), durable on return. A `token` seen before inserts nothing.

        Raises EngineUnavailable; then it is unknown whether the rows arrived: repeat with the same token.
        Raises InsertRefused when the rows themselves are at fault."""
        if rows.num_rows == 0:
            return
        # History may span more months than the engine's default limit of partitions in one insert.
        settings: dict[str, Any] = {"max_execution_time": INSERT_SECONDS_MAX, "max_partitions_per_insert_block": 0}
        if token is not None:
            # One block per token: a larger insert would be cut into blocks that are told apart by their number only.
            settings |= {"insert_deduplicate": 1, "insert_deduplication_token": token}
        body = await self._run(_arrow_stream, rows)
        try:
            await self._run(
                self._client.raw_insert,
                table,
                column_names=rows.column_names,
                insert_block=body,
                settings=settings,
                fmt="ArrowStream",
            )
        except ClickHouseError as error:
            raise InsertRefused(str(error).splitlines()[0]) from error

    async def command(self, sql: str, params: Params | None = None, *, settings: Params | None = None) -> Any:
        """A statement that answers nothing, or one value. Raises EngineUnavailable."""
        return await self._run(self._client.command, sql, parameters=dict(params or {}), settings=dict(settings or {}))

    async def ping(self) -> None:
        """One round trip, within PING_SECONDS_MAX, and room left on every disk. Raises EngineUnavailable."""
        try:
            async with asyncio.timeout(PING_SECONDS_MAX):
                free = int(str(await self.command("SELECT min(unreserved_space) FROM system.disks")))
        except TimeoutError as error:
            raise _unavailable(error) from error
        except ClickHouseError as error:
            if getattr(error, "code", None) != _ACCESS_DENIED:
                raise
            return  # it answers; how full its disks are is not for this user to know
        if free < DISK_FREE_BYTES_MIN:
            raise EngineUnavailable(f"ClickHouse's disk is full: {free >> 20} MB are left.", engine="clickhouse")

    async def create_all(self, cluster: str | None = None) -> None:
        """Create the tables, or bring those of an earlier version up to date. Idempotent."""
        await self.command(statement(MIGRATIONS_TABLE, cluster))
        done = {number for (number,) in await self.rows("SELECT number FROM schema_migrations")}
        for number, name, templates in MIGRATIONS:
            if number in done:
                continue
            for template in templates:
                await self.command(statement(template, cluster))
            await self.command(
                "INSERT INTO schema_migrations (number, name) SELECT {number:UInt32}, {name:String}",
                {"number": number, "name": name},
            )

    async def close(self) -> None:
        """Let running calls end, then close the connections."""
        await asyncio.gather(*self._kills)
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._client.close)


def _client(url: str, threads_max: int) -> Client:
    parts = urlsplit(url)
    return clickhouse_connect.get_client(
        interface=parts.scheme,
        host=parts.hostname or "127.0.0.1",
        port=parts.port or (8443 if parts.scheme == "https" else 8123),
        username=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        database=parts.path.strip("/") or "default",
        compress=False if parts.hostname in ("127.0.0.1", "localhost", "::1") else "lz4",
        connect_timeout=CONNECT_SECONDS_MAX,
        send_receive_timeout=INSERT_SECONDS_MAX + 10,
        autogenerate_session_id=False,
        tz_mode="aware",
        query_retries=1,
        pool_mgr=get_pool_manager(maxsize=threads_max, num_pools=1),
    )


def _limits(settings: Params | None) -> dict[str, Any]:
    limits: dict[str, Any] = {"max_execution_time": QUERY_SECONDS_MAX, "max_memory_usage": QUERY_MEMORY_BYTES_MAX}
    return limits | dict(settings or {})


def _arrow_stream(rows: pa.Table) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(use_threads=False)) as writer:
        writer.write_table(rows.combine_chunks())
    body: bytes = sink.getvalue().to_pybytes()
    return body


def tables() -> Sequence[str]:
    """The names of our tables, for counting and erasing."""
    return ("events", "person_map", "person_spans")
