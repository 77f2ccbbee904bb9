"""A load for tests of faults, and what the engines counted of it."""

from __future__ import annotations

import threading
import time
from typing import Any

from .server import Server


class Sender(threading.Thread):
    """Sends batches for ever; a batch that was not acknowledged is sent again under the same ids, as SDKs do."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.acknowledged: set[str] = set()
        self.done = threading.Event()
        self._number = 0

    def run(self) -> None:
        while not self.done.is_set():
            ids = [f"m-{self._number + i}" for i in range(20)]
            self._number += 20
            batch = [self.event(number, message_id) for number, message_id in enumerate(ids)]
            while not self.server.batch(batch):
                time.sleep(0.05)
            self.acknowledged.update(ids)

    @staticmethod
    def event(number: int, message_id: str) -> dict[str, Any]:
        user = f"u{number % 50}"
        if number == 0:
            return {"type": "identify", "messageId": message_id, "userId": user, "traits": {"visits": message_id}}
        return {"type": "track", "messageId": message_id, "userId": user, "event": "load.sent"}


def counted(server: Server) -> int:
    """Events the engine counts, each once."""
    question = {
        "kind": "trend",
        "range": {"from": "2020-01-01T00:00:00Z", "to": "2040-01-01T00:00:00Z"},
        "interval": "month",
        "series": [{"event": "load.sent", "math": "count"}, {"event": "identify", "math": "count"}],
    }
    answer = server.post("/api/questions", question)
    return int(sum(line["total"] for line in answer["series"]))
