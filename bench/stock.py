"""Flash-sale stock beside its naive limit: one row of PostgreSQL, written by `pgbench` with the minimal SQL of the same
transaction, on the same server with the same durability, in turns of a few seconds.

`python -m bench.stock [--cells hold,order,http] [--rounds N] [--seconds N]`. `hold`: units set aside for a time (the
ledger's two-phase transfer); `order`: whole orders of one SKU, stored with their event; `http`: the same over the API.
Client, server and engines share the machine's cores; stock and invariants are checked at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import uvloop

from bench.disk import add_option, delay_commits
from bench.ledger import _TABLES, ASKING, CONNECTIONS, Measured, check, floor, in_a_transaction, report
from bench.load import send_all
from bench.server import API_TOKEN, Server, add_workers_option, running_server
from siyu.app.__main__ import settle_memory
from siyu.coupons.pricing import Pricing
from siyu.ledger import Ledger
from siyu.ledger.read_records import balances
from siyu.shop import Orders, products, stock
from siyu.shop.placing import Tools
from siyu.shop.product import Product, Sku
from siyu.shop.products import Hold, Stock
from siyu.shop.request import Place, WantedLine
from siyu.store.clickhouse import EventStore
from siyu.store.postgres import Database

ZONE = ZoneInfo("Asia/Shanghai")
UNITS = 10**9
HOT = Product(id="hot", name="hot", skus=(Sku(sku="HOT", price_fen=990, tracked=True),))


def now() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)


async def prepare(dsn: str) -> None:
    """A SKU with more units than anybody buys, and the floor's tables."""

    async def work(connection: Any) -> None:
        await connection.execute(_TABLES)
        await products.put_product(connection, HOT, now())
        await Ledger(ZONE).post(connection, [stock.add("HOT", UNITS, stock.Told(uuid4(), now(), "bench"))])

    await in_a_transaction(dsn, work)


async def in_process(dsn: str, events_url: str, cell: str, seconds: float) -> Measured:
    """Requests through a desk of this process."""
    db, events = await Database.open(dsn), await EventStore.open(events_url)
    ledger = Ledger(ZONE)
    orders = Orders(db, now, Tools(Pricing(events, ledger, ZONE, b"bench"), 1_800))
    holds = Stock(db, ledger, now)

    async def hold() -> None:
        await holds.ask("HOT", Hold(1, 1_800), str(uuid4()), "bench")

    async def order() -> None:
        place = Place(order_id=uuid4().hex, end="web", lines=(WantedLine("HOT", 1, 990),))
        await orders.place(place, str(uuid4()), "bench")

    done = await _repeat(hold if cell == "hold" else order, seconds)
    await events.close()
    await db.close()
    return done


async def _repeat(once: Callable[[], Awaitable[None]], seconds: float) -> Measured:
    latency: list[float] = []
    started = time.perf_counter()

    async def ask() -> None:
        while (begun := time.perf_counter()) < started + seconds:
            await once()
            latency.append((time.perf_counter() - begun) * 1000)

    await asyncio.gather(*(ask() for _ in range(ASKING)))
    return Measured(len(latency) / (time.perf_counter() - started), latency)


def over_http(server: Server, requests: int) -> Measured:
    """Orders over the API, a key each, keep-alive connections."""
    prepared = []
    for _ in range(requests):
        body = {"order_id": uuid4().hex, "end": "web", "lines": [{"sku": "HOT", "qty": 1, "price_fen": 990}]}
        text = json.dumps(body).encode()
        head = (
            f"POST /api/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {API_TOKEN}\r\n"
            f"Content-Type: application/json\r\nIdempotency-Key: {uuid4()}\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        prepared.append(head.encode() + text)
    result = uvloop.run(send_all(server.port, prepared, connections=CONNECTIONS))
    assert not result.refused, f"{result.refused} refused"
    return Measured(requests / result.seconds, result.latency_ms)


async def conserved(dsn: str) -> None:
    """sold + reserved + available = stock."""
    db = await Database.open(dsn)
    async with db.driver() as connection:
        seen = stock.view("HOT", await balances(connection, [stock.holder("HOT")]))
    assert seen.sold + seen.reserved + seen.available == seen.stock == UNITS
    await db.close()


def main() -> None:
    """Measure."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--cells", default="hold,order,http")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=4)
    add_option(arguments)
    add_workers_option(arguments)
    wanted = arguments.parse_args()
    settle_memory()  # as in the server: what runs in this process does so on the same terms
    with running_server(wanted.workers) as server:
        engines = json.loads((server.home / "run" / "engines.json").read_text())
        dsn, events_url = engines["database_url"], engines["events_url"]
        uvloop.run(prepare(dsn))
        delay_commits(server.home, dsn, wanted.commit_ms)
        print("| what | pgbench/s | Siyu/s | ratio (range) | p50 / p95 / p99 ms |\n| --- | ---: | ---: | ---: | ---: |")
        for cell in wanted.cells.split(","):
            floors: list[Measured] = []
            ours: list[Measured] = []
            guess = 400
            for _ in range(wanted.rounds):
                floors.append(floor(dsn, "hot", wanted.seconds))
                if cell == "http":
                    ours.append(over_http(server, guess))
                    guess = int(ours[-1].per_second * wanted.seconds)
                else:
                    ours.append(uvloop.run(in_process(dsn, events_url, cell, wanted.seconds)))
            report(f"hot stock, {cell}", floors, ours)
        uvloop.run(conserved(dsn))
        uvloop.run(check(dsn))


if __name__ == "__main__":
    main()
