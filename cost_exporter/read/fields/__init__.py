"""The fields of a call, each read by a function of its own from a `Reading` of one span.

`reading.py` is one span and what is known of all spans with the same attribute names. `identity.py` works out
operation, provider and models, `quantities.py` the usage, `costs.py` stated costs, `failure.py` how a call ended,
`times.py` when it was; `vendor_usage.py` reads usage objects, `content_hash.py` recognises the same span again.
"""
