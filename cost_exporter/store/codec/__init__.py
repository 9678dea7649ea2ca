"""Domain values as PostgreSQL keeps them, and back. Pure: no statement, no connection.

`arrays.py` makes one binary array a column, `record_columns.py` is a record as a row, `fact_json.py`,
`call_json.py` and `quote_json.py` are its JSON columns, `link_bytes.py` packs the links of a trace.
"""
