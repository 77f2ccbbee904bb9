"""Real processes that do what a test asks for, all at the same instant, round after round; and processes that die.

`python -m tests.store.racing MODULE` is one of them, started once for many rounds: it reads a job (a line of JSON),
prepares it, says that it is ready, waits for the word to go, and answers a line: how often each thing came out. MODULE
has `world(job)` (an async context: what is prepared), `work(world, job)`, `without(guards)` (a context in which guards
are left out, so that what then goes wrong shows what each is for), and for crashes `PLACES` and `attempt(job, round,
die)`.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from siyu.clock import Now
from siyu.collect.frame import decode_frame
from siyu.identity.outbox import send_waiting
from siyu.store.postgres import Database
from siyu.stream.postgres import PostgresStream
from siyu.stream.stream import NewFrame

PROCESSES = 4
Die = Callable[[str], None]
"""kill -9 of this process, if this is the place where it dies in this round."""


class Racers:
    """The processes, as a test sees them."""

    def __init__(self, module: str, processes: int = PROCESSES) -> None:
        command = [sys.executable, "-m", "tests.store.racing", module]
        self._running = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]

    async def race(self, **job: Any) -> Counter[str]:
        """All at once; how often each thing came out, of all of them."""
        jobs = [job | {"process": number} for number in range(len(self._running))]
        ready = await self._each(lambda number, process: _say(process, json.dumps(jobs[number])))
        assert set(ready) == {"ready\n"}, ready
        sums: Counter[str] = Counter()
        for answer in await self._each(lambda _, process: _say(process, "go")):
            sums.update(json.loads(answer))
        return sums

    async def crashes(self, rounds: int, **job: Any) -> None:
        """Rounds of: a process dies somewhere, another one asks again under the same keys and gets its answer."""
        first = self._running[0]
        answer = await asyncio.to_thread(_say, first, json.dumps(job | {"crashes": rounds}))
        assert json.loads(answer) == {"killed": rounds, "answered": rounds}

    async def _each(self, say: Callable[[int, subprocess.Popen[str]], str]) -> Sequence[str]:
        return await asyncio.gather(
            *(asyncio.to_thread(say, number, process) for number, process in enumerate(self._running))
        )

    def close(self) -> None:
        """End them."""
        for process in self._running:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)


def _say(process: subprocess.Popen[str], word: str) -> str:
    """A line to a process; the line it answers."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()
    return process.stdout.readline()


class DyingStream(PostgresStream):
    """A stream whose writer dies just before, or just after, what it brings is durable."""

    die: Die

    async def append(self, frames: Sequence[NewFrame]) -> None:
        """Bring frames."""
        self.die("before it is sent")
        await super().append(frames)
        self.die("before it is noted as sent")


SENDING: Final = ("before it is sent", "before it is noted as sent")
"""Places where a process dies between an effect and the outbox."""


class DyingDesk:
    """Before a desk: its process dies when a step is written and not committed yet."""

    step = ""
    die: Die

    async def work(self, connection: Any, asks: Sequence[Any]) -> Any:
        """As the desk does it."""
        answers = await super().work(connection, asks)  # type: ignore[misc]  # of the desk behind
        self.die(f"before the {self.step} is committed")
        return answers


async def send(db: Database, now: Now, die: Die) -> None:
    """Bring what waits into the stream, and maybe die meanwhile."""
    stream = DyingStream(db)
    stream.die = die
    await send_waiting(db, stream, now)


async def told(db: Database, now: Now) -> Counter[str]:
    """How many different events of each name the stream heard in the end: one that was sent twice has one id."""
    stream = PostgresStream(db)
    await send_waiting(db, stream, now)
    rows = {}
    for frame in await stream.read(0, 0, 1_000_000, 0):
        for row in decode_frame(frame.body).events.to_pylist():
            rows[row["event_id"]] = row["name"]
    return Counter(rows.values())


async def _race(module: Any, job: dict[str, Any]) -> dict[str, int]:
    with module.without(job.get("without", [])):
        async with module.world(job) as world:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            sys.stdin.readline()
            return dict(await module.work(world, job))


def _crashes(module: Any, job: dict[str, Any]) -> dict[str, int]:
    killed = answered = 0
    for round_ in range(job["crashes"]):
        for place in (module.PLACES[round_ % len(module.PLACES)], ""):
            child = os.fork()
            if child == 0:
                _attempt(module, job, round_, place)
            _, status = os.waitpid(child, 0)
            killed += os.WIFSIGNALED(status)
            answered += status == 0
    return {"killed": killed, "answered": answered}


def _attempt(module: Any, job: dict[str, Any], round_: int, place: str) -> None:
    def die(here: str) -> None:
        if here == place:
            os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        asyncio.run(module.attempt(job, round_, die))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def main() -> None:
    """Do jobs until the input ends."""
    module = importlib.import_module(sys.argv[1])
    for line in sys.stdin:
        job = json.loads(line)
        answer = _crashes(module, job) if "crashes" in job else asyncio.run(_race(module, job))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
