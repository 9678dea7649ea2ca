"""How long audio is, from its bytes alone. Pure.

`duration.py` knows encodings and sample rates, `frames.py`, `flac.py` and `ogg.py` read containers, `meter.py` adds up
a stream.
"""
