"""Bounds on what is taken in, before memory is spent on it.

`admission.py` counts requests and bytes, `bounds.py` what one request may hold, `inflate.py` what compressed bytes
may become, `watchdog.py` how long a sender may take.
"""
