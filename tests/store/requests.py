"""Requests as the readers would hand them on, for tests of the store."""

from collections.abc import Iterable
from dataclasses import fields, replace
from hashlib import blake2b
from typing import Any

import psycopg

from cost_exporter.domain.facts import DeadLetter, Facts
from cost_exporter.domain.span import Call, Link
from tests.domain.builders import T0_UNIX_NS

RECEIVED_AT_UNIX_NS = T0_UNIX_NS + 60_000_000_000


def hashed(call: Call) -> Call:
    """The call with a content hash that is equal for equal content only."""
    content = repr([getattr(call, each.name) for each in fields(call) if each.name != "content_hash"])
    digest = blake2b(content.encode(errors="surrogatepass"), digest_size=8).digest()
    return replace(call, content_hash=int.from_bytes(digest, "big", signed=True))


def request(
    *spans: Call | Link,
    namespace: str = "default",
    received_at_unix_ns: int = RECEIVED_AT_UNIX_NS,
    tenant_is_trusted: bool = True,
    dead_letters: Iterable[DeadLetter] = (),
) -> Facts:
    """One request with these spans; links count as ignored."""
    links = [span for span in spans if isinstance(span, Link)]
    return Facts(
        namespace=namespace,
        received_at_unix_ns=received_at_unix_ns,
        tenant_is_trusted=tenant_is_trusted,
        calls=[hashed(span) for span in spans if isinstance(span, Call)],
        links=links,
        dead_letters=list(dead_letters),
        ignored_count=len(links),
    )


_TABLES = {
    "cost_record": ("to_jsonb(x) - 'received_at'", ""),
    "workflow_cost": ("to_jsonb(x)", ""),
    "daily_cost": ("to_jsonb(x)", ""),
    "usage_stats": ("to_jsonb(x)", ""),
    # What had been decided before depends on what had arrived by then.
    "record_revision": ("to_jsonb(x) - 'revision_id' - 'recorded_at'", "where reason <> 'settled'"),
    "trace": ("to_jsonb(x) - 'version' - 'last_received_at' - 'is_joined'", ""),
}


def snapshot(database: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """Everything the ledger says, without what tells of the order in which it was told."""
    return {
        table: sorted(
            row[0] for row in database.execute(f"select ({columns})::text from callfare.{table} as x {which}")
        )
        for table, (columns, which) in _TABLES.items()
    }


FILLED_BY_SPANS = (
    "correction",
    *("trace", "trace_join", "provider_call", "look_alike", "record", "journal", "timing", "dead_letter"),
    *("long_trace", "long_span", "provider_call_old"),
    *("workflow_rollup", "workflow_total", "daily_rollup", "hourly_rollup", "spend_rollup"),
)


def clear(database: psycopg.Connection[Any]) -> None:
    """Forget everything that spans brought."""
    for table in FILLED_BY_SPANS:
        database.execute(f"delete from callfare.{table}")  # pyright: ignore[reportArgumentType]


def problems(database: psycopg.Connection[Any]) -> list[Any]:
    return database.execute("select * from callfare.integrity_check").fetchall()


def rows(database: psycopg.Connection[Any], sql: str, *parameters: Any) -> list[Any]:
    return database.execute(sql, parameters).fetchall()
