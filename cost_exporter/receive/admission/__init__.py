"""Bounds on what is taken in, before memory is spent on it.

`arrivals.py` bounds how long a body may be on its way, `admission.py` counts requests and bytes and gives turns,
`bounds.py` says what one request may hold, `inflate.py` what compressed bytes may become.
"""
