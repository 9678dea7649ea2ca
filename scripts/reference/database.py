"""Tables and views, from the catalogue of a migrated database and its comments."""

from collections.abc import Iterator

import psycopg

from scripts.reference.markdown import code, described, table

RELATIONS = """
select class.oid, class.relname, class.relkind, obj_description(class.oid, 'pg_class')
from pg_class as class join pg_namespace as namespace on namespace.oid = class.relnamespace
where namespace.nspname = 'callfare' and class.relkind in ('r', 'p', 'v') and not class.relispartition
order by class.relname
"""
COLUMNS = """
select attribute.attname, format_type(attribute.atttypid, attribute.atttypmod), attribute.attnotnull,
  col_description(attribute.attrelid, attribute.attnum)
from pg_attribute as attribute
where attribute.attrelid = %s and attribute.attnum > 0 and not attribute.attisdropped
order by attribute.attnum
"""
STABLE = (
    *("cost_record", "workflow_cost", "voice_call", "latency", "daily_cost", "usage_stats", "dead_letter"),
    *("budget_status", "closed_period", "record_revision", "amendment"),
    *("price", "price_book_version", "integrity_check", "producer_gap"),
)
"""What users may rely on. Every column of these has a comment in the database."""
WHERE = "cost_exporter/store/sql/comments.sql"


def page(database_url: str) -> list[str]:
    """Return the page: the stable relations column by column, then the internal ones."""
    lines = [
        "For questions that no report answers: the tables and views that you may query, column by column. `callfare up` prints the",
        "`database` URL; `psql` takes it. A user for dashboards needs only to read:",
        "",
        "```sql",
        "select started_at, model, cost_usd, status from callfare.cost_record",
        "where tenant_id = 'acme' and started_at >= date '2026-11-01' order by cost_usd desc nulls last limit 10;",
        "```",
        "",
        "Schema `callfare`. Times are `timestamptz`; money is `numeric` in US dollars and exact. `cost_usd` is null where a cost is",
        "unknown, never 0. `psql` shows the same descriptions with `\\d+ callfare.cost_record`.",
        "",
    ]
    with psycopg.connect(database_url) as connection:
        found = {name: (oid, kind, text) for oid, name, kind, text in connection.execute(RELATIONS)}
        for name in STABLE:
            oid, kind, text = found.pop(name)
            lines += [f"## {name}", f"{'View' if kind == 'v' else 'Table'}. {described(text, name, WHERE)}", ""]
            lines += table(["column", "type", "meaning"], column_rows(connection, oid, name))
        lines += [
            "## Internal",
            "These may change with every release. Columns are listed so that you can find your way.",
            "",
        ]
        lines += table(["table or view", "what for", "columns"], internal_rows(connection, found))
    return lines


def column_rows(connection: psycopg.Connection, oid: int, relation: str) -> Iterator[tuple[str, str, str]]:
    """Yield a row for each column of a stable relation."""
    for name, kind, _, text in connection.execute(COLUMNS, (oid,)):
        yield code(name), short(kind), described(text, f"{relation}.{name}", WHERE)


def internal_rows(connection: psycopg.Connection, found: dict) -> Iterator[tuple[str, str, str]]:
    """Yield a row for each internal relation, with its columns by name."""
    for name, (oid, _, text) in found.items():
        columns = ", ".join(code(column) for column, *_ in connection.execute(COLUMNS, (oid,)))
        yield code(name), described(text, name, WHERE), columns


def short(kind: str) -> str:
    """Return a type's short name."""
    return {"timestamp with time zone": "timestamptz"}.get(kind, kind)
