"""The store: cost records and their rollups in PostgreSQL, exact at every commit.

`ledger.py` is the way in: it takes facts, settles the traces they touch and writes the difference, all in one
transaction. `sql/` holds its statements, those of the reports, and the schema; `embedded.py` brings a PostgreSQL where
there is none.
"""
