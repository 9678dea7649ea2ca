"""The store: cost records and their rollups in PostgreSQL, exact at every commit.

`ledger/ledger.py` is the way in: it takes facts, settles the traces they touch and writes the difference, all in one
transaction. `sql/` holds the schema and every statement (`database/statements.py` has the convention); `database/`
connects, migrates and brings a PostgreSQL where there is none; `codec/` turns values into columns. `reading.py` is for
reports; each other file does one job beside ingest: price books, re-rating, dead letters, outbox, final workflows,
tokens, retention and so on.
"""
