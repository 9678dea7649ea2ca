"""Settle a trace: from all its facts decide which calls are billed, on whose account, and what they cost.

A pure function of the *set* of facts. Whatever the order, batching or repetition in which spans arrive, the
same set gives the same records: that is what makes rollups reproducible (semantics 2, 6, 9, 16).
"""
