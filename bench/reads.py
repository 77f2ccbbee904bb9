"""The one who looks persons up: a process of its own with one keep-alive connection, as a shop's back end.

`python -m bench.reads PORT PERSONS SECONDS` prints {"nothing": [ms], "lookup": [ms], "timeline": [ms]} as JSON;
"nothing" is a handler that does nothing, the floor of both.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import time
from typing import Any

from bench.server import API_TOKEN


def look(port: int, persons: int, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of requests for nothing, person look-ups and timelines, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    chosen = random.Random(3)
    taken: dict[str, list[float]] = {"nothing": [], "lookup": [], "timeline": []}

    def timed(name: str, path: str) -> Any:
        started = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {API_TOKEN}"})
        body = connection.getresponse().read()
        taken[name].append((time.perf_counter() - started) * 1000)
        return json.loads(body)

    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        timed("nothing", "/healthz")
        member = f"member-{chosen.randrange(persons):08d}"
        person = timed("lookup", f"/api/persons/lookup?kind=user_id&value={member}")
        timed("timeline", f"/api/persons/{person['person_id']}/timeline?limit=50")
    return taken


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
