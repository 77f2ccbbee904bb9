"""The durable log between doors and processor.

Not here: what a frame holds (collect) and what becomes of it (processor).
"""

from siyu.stream.tables import stream_frames, stream_partitions, stream_positions

__all__ = ["stream_frames", "stream_partitions", "stream_positions"]
