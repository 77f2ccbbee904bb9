"""The wiring: which rooms exist, what they get, and the processes they run in. Nothing else knows everything.

One module per process, so that each imports only what it needs: a start is mostly the time of imports.
"""
