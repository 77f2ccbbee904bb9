"""The processor: frames of the stream become facts (ClickHouse) and state (PostgreSQL), each event exactly once.

Not here: what an event means for identity or profile (those rooms decide), and HTTP.
Invariants: the position of the stream and all PostgreSQL effects of a batch commit together; the ClickHouse insert
comes before and carries a deduplication token of exactly the planned range; one bad event never stops the stream.
"""

from siyu.processor.tables import dead_letters

__all__ = ["dead_letters"]
