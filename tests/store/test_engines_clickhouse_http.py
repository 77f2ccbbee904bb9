"""The ClickHouse HTTP protocol of the embedded engine, spoken byte by byte and by the real driver."""

from __future__ import annotations

import asyncio
import base64
import gzip
import http.client
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import clickhouse_connect
import lz4.frame
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from siyu.store.clickhouse import EventStore, QueryTooExpensive


class Wire:
    """Requests without a driver."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.login = "Basic " + base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()

    def ask(
        self,
        body: Any = None,
        *,
        method: str = "POST",
        path: str = "/",
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            target = path + ("?" + urlencode(query) if query else "")
            connection.request(method, target, body, {"Authorization": self.login, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()


@pytest.fixture
def wire(clickhouse_url: str) -> Wire:
    return Wire(clickhouse_url)


@pytest.fixture
def table(wire: Wire) -> Iterator[str]:
    wire.ask("CREATE TABLE wire_rows (n UInt32, s String DEFAULT 'absent') ENGINE = MergeTree ORDER BY n")
    yield "wire_rows"
    wire.ask("DROP TABLE wire_rows")


def arrow_stream(**columns: Any) -> bytes:
    sink = pa.BufferOutputStream()
    rows = pa.table(columns)
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()


def test_ping_needs_no_password(wire: Wire) -> None:
    wire.login = ""
    assert wire.ask(method="GET", path="/ping")[::2] == (200, b"Ok.\n")
    assert wire.ask(method="GET")[::2] == (200, b"Ok.\n")


@pytest.mark.parametrize("login", ["", "Basic", "Basic !!!", "Basic " + base64.b64encode(b"default:guess").decode()])
def test_no_answer_without_the_password(wire: Wire, login: str) -> None:
    wire.login = login
    status, headers, _ = wire.ask("SELECT 1")
    assert (status, headers["x-clickhouse-exception-code"]) == (403, "516")


def test_query_in_url_body_or_both(wire: Wire) -> None:
    assert wire.ask(method="GET", query="SELECT 1 + 1")[2] == b"2\n"
    assert wire.ask("SELECT 1 + 1")[2] == b"2\n"
    assert wire.ask("+ 1", query="SELECT 1")[2] == b"2\n"
    assert wire.ask("SELECT 1 AS n FORMAT JSONEachRow")[2] == b'{"n":1}\n'
    assert wire.ask("SELECT 1 AS n", default_format="CSVWithNames")[2] == b'"n"\n1\n'


@pytest.mark.parametrize(
    ("statement", "status", "number"),
    [
        ("SELEC 1", 400, "62"),
        ("SELECT * FROM no_such_table", 404, "60"),
        ("SELECT no_such_function(1)", 404, "46"),
        ("SELECT throwIf(1)", 500, "395"),
        ("", 400, "62"),
    ],
)
def test_errors_have_number_and_status(wire: Wire, statement: str, status: int, number: str) -> None:
    answer = wire.ask(statement)
    assert (answer[0], answer[1]["x-clickhouse-exception-code"]) == (status, number)
    assert f"Code: {number}. DB::Exception" in answer[2].decode()


def test_state_does_not_leak_from_request_to_request(wire: Wire) -> None:
    setting = "SELECT value FROM system.settings WHERE name = 'max_block_size'"
    usual = wire.ask(setting)[2]
    wire.ask("SET max_block_size = 77")
    assert wire.ask(setting, max_block_size=99)[2] == b"99\n"
    wire.ask("USE system")
    for _ in range(20):
        assert wire.ask(setting)[2] == usual
        assert wire.ask("SELECT currentDatabase()")[2] == b"default\n"
    assert wire.ask("SELECT currentDatabase()", database="system")[2] == b"system\n"
    assert wire.ask("SELECT 1", database="no_such_database")[1]["x-clickhouse-exception-code"] == "81"
    assert wire.ask("SELECT 1", no_such_setting=1)[1]["x-clickhouse-exception-code"] == "115"
    assert wire.ask("SELECT 1", **{"max_threads = 1, x": 1})[1]["x-clickhouse-exception-code"] == "115"
    assert wire.ask("SELECT 1")[2] == b"1\n"


def test_rows_in_many_formats_and_wrappings(wire: Wire, table: str) -> None:
    lines = b'{"n": 1}\n{"n": 2, "s": "x"}\n'
    insert = f"INSERT INTO {table} FORMAT JSONEachRow"
    assert wire.ask(insert.encode() + b"\n" + lines)[0] == 200
    assert wire.ask(lines, query=insert)[0] == 200
    assert wire.ask(iter([lines[:5], lines[5:]]), query=insert)[0] == 200  # chunked
    assert wire.ask(gzip.compress(lines), query=insert, headers={"Content-Encoding": "gzip"})[0] == 200
    assert wire.ask(lz4.frame.compress(lines), query=insert, headers={"Content-Encoding": "lz4"})[0] == 200
    assert wire.ask(f"INSERT INTO {table} VALUES (1, DEFAULT), (2, 'x')")[0] == 200
    assert wire.ask(b"1\tabsent\n2\tx\n", query=f"INSERT INTO {table} (n, s) FORMAT TSV")[0] == 200
    arrow = arrow_stream(s=["absent", "x"], n=pa.array([1, 2], pa.uint32()))  # columns by name, not by place
    assert wire.ask(arrow, query=f"INSERT INTO `default`.{table} SETTINGS max_threads = 1 FORMAT ArrowStream")[0] == 200
    assert wire.ask(f"SELECT n, s, count() FROM {table} GROUP BY n, s ORDER BY n")[2] == b"1\tabsent\t8\n2\tx\t8\n"


def test_insert_of_a_damaged_body_is_refused_whole(wire: Wire, table: str) -> None:
    body = arrow_stream(n=pa.array(range(1000), pa.uint32()))
    for damaged in (body[: len(body) // 2], b"", b"\0" * 100, body[50:]):
        status, headers, _ = wire.ask(damaged, query=f"INSERT INTO {table} FORMAT ArrowStream")
        assert status >= 400, damaged[:20]
        assert headers["x-clickhouse-exception-code"]
    assert wire.ask(f"SELECT count() FROM {table}")[2] == b"0\n"


def test_what_is_not_supported_is_refused(wire: Wire) -> None:
    assert wire.ask("SELECT 1", decompress=1)[0] == 501
    assert wire.ask("SELECT 1", headers={"Content-Encoding": "unheard-of"})[0] == 501


@given(st.text(max_size=50), st.integers(0, 2**64 - 1), st.lists(st.text(max_size=10), max_size=3))
@hypothesis_settings(max_examples=60, deadline=None)
def test_parameters_travel_unchanged(clickhouse_url: str, text: str, number: int, texts: list[str]) -> None:
    client = _shared_client(clickhouse_url)
    sql = "SELECT {text:String}, {number:UInt64}, {texts:Array(String)}"
    parameters = {"text": text, "number": number, "texts": texts}
    assert client.query(sql, parameters=parameters).result_rows == [(text, number, texts)]


_clients: dict[str, Any] = {}


def _shared_client(url: str) -> Any:
    if url not in _clients:
        _clients[url] = clickhouse_connect.get_client(dsn=url, autogenerate_session_id=False)
    return _clients[url]


def test_the_driver_with_long_parameters_native_inserts_and_streams(clickhouse_url: str, table: str) -> None:
    client = clickhouse_connect.get_client(dsn=clickhouse_url, compress=True)
    many = [str(number) for number in range(20_000)]
    assert client.query("SELECT length({many:Array(String)})", parameters={"many": many}).result_rows == [(20_000,)]
    client.insert(table, [[1, "a"], [2, "b"]], column_names=["n", "s"])
    with client.query_rows_stream(f"SELECT n, s FROM {table} ORDER BY n") as rows:
        assert list(rows) == [(1, "a"), (2, "b")]
    assert client.command(f"EXISTS TABLE {table}") == 1
    client.close()


def test_who_leaves_is_no_longer_worked_for(wire: Wire) -> None:
    connection = http.client.HTTPConnection(wire.host, wire.port)
    slow = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000) WHERE 'left alone' != ''"
    running = "SELECT count() FROM system.processes WHERE query LIKE concat('%left', ' alone%')"
    connection.request("POST", "/", slow, {"Authorization": wire.login})
    while wire.ask(running)[2] != b"1\n":
        time.sleep(0.01)
    connection.close()
    until = time.monotonic() + 30  # by itself it would end after hours
    while (left := wire.ask(running)[2]) != b"0\n" and time.monotonic() < until:
        time.sleep(0.01)
    assert left == b"0\n"


async def test_inserts_do_not_wait_behind_questions(events: EventStore) -> None:
    await events.command("CREATE TABLE t (n UInt32) ENGINE = MergeTree ORDER BY n")
    slow = [
        asyncio.create_task(
            events.rows("SELECT sum(sipHash64(number)) FROM numbers(100000000000)", settings={"max_execution_time": 20})
        )
        for _ in range(6)
    ]
    inserted = 0
    while not any(task.done() for task in slow):
        await events.insert("t", pa.table({"n": pa.array([1], pa.uint32())}))
        inserted += 1
        if inserted == 5:
            break
    assert not any(task.done() for task in slow)
    results = await asyncio.gather(*slow, return_exceptions=True)
    assert all(isinstance(result, QueryTooExpensive) for result in results)


async def test_many_at_once(events: EventStore) -> None:
    await events.create_all()
    moment = pa.scalar(datetime(2026, 1, 1, tzinfo=UTC), pa.timestamp("ms", tz="UTC"))

    async def insert(batch: int) -> None:
        size = 500
        rows = pa.table(
            {
                "anchor": pa.array([batch] * size, pa.uint32()),
                "occurred_at": pa.repeat(moment, size),
                "received_at": pa.repeat(moment, size),
                "name": pa.array(["view"] * size).dictionary_encode(),
                "event_id": [f"{batch}-{number}" for number in range(size)],
                "batch": pa.array([batch] * size, pa.uint64()),
            }
        )
        await events.insert("events", rows, f"batch {batch}")
        await events.insert("events", rows, f"batch {batch}")

    async def ask() -> None:
        ((total, persons),) = await events.rows("SELECT count(), uniqExact(anchor) FROM events")
        assert total == persons * 500

    await asyncio.gather(*(insert(batch) for batch in range(40)), *(ask() for _ in range(40)))
    assert await events.rows("SELECT count(), uniqExact(event_id) FROM events") == [(20_000, 20_000)]


async def test_blocks_that_come_faster_than_they_are_encoded(events: EventStore) -> None:
    """A two-level GROUP BY gives its 256 blocks at once. The engine's parallel encoder waits for itself for ever on
    them (decision 0004); then the watch ends the engine, and this fails."""
    many = "SELECT number AS n, count() AS c FROM numbers(300000) GROUP BY n"
    limits = {"group_by_two_level_threshold": 1, "max_execution_time": 5}
    for _ in range(6):
        tables = await asyncio.gather(*(events.arrow(many, settings=limits) for _ in range(3)))
        assert [table.num_rows for table in tables] == [300_000] * 3


async def test_limits_answer_with_their_own_error(events: EventStore) -> None:
    with pytest.raises(QueryTooExpensive):
        await events.rows("SELECT groupArray(number) FROM numbers(1000000000)")
    with pytest.raises(QueryTooExpensive):
        await events.rows("SELECT count() FROM numbers(1000000000000)", settings={"max_execution_time": 0.2})


async def test_times_come_back_aware(events: EventStore) -> None:
    moment = datetime(2026, 11, 22, 8, 0, 0, 123000, tzinfo=UTC)
    assert await events.rows("SELECT {moment:DateTime64(3, 'UTC')}", {"moment": moment}) == [(moment,)]


def test_summary_counts_rows_of_storage(wire: Wire) -> None:
    assert json.loads(wire.ask("SELECT sum(number) FROM numbers(10)")[1]["x-clickhouse-summary"])["read_rows"] == "10"


async def test_a_cancelled_question_ends_in_the_engine(events: EventStore) -> None:
    slow = "SELECT sum(sipHash64(number)) AS s FROM numbers(1000000000000) WHERE 'given up' != ''"
    running = "SELECT count() FROM system.processes WHERE query LIKE concat('%given', ' up%')"

    async def until(count: int) -> None:
        deadline = time.monotonic() + 30
        while (await events.rows(running))[0][0] != count:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)

    asking = asyncio.ensure_future(events.arrow(slow))
    await until(1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(0)


def test_a_statement_finds_the_connection_that_has_its_settings(wire: Wire) -> None:
    """What a connection keeps, here a temporary table, shows which one was taken; settings are the asked-for ones."""
    for threads in (1, 2):  # two connections: one cannot have two tables of this name
        status, _, body = wire.ask("CREATE TEMPORARY TABLE kept (x UInt8)", max_threads=threads)
        assert status == 200, body
    for threads in (1, 2):
        assert wire.ask("DROP TABLE kept", max_threads=threads)[0] == 200
    for threads in ("1", "2", "1"):
        assert wire.ask("SELECT getSetting('max_threads')", max_threads=threads)[2].decode().strip() == threads
