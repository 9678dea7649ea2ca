"""The audit log: who changed prices, budgets, tokens, re-ratings and closed months. Triggers write it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from cost_exporter.store.database.statements import statement

__all__ = ["Change", "newest_changes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change."""

    audit_id: int
    happened_at: datetime
    database_user: str
    program: str
    """The program that connected, and for a command the account that ran it."""
    action: str
    subject: str
    """Its number or name."""
    details: dict[str, Any]
    """The values before and after; of a change, only the columns that differ."""


def newest_changes(connection: psycopg.Connection[Any], *, count: int) -> list[Change]:
    """Return the last changes, the newest first."""
    names = ("audit_id", "happened_at", "database_user", "program", "action", "subject", "details")
    rows = connection.execute(statement("newest_changes"), {"count": count}).fetchall()
    return [Change(**dict(zip(names, row, strict=True))) for row in rows]
