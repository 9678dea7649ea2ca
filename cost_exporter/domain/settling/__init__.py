"""Settling: from all facts of a trace to one record a provider call. Pure, and independent of the order of arrival.

`settle.py` is the way in. `same_call.py` groups the spans that describe one call, `verdict.py` decides which of them
is billed and with which quantities, `lineage.py` finds ancestors and what a span inherits from them.
They ask: `identity.py` which ids identify one call, `base_model.py` which model names are one, `look_alike.py` which
spans of two traces are alike, `finest_split.py` what the billed span takes from the others, `framing.py` which spans
only frame calls.
"""
