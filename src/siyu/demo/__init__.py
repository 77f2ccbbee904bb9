"""demo: a made-up brand of tea and pet food, 茗爪 (Teapaw), with 20,000 customers over 180 days.

What: a seeded generator of HTTP requests in the dialects real ends speak, and a loader that posts them to the doors.
What not: nothing is written into any store directly; what doors, processor and questions make of it is real.
Invariants: the same seed and end date give the same bytes; message ids are derived, so loading again adds nothing.
"""

from siyu.demo.actions import DemoProgress, load_demo
from siyu.demo.generate import DoorRequest, generate
from siyu.demo.load import load

__all__ = ["DemoProgress", "DoorRequest", "generate", "load", "load_demo"]
