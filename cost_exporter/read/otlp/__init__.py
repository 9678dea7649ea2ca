"""OTLP as it is on the wire: messages, values, and the repair of what cannot be decoded.

`wire.py` is the message types, `wire_shape.py` and `otlp_bytes.py` take messages apart without decoding them,
`attribute_values.py` and `values.py` turn encoded attributes into text, numbers and flags, `repair.py` saves a
message with invalid text, `decoded.py` is a request ready to be read.
"""
