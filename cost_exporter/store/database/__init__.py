"""The database itself: connections, schema, statements, locks and partitions.

`connection.py` and `session.py` open connections, `embedded.py` runs a PostgreSQL of our own, `migrate.py` applies
the schema, `statements.py` finds SQL by name, `locks.py` numbers every advisory lock, `buckets.py` makes the
partitions, `unreachable.py` words the error for a database that is away.
"""
