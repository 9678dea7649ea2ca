"""Comparisons with a provider's own figures: kept as they were, because both sides change later."""

import json
from collections.abc import Mapping
from typing import Any, Final

import psycopg

from cost_exporter.store.database.statements import statement
from cost_exporter.store.reading import Reader, Row

__all__ = ["findings_of", "keep_comparison", "latest_comparisons"]

_ALL_TENANTS: Final = "*"


def keep_comparison(connection: psycopg.Connection[Any], comparison: Mapping[str, Any], tenant: str | None) -> int:
    """Keep a comparison in the shape of `callfare reconcile --json`, and return its number."""
    parameters = {
        **{name: comparison[name] for name in ("provider", "since", "until")},
        **{name: json.dumps(comparison[name]).replace("\\u0000", "\\ufffd") for name in ("outcomes", "findings")},
        "tenant": tenant or _ALL_TENANTS,
    }
    row = connection.execute(statement("keep_comparison"), parameters).fetchone()
    assert row is not None
    return row[0]


def latest_comparisons(reader: Reader, tenant: str | None, *, count: int) -> list[Row]:
    """Return the last comparisons of a tenant, or all."""
    return reader.ask("latest_comparisons", {"tenant": tenant, "count": count}, {})


def findings_of(reader: Reader, comparison_id: int, tenant: str | None) -> list[dict[str, Any]] | None:
    """Return what one comparison found; None where there is none of this number."""
    rows = reader.ask("findings_of_comparison", {"comparison_id": comparison_id, "tenant": tenant}, {})
    return rows[0]["findings"] if rows else None
