"""What the doors count for /metrics."""

from __future__ import annotations

from prometheus_client import Counter

EVENTS = Counter("siyu_door_events", "Events that came in, by dialect and outcome", ["dialect", "outcome"])
ANSWERS = Counter("siyu_door_answers", "Answers of the doors, by door and HTTP status", ["door", "status"])
