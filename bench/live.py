"""What live rules and segments cost ingest: the same load with none, and with `--rules` earn rules and `--segments`
segments, in turns on one server.

`python -m bench.live [--events N] [--persons N] [--rounds N]`. One event in fifty earns points,
once per person and day.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from bench.ingest import Run, run
from bench.load import MIX
from bench.server import API_TOKEN, Server, running_server
from siyu.collect.catalogue import CATALOGUE, canonical

EARNING = canonical("check_in")


def call(server: Server, method: str, path: str, body: Any = None) -> Any:
    """A call of the API that must be taken."""
    headers = {"Authorization": f"Bearer {API_TOKEN}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", data, headers, method=method)
    with urllib.request.urlopen(asked, timeout=120) as answer:
        return json.loads(answer.read() or b"null")


class Live:
    """Rules and segments that are switched on and off."""

    def __init__(self, server: Server, rules: int, segments: int) -> None:
        self._server = server
        self._version = 0
        coming = {canonical(name) for name in MIX}
        names = [EARNING, *(entry.name for entry in CATALOGUE if entry.name not in coming)]
        self._rules = [names[number % len(names)] for number in range(rules)]
        self._defaults = [rule["id"] for rule in server.get("/api/points/rules")["items"]]
        ready = [{name: one[name] for name in ("key", "label", "rule")} for one in server.get("/api/segments")]
        more = [_bought(number) for number in range(max(0, segments - len(ready)))]
        self._segments = (ready + more)[:segments]

    def switch(self, *, on: bool) -> None:
        """Have all of them, or none."""
        self._version += 1
        for number, event in enumerate(self._rules):
            rule = {
                "id": f"bench-{number}", "version": self._version, "event": event, "label_zh": "测",
                "label_en": "bench", "points": 1, "once_per": "day", "active": on,
            }  # fmt: skip
            call(self._server, "PUT", f"/api/points/rules/{rule['id']}", rule)
        here = [one["key"] for one in self._server.get("/api/segments")]
        self._each(here, lambda key: call(self._server, "DELETE", f"/api/segments/{key}"))
        wanted = [one | {"events": False} for one in self._segments] if on else []
        self._each(wanted, lambda one: call(self._server, "POST", "/api/segments", one))
        until = time.monotonic() + 300
        while any(not one["ready"] for one in self._server.get("/api/segments")):
            assert time.monotonic() < until, "the segments were not built"
            time.sleep(0.5)
        time.sleep(6)  # a changed rule is noticed within five seconds

    @staticmethod
    def _each(wanted: list[Any], do: Callable[[Any], object]) -> None:
        """Do it for each; what others stand on, or what stands on others, in a later turn."""
        while wanted:
            left = []
            for one in wanted:
                try:
                    do(one)
                except urllib.error.HTTPError:
                    left.append(one)
            assert len(left) < len(wanted), left
            wanted = left


def _bought(times: int) -> dict[str, Any]:
    window = {"last": 30, "unit": "day"}
    rule = {"metric": "count", "event": "product_view", "window": window, "op": "gte", "value": times + 2}
    return {"key": f"bench.{times}", "label": f"bench {times}", "rule": rule}


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--persons", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rules", type=int, default=40)
    parser.add_argument("--segments", type=int, default=30)
    options = parser.parse_args()
    with running_server() as server:
        time.sleep(3)
        live = Live(server, options.rules, options.segments)
        live.switch(on=False)
        run(server, options.persons, options.persons, "new", each_once=True)
        without: list[Run] = []
        with_: list[Run] = []
        for turn in range(options.rounds):
            live.switch(on=False)
            without.append(run(server, options.events, options.persons, f"off{turn}"))
            live.switch(on=True)
            with_.append(run(server, options.events, options.persons, f"on{turn}"))
    print("| ingest, persons known | events/s | CPU per event, µs |\n| --- | ---: | --- |")
    for name, runs in (
        ("no live rule or segment", without),
        (f"{options.rules} rules, {options.segments} segments", with_),
    ):
        best = max(runs, key=lambda one: one.processed)
        print(f"| {name} | {best.processed:,.0f} | {best.cpu()} |")
    ratios = [on.processed / off.processed for on, off in zip(with_, without, strict=True)]
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})")


if __name__ == "__main__":
    main()
