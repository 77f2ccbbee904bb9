"""Slow, obvious evaluators of questions over plain lists of events: what the engine must agree with."""
