"""demo: a made-up brand of tea and pet food, 茗爪 (Teapaw), with 20,000 customers over 180 days.

What: a seeded generator of HTTP requests in the dialects real ends speak (`generate`), a loader that posts them to the
doors (`load`), and the load that can be interrupted and repeated (`actions.load_demo`).
What not: nothing is written into any store directly; what doors, processor and questions make of it is real.
Invariants: the same seed and end date give the same bytes; message ids are derived, so loading again adds nothing.
"""
