"""Alter one column of a row of every table, as a hand or a fault would, and put it back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

Database = psycopg.Connection[Any]

_COLUMNS: Final = """
select relname, attname, format_type(atttypid, null)
from pg_class join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
where relnamespace = 'callfare'::regnamespace and relkind in ('r', 'p') and not relispartition
order by relname, attnum
"""
_OTHERS: Final[dict[str, tuple[str, ...]]] = {
    # In this order, until the schema takes one: the next value, another one, none at all.
    "text": ("{} || 'x'", "'other'", "'duplicate'", "'closed'", "'{}'", "null"),
    "bigint": ("{} + 1", "{} - 1", "1", "null"),
    "integer": ("{} + 1", "1", "null"),
    "smallint": ("{} + 1", "1", "0", "null"),
    "numeric": ("{} + 0.000000000001", "1", "null"),
    "boolean": ("not {}", "true", "null"),
    "uuid": ("'99999999-9999-9999-9999-999999999999'", "null"),
    "date": ("({} + interval '1 month')::date", "'2020-01-01'", "null"),
    "timestamp with time zone": ("{} + interval '3 hours'", "{} - interval '3 hours'", "now()", "null"),
    "bytea": ("decode('00', 'hex')", "decode('ffffffffffffffff', 'hex')", "decode('', 'hex')", "null"),
    "xid8": ("'1'",),
    "interval": ("{} + interval '1 hour'",),
    "text[]": ("{} || 'x'", "'{{x}}'"),
    "numeric[]": ("{} || 1.0",),
}


_LAST: Final = {
    "record": "cost_usd is null, issues is null",
    "journal": "kind <> 'record'",
    "trace": "workflow_name is null",
    "rate": "unit <> 'input_tokens'",
}
"""Rows that are altered only where there is no other: those in which the least is decided."""
OTHER_JSON: Final = """
create function callfare_test_other(old jsonb) returns jsonb language sql as $$
  select case jsonb_typeof(old)
    when 'array' then old - 0
    else (
      select old || jsonb_build_object(key, case jsonb_typeof(value)
        when 'number' then to_jsonb((value::text)::numeric + 1) else to_jsonb(value::text || 'x') end)
      from jsonb_each(old) order by key limit 1) end
$$
"""
"""A function that returns a JSON document with one part altered."""


class Column(NamedTuple):
    """A column of a table."""

    table: str
    name: str
    type: str

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"


def columns(database: Database) -> list[Column]:
    """Return every column of every table, from the catalogue."""
    return [Column(*row) for row in database.execute(_COLUMNS).fetchall()]


@contextmanager
def altered(database: Database, column: Column) -> Iterator[bool]:
    """Alter the column in one row, and put it back; False where the schema refuses every other value, or has no row."""
    with database.transaction(force_rollback=True):
        yield any(_alter(database, column, other) for other in _others(column))


def _others(column: Column) -> tuple[str, ...]:
    if column.type == "jsonb":
        return (f"callfare_test_other({column.name})", "'{\"x\": 1}'", "'[1]'", "null")
    return _OTHERS[column.type]


def _alter(database: Database, column: Column, other: str) -> bool:
    quoted = sql.Identifier(column.name)
    table = sql.Identifier("callfare", column.table)
    changed = sql.SQL(other).format(quoted) if "{}" in other else sql.SQL(other)  # pyright: ignore[reportArgumentType]
    statement = sql.SQL(
        "update {table} set {column} = {changed} where (tableoid, ctid) = (select tableoid, ctid from {table}"
        " where {column} is distinct from {changed} order by {last}, {column} is null limit 1) returning 1"
    )
    last = sql.SQL(_LAST.get(column.table, "ctid is null"))  # pyright: ignore[reportArgumentType]
    try:
        with database.transaction():
            database.execute("set constraints all immediate")
            ran = database.execute(statement.format(table=table, column=quoted, changed=changed, last=last))
            return ran.fetchone() is not None
    except (psycopg.errors.IntegrityError, psycopg.errors.DataError, psycopg.errors.GeneratedAlways):
        return False
