"""`python -m siyu.app web|doors|collect|process|jobs|bootstrap|template`: what `siyu serve` starts. The engines'
addresses stand in SIYU_*."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

import msgspec
import uvloop

# structlog would load `rich` for coloured traces that nobody sees here: 0.2 s of the start of every process.
sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

del sys.modules["rich"]

from siyu.settings import Settings, load_settings  # noqa: E402
from siyu.store.priority import give_way, take_short_turns  # noqa: E402
from siyu.store.template import forked_role  # noqa: E402

ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""numpy and Arrow start a thread each when imported, and neither is used: no linear algebra here, and Arrow's memory
comes from mimalloc. A process that others are forked from has one thread."""


def configure_log() -> None:
    """One line per event on stderr; traces without local variables, which would show people's data."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def await_start() -> None:
    """Wait at the supervisor's gate until the engines and tables are ready; without a supervisor they are."""
    gate = os.environ.get("SIYU_START_FD")
    if gate is not None:
        os.read(int(gate), 1)


def settle_memory() -> None:
    """What was imported stays: leave it out of the collector's rounds, and have fewer of them. A batch makes hundreds
    of thousands of small objects that die without its help (a third of the cost of registering identifiers)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def work_of(role: str) -> Callable[[Settings], Coroutine[Any, Any, Any]]:
    """What a process of this role does; importing it is most of its start."""
    if role == "bootstrap":
        from siyu.app.bootstrap import bootstrap

        return bootstrap
    if role in ("web", "collect"):
        from siyu.app.web import serve_web

        return partial(serve_web, doors_only=role == "collect")
    if role == "doors":
        from siyu.app.doors import serve_doors

        return serve_doors
    if role == "process":
        from siyu.app.process import process

        return process
    if role == "jobs":
        from siyu.app.jobs import jobs

        return jobs
    raise SystemExit(f"unknown role {role!r}: web, doors, collect, process, jobs, bootstrap or template")


def main(role: str) -> None:
    """Run one process of the given role; returns when it is told to stop. Imports first, then waits for its turn."""
    if role == "template":
        os.environ.update(ONE_THREAD)
        role = forked_role(work_of)
    configure_log()
    settings = load_settings()
    work = work_of(role)
    if role in ("doors", "process", "jobs"):
        give_way()
    elif role in ("web", "collect"):
        take_short_turns()
    settle_memory()
    await_start()
    answer = uvloop.run(work(settings))
    if role == "bootstrap":
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "web")
