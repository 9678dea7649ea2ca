"""The outbox of alerts: at least once to each receiver, at most one sender at a time.

A claim postpones the next attempt by a minute, and sending takes less. A sender that dies in between leaves it to the
next claim, so a message may come twice: under the same id, by which receivers drop it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast

from psycopg.rows import dict_row

from cost_exporter.domain.alerting import AlertKind
from cost_exporter.store.alerts.making import Connection
from cost_exporter.store.database.statements import statement

__all__ = [
    "GIVE_UP_AGE",
    "Delivery",
    "claim",
    "delivered",
    "give_up_old",
    "put_off",
    "waiting_count",
]

GIVE_UP_AGE: Final = timedelta(days=1)
_ERROR_LENGTH_MAX: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An alert on its way to one receiver."""

    alert_id: str
    """The same at each attempt."""
    receiver: str
    kind: AlertKind
    tenant: str
    scope: str
    window_start: datetime
    threshold: Decimal
    facts: dict[str, Any]
    made_at: datetime
    attempt_count: int
    """1 at the first."""


def claim(connection: Connection, receiver: str) -> Delivery | None:
    """Return what the receiver has to get next, if anything; nobody else claims it for a minute."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row: dict[str, Any] | None = cursor.execute(statement("claim_delivery"), {"receiver": receiver}).fetchone()
    if row is None:
        return None
    return Delivery(
        alert_id=str(row["alert_id"]),
        receiver=receiver,
        kind=cast("AlertKind", row["kind"]),
        tenant=row["tenant_id"],
        scope=row["scope"],
        window_start=row["window_start"],
        threshold=row["threshold"],
        facts=row["facts"],
        made_at=row["made_at"],
        attempt_count=row["attempts"],
    )


def delivered(connection: Connection, delivery: Delivery) -> None:
    """The receiver has it."""
    connection.execute(statement("end_delivery"), {"alert_id": delivery.alert_id, "receiver": delivery.receiver})


def put_off(
    connection: Connection, delivery: Delivery, *, wait: timedelta, error: str, is_for_all: bool = False
) -> None:
    """Try it again later; `is_for_all`: nor does the receiver want anything else before."""
    parameters = {
        "alert_id": delivery.alert_id,
        "receiver": delivery.receiver,
        "wait": wait,
        "error": error[:_ERROR_LENGTH_MAX],
    }
    connection.execute(statement("put_off_delivery"), parameters)
    if is_for_all:
        connection.execute(statement("put_off_receiver"), parameters)


def give_up_old(connection: Connection, *, age: timedelta = GIVE_UP_AGE) -> list[tuple[str, str]]:
    """Give up what could not be delivered for so long, and return its receivers and last errors."""
    rows: Sequence[tuple[str, str]] = connection.execute(statement("give_up_old_deliveries"), {"age": age}).fetchall()
    return list(rows)


def waiting_count(connection: Connection) -> int:
    """Return how many deliveries wait for a receiver that failed before."""
    row = connection.execute(statement("waiting_deliveries")).fetchone()
    assert row is not None
    return row[0]
