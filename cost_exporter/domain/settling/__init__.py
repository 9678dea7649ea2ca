"""Settling: from all facts of a trace to one record a provider call. Pure, and independent of the order of arrival.

`settle.py` is the way in. `same_call.py` groups the spans that describe one call, `verdict.py` decides which of them
is billed and with which quantities, `lineage.py` finds ancestors and what a span inherits from them;
`base_model.py` compares model names.
"""
