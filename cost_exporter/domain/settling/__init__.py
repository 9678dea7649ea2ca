"""Settling: from all facts of a trace to one record per provider call. Pure, and independent of the order of arrival.

`settle.py` is the way in. `same_call.py` groups the spans that describe one call (`agreement.py`: whether two can),
`verdict.py` decides which of them is billed and with which quantities, `lineage.py` finds ancestors and what a span
inherits from them. They ask: `identity.py` which ids identify one call, `gateway_ids.py` which of these a gateway
made up, `base_model.py` which model names are one, `look_alike.py` which spans of two traces are alike,
`finest_split.py` what the billed span takes from the others, `framing.py` which spans only frame calls.
`component.py` finds the part of a long trace that has to be settled together.
"""
