"""Post requests to the doors of a running server: a few at a time, in order, each until it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from typing import Final

import httpx

from siyu.demo.generate import DoorRequest
from siyu.errors import EngineUnavailable, SiyuError

AT_ONCE: Final = 4
SECONDS_MAX: Final = 120.0
"""How long a request is repeated before the load gives up; it can be continued later."""
_PAUSE_S: Final = 0.5
_WAVE: Final = 24
"""Requests after which the progress is reported."""


class DoorRefused(SiyuError):
    """A door refused a request of the demo; the message has its answer."""

    code = "DOOR_REFUSED"


async def load(
    base_url: str,
    requests: Iterator[DoorRequest],
    answered: Callable[[list[DoorRequest]], Awaitable[None]],
) -> None:
    """Post all `requests` to `base_url`. `answered` is told each wave of requests once all of it is durable.

    Raises DoorRefused, EngineUnavailable when the server stays away."""
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=base_url, limits=limits, timeout=60.0, trust_env=False) as client:
        slots = asyncio.Semaphore(AT_ONCE)
        coming = asyncio.create_task(asyncio.to_thread(_wave, requests))
        while wave := await coming:
            coming = asyncio.create_task(asyncio.to_thread(_wave, requests))  # written while this one is on its way
            await asyncio.gather(*(_post(client, slots, request) for request in wave))
            await answered(wave)


def _wave(requests: Iterator[DoorRequest]) -> list[DoorRequest]:
    return list(islice(requests, _WAVE))


async def _post(client: httpx.AsyncClient, slots: asyncio.Semaphore, request: DoorRequest) -> None:
    deadline = asyncio.get_running_loop().time() + SECONDS_MAX
    async with slots:
        while True:
            pause_s = _PAUSE_S
            try:
                answer = await client.post(request.path, content=request.body, headers=request.headers)
                if answer.is_success:
                    return
                if answer.status_code not in {408, 429, 500, 502, 503, 504}:
                    raise DoorRefused(
                        f"{request.path.partition('?')[0]} answered {answer.status_code}: {answer.text[:300]}"
                    )
                pause_s = float(answer.headers.get("Retry-After", pause_s))
                said = f"answers {answer.status_code}"
            except httpx.TransportError as error:
                said = f"does not answer ({error or type(error).__name__})"
            if asyncio.get_running_loop().time() > deadline:
                raise EngineUnavailable(f"The server {said}; run `siyu demo` again to go on.", engine="server")
            await asyncio.sleep(min(pause_s, 5.0))
