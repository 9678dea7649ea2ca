"""From the bytes of a request to OTLP messages; one bad span never costs its neighbours.

`decode.py` is the way in. What protobuf refuses as a whole goes to `salvage.py`, which saves the good spans. JSON is
read by `otlp_json.py`, with `json_scalars.py` for its numbers and ids and `json_depth.py` against deep nesting.
"""
