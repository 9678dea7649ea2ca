"""Make an alert, in the transaction that judges.

The key of the table makes one alert of what several services judge at once. An alert that nobody gets is not made, so
that a receiver added later in the same window gets it.
"""

import json
from collections.abc import Sequence
from typing import Any

import psycopg

from cost_exporter.domain.alerting import Alert, Receiver
from cost_exporter.store.database.statements import statement

__all__ = ["Connection", "deliver_to", "make_alert"]

Connection = psycopg.Connection[Any]


def make_alert(connection: Connection, alert: Alert, receivers: Sequence[Receiver]) -> bool:
    """Make an alert with a delivery to each who gets it, and return whether it is new."""
    return deliver_to(connection, alert, [each.name for each in receivers if each.gets(alert)])


def deliver_to(connection: Connection, alert: Alert, names: Sequence[str]) -> bool:
    """Make an alert with a delivery to each of these receivers, and return whether it is new."""
    if not names:
        return False
    made = connection.execute(
        statement("insert_alert"),
        {
            "kind": alert.kind,
            "tenant": alert.tenant,
            "scope": alert.scope,
            "window_start": alert.window_start,
            "threshold": alert.threshold,
            "limit_usd": alert.limit_usd,
            "facts": json.dumps(alert.facts).replace("\\u0000", "\\ufffd"),
            "receivers": list(names),
        },
    )
    return made.rowcount > 0
