"""A client that costs little: prepared requests over a few keep-alive connections, one process."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

MIX = {
    "page_view": 0.40, "product_view": 0.30, "search": 0.13, "cart_add": 0.05, "share": 0.04, "coupon_view": 0.04,
    "order.created": 0.02, "check_in": 0.02,
}  # fmt: skip
"""Shares of the events, as in the clickstream of a shop (`demo/data/ecom.csv.gz`), with what a mini-program adds."""
BEHAVIOUR = {name: share for name, share in MIX.items() if name not in ("order.created", "check_in")} | {
    "page_view": 0.44
}
"""The same without what gives or takes value: no event of it earns, and no order changes."""


class LoadResult(NamedTuple):
    """What the client saw."""

    seconds: float
    refused: int
    """Answers that were not 200 (each was sent again until it was taken)."""
    latency_ms: list[float]


def bodies(
    events: int, persons: int, *, per_batch: int = 100, seed: int = 7, tag: str = "b", each_once: bool = False,
    mix: Mapping[str, float] = MIX,
) -> Iterator[bytes]:  # fmt: skip
    """Segment batches of about 380 bytes an event, times of the last seconds.

    `userId` is uniform over `persons`, or each person in turn (`each_once`)."""
    rng = np.random.default_rng(seed)
    base_ms = int(time.time() * 1000)
    encode = msgspec.json.Encoder().encode
    names, shares = tuple(mix), list(mix.values())
    for start in range(0, events, per_batch):
        size = min(per_batch, events - start)
        drawn = np.arange(start, start + size) % persons if each_once else rng.integers(0, persons, size)
        users = drawn.tolist()
        kinds = rng.choice(len(names), size, p=shares).tolist()
        ages = rng.integers(0, 5_000, size).tolist()
        skus = rng.integers(0, 5_000, size).tolist()
        batch = [
            {
                "type": "track",
                "messageId": f"{tag}-{start + i:010d}-9f1c-4a7e-b0aa-5f0c2d7e",
                "userId": f"member-{users[i]:08d}",
                "event": names[kinds[i]],
                "timestamp": iso(base_ms - ages[i]),
                "properties": {
                    "sku": f"SKU-{skus[i]:06d}",
                    "category": "tea",
                    "price_fen": 100 + skus[i],
                    "quantity": 1 + kinds[i] % 3,
                    "page": f"/products/{skus[i]}",
                    "position": i,
                },
                "context": {"library": {"name": "bench", "version": "1.0"}, "locale": "zh-CN", "ip": "10.0.0.1"},
                "integrations": {},
            }
            for i in range(size)
        ]
        yield encode({"batch": batch, "sentAt": iso(int(time.time() * 1000)), "writeKey": ""})


def iso(ms: int) -> str:
    """Epoch milliseconds as ISO 8601 with Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}Z"


def request(body: bytes, key: str, path: str = "/v1/batch") -> bytes:
    """A whole HTTP/1.1 request."""
    token = base64.b64encode(f"{key}:".encode()).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def send_all(
    port: int, requests: Sequence[bytes], *, connections: int = 16, per_second: float | None = None
) -> LoadResult:
    """Send every request once it was answered 200; `per_second` requests at most when given."""
    queue = iter(range(len(requests)))
    started = time.perf_counter()
    latency: list[float] = []
    refused = 0

    async def worker() -> None:
        nonlocal refused
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in queue:
            if per_second is not None:
                due = started + number / per_second
                if (wait := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
            while True:
                sent = time.perf_counter()
                writer.write(requests[number])
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                if head.startswith(b"HTTP/1.1 200"):
                    latency.append((time.perf_counter() - sent) * 1000)
                    break
                refused += 1
                await asyncio.sleep(0.05)
        writer.close()

    await asyncio.gather(*(worker() for _ in range(connections)))
    return LoadResult(time.perf_counter() - started, refused, latency)
