"""`python -m siyu.app web|doors|collect|process|bootstrap`: what `siyu serve` starts, engines' addresses in SIYU_*."""

from __future__ import annotations

import gc
import os
import sys

import msgspec
import uvloop

# structlog would load `rich` for coloured traces that nobody sees here: 0.2 s of the start of every process.
sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

del sys.modules["rich"]

from siyu.settings import load_settings  # noqa: E402
from siyu.store import priority  # noqa: E402


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


def main(role: str) -> None:
    """Run one process of the given role; returns when it is told to stop. Imports first, then waits for its turn."""
    configure_log()
    settings = load_settings()
    if role == "bootstrap":
        from siyu.app.bootstrap import bootstrap

        await_start()
        sys.stdout.write(msgspec.json.encode(uvloop.run(bootstrap(settings))).decode() + "\n")
    elif role in ("web", "collect"):
        from siyu.app.web import serve_web

        priority.take_short_turns()
        settle_memory()
        await_start()
        uvloop.run(serve_web(settings, doors_only=role == "collect"))
    elif role == "doors":
        from siyu.app.doors import serve_doors

        priority.give_way()
        settle_memory()
        await_start()
        uvloop.run(serve_doors(settings))
    elif role == "process":
        from siyu.app.process import process

        priority.give_way()
        settle_memory()
        await_start()
        uvloop.run(process(settings))
    else:
        raise SystemExit(f"unknown role {role!r}: web, doors, collect, process or bootstrap")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "web")
