"""Computed dimensions (计算维度): figures of a person, worked out from their events. `catalogue` is data.

A dimension is an expression: aggregates over the person's events (`dimension.Aggregate`, SQL in `aggregate_sql`) and
arithmetic over these (`arithmetic`). `evaluate` is the slow, obvious reference for both. Not here: who is in a segment.
"""
