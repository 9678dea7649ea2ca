"""Reading: OTLP spans -> usage records, whatever dialect the emitter speaks.

`request.py` is the way in: it decides which spans are calls. `call.py` reads one span with the functions of `fields/`,
by the tables of `vocabulary/` and what `dialects/` add; `plain.py` is the same for spans that need no thought.
`layout.py` is what all spans with the same attribute names have in common, `origin.py` what a resource states.
`unread.py` and `look_alike.py` find what was not understood, `estimate.py` fills in usage from lengths, `strip.py`
removes content and `dead_letter.py` keeps what cannot be read; `otlp/` is the wire format.
"""
