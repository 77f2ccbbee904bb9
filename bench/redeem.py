"""Redemption of coupons beside its raw limit: `pgbench` with the minimal SQL (one update, one insert), on the same
server with the same durability, in turns of a few seconds; and what a quote and a million codes cost.

`python -m bench.redeem [--rounds N] [--seconds N] [--codes N]`. Client, server and engines share the machine's cores;
that no coupon was used twice is checked at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import uvloop

from bench.disk import add_option, delay_commits
from bench.ledger import ASKING, CONNECTIONS, PGBENCH, PGBENCH_CLIENTS, ZONE, Measured, person, report
from bench.load import request as http_request
from bench.load import send_all
from bench.server import API_TOKEN, WRITE_KEY, Server, add_workers_option, running_server
from siyu.app.__main__ import settle_memory
from siyu.clock import system_now
from siyu.coupons.code import Vault
from siyu.coupons.pricing import Pricing
from siyu.coupons.request import Redeem
from siyu.coupons.till import Till
from siyu.ledger import Ledger
from siyu.store.postgres import Database

PERSONS = 2_000
CODES = 100_000
"""Of the floor."""
SECRET_FILE = "secret"

_TABLES = f"""
CREATE TABLE floor_codes (id int PRIMARY KEY, code uuid NOT NULL UNIQUE, state text NOT NULL, used bigint NOT NULL)
  WITH (fillfactor = 60);
INSERT INTO floor_codes SELECT n, gen_random_uuid(), 'given', 0 FROM generate_series(1, {CODES}) n;
CREATE TABLE floor_uses (key uuid PRIMARY KEY, code int NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON floor_uses (code)
"""
# A code is used again and again, so that a turn does not run out of them; its state is written all the same.
_FLOOR = f"""
\\set a random(1, {CODES})
BEGIN;
UPDATE floor_codes SET state = 'redeemed', used = used + 1 WHERE id = :a AND state IN ('given', 'redeemed');
INSERT INTO floor_uses (key, code) VALUES (gen_random_uuid(), :a);
END;
"""
_GIVE = """
INSERT INTO coupons (code, sealed, template, version, state, anchor, holder, nth, given_at, given_on)
SELECT n.code, n.sealed, 'BENCH', 1, 'given', i.id, i.id::text, n.nth, now(), now()::date
FROM unnest($1::uuid[], $2::bytea[], $3::int[], $4::text[]) AS n(code, sealed, nth, value)
JOIN identifiers i ON i.kind = 'user_id' AND i.value = n.value
"""


def floor(dsn: str, seconds: float) -> Measured:
    """pgbench with the minimal SQL, prepared."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_FLOOR)
        script.flush()
        command = [PGBENCH, "-n", "-M", "prepared", "-c", PGBENCH_CLIENTS, "-j", 2, "-T", int(seconds), "-f"]
        words = [str(part) for part in (*command, script.name, dsn)]
        made = subprocess.run(words, capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([\d.]+)", made.stdout)
    assert found is not None, made.stdout
    return Measured(float(found[1]), [])


def call(path: str, body: Any, key: str | None = None) -> bytes:
    """A request as bytes."""
    text = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {API_TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n"
    )
    return (head + (f"Idempotency-Key: {key}\r\n" if key else "") + "\r\n").encode() + text


def over_http(server: Server, path: str, bodies: list[Any], *, keys: bool, connections: int = CONNECTIONS) -> Measured:
    """Requests over keep-alive connections."""
    prepared = [call(path, body, str(uuid4()) if keys else None) for body in bodies]
    result = uvloop.run(send_all(server.port, prepared, connections=connections))
    assert not result.refused, f"{result.refused} refused"
    return Measured(len(bodies) / result.seconds, result.latency_ms)


async def in_process(dsn: str, secret: bytes, codes: list[str]) -> Measured:
    """The till's own part: requests with keys in this process, many at once."""
    db = await Database.open(dsn)
    till = Till(db, system_now, Pricing(cast(Any, None), Ledger(ZONE), ZONE, secret))
    latency: list[float] = []
    waiting = iter(codes)

    async def ask() -> None:
        for code in waiting:
            started = time.perf_counter()
            await till.redeem(Redeem(code=code), str(uuid4()))
            latency.append((time.perf_counter() - started) * 1000)

    started = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(ASKING)))
    took = time.perf_counter() - started
    await db.close()
    return Measured(len(codes) / took, latency)


def put(server: Server, path: str, body: Any) -> None:
    """Make or change something."""
    headers = {"Authorization": f"Bearer {API_TOKEN}", "Content-Type": "application/json"}
    address = f"http://127.0.0.1:{server.port}{path}"
    asked = urllib.request.Request(address, json.dumps(body).encode(), headers, method="PUT")
    with urllib.request.urlopen(asked, timeout=60):
        return


