"""Instrumentations that describe the same calls, or that do not work together: for `callfare doctor` and the log.

`instrumentations.py` is the table of what is known of each; `collisions.py` finds those that are installed or seen
together, and says how to keep one of them.
"""
