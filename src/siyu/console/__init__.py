"""The console: server-rendered pages for the people who operate the system.

What: login and operators, overview, persons, questions, sources, identity conflicts. Pages read other rooms through
their public functions; the only tables of this room are about operators.
What not: no business rule, no SQL over another room's tables.
Invariants: every page but the login needs a live session; every change needs a CSRF token; no inline script runs.
"""