async def prepare(dsn: str, server: Server) -> None:
    """Persons and the floor's tables."""
    db = await Database.open(dsn)
    async with db.driver() as connection:
        await connection.execute(_TABLES)
    await db.close()
    people = [
        {"type": "identify", "userId": person(n)["value"], "messageId": f"i{n}", "traits": {}} for n in range(PERSONS)
    ]
    bodies = [json.dumps({"batch": people[start : start + 500]}).encode() for start in range(0, PERSONS, 500)]
    await send_all(server.port, [http_request(body, WRITE_KEY) for body in bodies])
    server.wait_processed(PERSONS)


class Stock:
    """Coupons that persons have, made past the API: giving is not what is measured."""

    def __init__(self, dsn: str, secret: bytes) -> None:
        self._dsn, self._vault, self._made = dsn, Vault(secret), 0

    async def give(self, count: int) -> list[str]:
        """So many codes, spread over the persons."""
        codes = [f"BENCH{n:09d}" for n in range(self._made, self._made + count)]
        sealed = self._vault.seal_all(codes)
        numbers = range(self._made, self._made + count)
        db = await Database.open(self._dsn)
        async with db.driver() as connection:
            await connection.execute(
                _GIVE, [one.number for one in sealed], [one.body for one in sealed],
                [number // PERSONS + 1 for number in numbers],
                [person(number % PERSONS)["value"] for number in numbers],
            )  # fmt: skip
        await db.close()
        self._made += count
        return codes


async def check(dsn: str, used: int) -> None:
    """Every redemption has its coupon, its lock and its reply, and no coupon two."""
    db = await Database.open(dsn)
    async with db.driver() as connection:
        assert await connection.fetchval("SELECT count(*) FROM coupons WHERE state = 'redeemed'") == used
        assert await connection.fetchval("SELECT count(DISTINCT coupon) FROM coupon_lock_parts") == used
        assert await connection.fetchval("SELECT count(*) FROM coupon_locks WHERE state = 'committed'") == used
    await db.close()


def quotes(server: Server) -> None:
    """What a quote takes, one after the other: with no rules about events, and with one."""
    lines = [{"sku": f"S{n}", "qty": 1, "price_fen": 1_000 + n} for n in range(5)]
    bodies = [{"person": person(n % PERSONS), "end": "web", "lines": lines} for n in range(300)]
    first = {"person": "first_paid_order", "op": "eq", "value": True}
    counted = {"metric": "count", "event": "page", "op": "gte", "value": 1}
    for name, condition in (("a rule about orders", first), ("and a rule that counts events", counted)):
        put(
            server,
            f"/api/price-rules/{name.split()[-1]}",
            {"id": name.split()[-1], "off_fen": 1, "condition": condition},
        )
        over_http(server, "/api/quotes", bodies[:50], keys=False, connections=1)
        waits = sorted(over_http(server, "/api/quotes", bodies, keys=False, connections=1).latency_ms)
        print(f"quote with {name}: p50 {waits[len(waits) // 2]:.1f} ms, p99 {waits[int(len(waits) * 0.99)]:.1f} ms")


def main() -> None:
    """Measure."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=4)
    arguments.add_argument("--codes", type=int, default=1_000_000)
    add_option(arguments)
    add_workers_option(arguments)
    wanted = arguments.parse_args()
    settle_memory()  # as in the server: what runs in this process does so on the same terms
    with running_server(wanted.workers) as server:
        dsn = json.loads((server.home / "run" / "engines.json").read_text())["database_url"]
        uvloop.run(prepare(dsn, server))
        delay_commits(server.home, dsn, wanted.commit_ms)
        put(server, "/api/coupons/templates/BENCH", {"id": "BENCH", "kind": "amount", "off_fen": 2_000})
        put(server, "/api/coupons/templates/POOL", {"id": "POOL", "kind": "amount", "off_fen": 2_000})
        secret = (Path(server.home) / SECRET_FILE).read_text().strip().encode()
        stock = Stock(dsn, secret)
        quotes(server)
        # Nobody counts the first ones: processes and caches are cold.
        warm = uvloop.run(stock.give(500))
        over_http(server, "/api/coupons/redeem", [{"code": code} for code in warm], keys=True)
        floors: list[Measured] = []
        bare: list[Measured] = []
        ours: list[Measured] = []
        used, guess, more = len(warm), 2_000, 4_000
        for _ in range(wanted.rounds):
            floors.append(floor(dsn, wanted.seconds))
            codes = uvloop.run(stock.give(more))
            bare.append(uvloop.run(in_process(dsn, secret, codes)))
            used, more = used + more, int(bare[-1].per_second * wanted.seconds)
            codes = uvloop.run(stock.give(guess))
            bodies = [{"code": code} for code in codes]
            ours.append(over_http(server, "/api/coupons/redeem", bodies, keys=True))
            used, guess = used + guess, int(ours[-1].per_second * wanted.seconds)
        print("| what | pgbench/s | Siyu/s | ratio (range) | p50 / p95 / p99 ms |\n| --- | ---: | ---: | ---: | ---: |")
        report("redeem spread, in process", floors, bare)
        report("redeem spread, HTTP", floors, ours)
        uvloop.run(check(dsn, used))
        started = time.perf_counter()
        server.post("/api/coupons/templates/POOL/pools/one/codes", {"count": wanted.codes})
        print(f"{wanted.codes:,} codes made and stored in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
