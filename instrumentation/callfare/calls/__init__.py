"""One span per paid call, whatever its form: what the instrumentations of the vendors are made of.

`span.py` opens and finishes a call once, `stream.py` wraps streamed answers, `session.py` long connections that
report deltas, `websocket.py` listens to sockets, `wrapping.py` puts wrappers around methods; `failure.py` says how
a call failed, `producer.py` numbers spans, `extras.py` names paid extras, `voice_call.py` is a call of many turns.
"""
